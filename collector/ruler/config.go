package ruler

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"nines/collector/promseries"
	"nines/internal/yamlconf"
)

// Config is the ruler's part of the collector's configuration. Zero values take
// the defaults named here.
type Config struct {
	// Dir holds the TSDB and the ruler's position in the log. Required.
	Dir string `yaml:"dir"`
	// ID tells rulers of a region apart; alerts carry it as "ruler/<id>". The
	// default is the name of the host.
	ID string `yaml:"id"`
	// Retention is how long series are kept, and how late a sample may come.
	// Default 24h.
	Retention yamlconf.Duration `yaml:"retention"`
	// Select lists PromQL series selectors; a series that matches any of them is
	// kept. Empty keeps all.
	Select []string `yaml:"select"`
	// Rules lists Prometheus rule files; patterns are allowed.
	Rules []string `yaml:"rules"`
	// EvaluationInterval is used by rule groups that name none. Default 5s.
	EvaluationInterval yamlconf.Duration `yaml:"evaluation_interval"`
	// QueryTimeout bounds one query. Default 2m.
	QueryTimeout yamlconf.Duration `yaml:"query_timeout"`
	// MaxSamples bounds what one query may load. Default 50 million.
	MaxSamples int `yaml:"max_samples"`
	// ExternalURL is where people reach the ruler's API, for links in alerts.
	ExternalURL string `yaml:"external_url"`
}

// staleAfter is how long, in milliseconds of log time, an agent may be silent,
// and how long at least a series may be late, before it is marked stale.
const staleAfter = 15_000

func (c Config) withDefaults() Config {
	c.Retention = cmp.Or(c.Retention, yamlconf.Duration(24*time.Hour))
	c.EvaluationInterval = cmp.Or(c.EvaluationInterval, yamlconf.Duration(5*time.Second))
	c.QueryTimeout = cmp.Or(c.QueryTimeout, yamlconf.Duration(2*time.Minute))
	c.MaxSamples = cmp.Or(c.MaxSamples, 50_000_000)
	if c.ID == "" {
		c.ID, _ = os.Hostname()
		c.ID = cmp.Or(c.ID, "local")
	}
	return c
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("ruler.dir: must name a directory, got nothing"))
	}
	if c.Retention < 0 || c.Retention > 0 && c.Retention.D() < 10*time.Minute {
		errs = append(errs, fmt.Errorf("ruler.retention: must be at least 10m, got %v", c.Retention))
	}
	if c.EvaluationInterval < 0 || c.EvaluationInterval > 0 && c.EvaluationInterval.D() < 100*time.Millisecond {
		errs = append(errs, fmt.Errorf("ruler.evaluation_interval: must be at least 100ms, got %v", c.EvaluationInterval))
	}
	if c.QueryTimeout < 0 {
		errs = append(errs, fmt.Errorf("ruler.query_timeout: must be positive, got %v", c.QueryTimeout))
	}
	if c.MaxSamples < 0 {
		errs = append(errs, fmt.Errorf("ruler.max_samples: must be positive, got %d", c.MaxSamples))
	}
	if _, err := url.Parse(c.ExternalURL); err != nil {
		errs = append(errs, fmt.Errorf("ruler.external_url: must be a URL: %w", err))
	}
	if _, err := promseries.ParseSelectors("ruler.select", c.Select); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func newParser() parser.Parser { return parser.NewParser(parser.Options{}) }

// expandRules turns the patterns into files, sorted, each once. A path without
// wildcards must exist; a pattern may match nothing.
func expandRules(patterns []string) ([]string, error) {
	var files []string
	var errs []error
	for _, pat := range patterns {
		m, err := filepath.Glob(pat)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("read rules %s: not a valid pattern: %w", pat, err))
		case len(m) == 0 && !strings.ContainsAny(pat, "*?["):
			_, err := os.Stat(pat)
			errs = append(errs, fmt.Errorf("read rules: %w", err))
		}
		files = append(files, m...)
	}
	slices.Sort(files)
	return slices.Compact(files), errors.Join(errs...)
}
