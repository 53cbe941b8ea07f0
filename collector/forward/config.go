package forward

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/relabel"

	"nines/collector/promseries"
	"nines/internal/bus"
	"nines/internal/yamlconf"
)

// Config is the role's part of the collector's configuration.
type Config struct {
	// Targets are the receivers. Each has a position of its own in the log.
	Targets []Target `yaml:"targets,omitempty"`
}

// Target is one receiver of Prometheus remote write. Zero values take the
// defaults named here.
type Target struct {
	// Name tells targets apart: the consumer group is nines-forward-NAME, so that
	// a target that is renamed begins at the end of the log. Required.
	Name string `yaml:"name"`
	// URL takes the requests, as http://victoria:8428/api/v1/write. Required.
	URL string `yaml:"url"`
	// Protocol is 2.0, 1.0, or auto (the default): 2.0 until the receiver shows
	// that it speaks 1.0 alone.
	Protocol string `yaml:"protocol,omitempty"`
	// Match lists PromQL series selectors; a series that matches any of them is
	// sent. Empty sends all. They see labels as they are before relabelling.
	Match []string `yaml:"match,omitempty"`
	// WriteRelabelConfigs are Prometheus' own.
	WriteRelabelConfigs []relabel.Config `yaml:"write_relabel_configs,omitempty"`
	// SendNativeHistograms also sends histograms to a receiver that speaks 1.0,
	// where not all take them. By 2.0 they are always sent.
	SendNativeHistograms bool `yaml:"send_native_histograms,omitempty"`
	// Timeout bounds one request. Default 30s.
	Timeout yamlconf.Duration `yaml:"timeout,omitempty"`
	// MaxSamples bounds one request. Default 10000.
	MaxSamples int `yaml:"max_samples,omitempty"`
	// MaxAge is how long a sample waits for others to travel with. Default 1s.
	MaxAge yamlconf.Duration `yaml:"max_age,omitempty"`
	// MinBackoff and MaxBackoff bound the wait after a failure. Defaults 100ms
	// and 30s.
	MinBackoff yamlconf.Duration `yaml:"min_backoff,omitempty"`
	MaxBackoff yamlconf.Duration `yaml:"max_backoff,omitempty"`
	// Headers are sent with each request, as X-Scope-OrgID for Mimir's tenants.
	Headers   map[string]string `yaml:"headers,omitempty"`
	TLS       TLS               `yaml:"tls,omitempty"`
	BasicAuth BasicAuth         `yaml:"basic_auth,omitempty"`
	Bearer    Bearer            `yaml:"bearer,omitempty"`
}

// TLS says whom to trust, and who we are. Files are read at the start of the
// role.
type TLS struct {
	CAFile             string `yaml:"ca_file,omitempty"`
	CertFile           string `yaml:"cert_file,omitempty"`
	KeyFile            string `yaml:"key_file,omitempty"`
	ServerName         string `yaml:"server_name,omitempty"`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify,omitempty"`
}

// BasicAuth is a user, and a password from one of three places. The file is read
// for each request, so that a new password needs no restart.
type BasicAuth struct {
	Username     string     `yaml:"username,omitempty"`
	Password     bus.Secret `yaml:"password,omitempty"`
	PasswordFile string     `yaml:"password_file,omitempty"`
	PasswordEnv  string     `yaml:"password_env,omitempty"`
}

// Bearer is a token from one of two places; the file is read for each request.
type Bearer struct {
	TokenFile string `yaml:"token_file,omitempty"`
	TokenEnv  string `yaml:"token_env,omitempty"`
}

// The values of Target.Protocol.
const (
	protocolAuto = "auto"
	protocol2    = "2.0"
	protocol1    = "1.0"
)

func (t Target) withDefaults() Target {
	t.Protocol = cmp.Or(t.Protocol, protocolAuto)
	t.Timeout = cmp.Or(t.Timeout, yamlconf.Duration(30*time.Second))
	t.MaxSamples = cmp.Or(t.MaxSamples, 10_000)
	t.MaxAge = cmp.Or(t.MaxAge, yamlconf.Duration(time.Second))
	t.MinBackoff = cmp.Or(t.MinBackoff, yamlconf.Duration(100*time.Millisecond))
	t.MaxBackoff = cmp.Or(t.MaxBackoff, yamlconf.Duration(30*time.Second))
	return t
}

// RelativeTo returns the configuration with its relative file names starting at
// dir, the directory of the file that it was read from.
func (c Config) RelativeTo(dir string) Config {
	c.Targets = slices.Clone(c.Targets)
	for i := range c.Targets {
		t := &c.Targets[i]
		for _, p := range t.files() {
			if *p.name != "" && !filepath.IsAbs(*p.name) {
				*p.name = filepath.Join(dir, *p.name)
			}
		}
	}
	return c
}

// file is a file that a target names, and where.
type file struct {
	path string
	name *string
}

func (t *Target) files() []file {
	return []file{{"tls.ca_file", &t.TLS.CAFile}, {"tls.cert_file", &t.TLS.CertFile}, {"tls.key_file", &t.TLS.KeyFile},
		{"basic_auth.password_file", &t.BasicAuth.PasswordFile}, {"bearer.token_file", &t.Bearer.TokenFile}}
}

// Files returns the files that the configuration names, by their path in it.
func (c Config) Files() map[string]string {
	out := map[string]string{}
	for i := range c.Targets {
		for _, f := range c.Targets[i].files() {
			if *f.name != "" {
				out[fmt.Sprintf("forward.targets[%d].%s", i, f.path)] = *f.name
			}
		}
	}
	return out
}

// Validate reports every value that cannot work, by its path. It reads no file.
func (c Config) Validate() error {
	var errs []error
	names := map[string]bool{}
	for i, t := range c.Targets {
		bad := func(path, format string, args ...any) {
			errs = append(errs, fmt.Errorf("forward.targets[%d]."+path+": "+format, append([]any{i}, args...)...))
		}
		if !regexp.MustCompile(`^[a-zA-Z0-9._-]{1,100}$`).MatchString(t.Name) {
			bad("name", "must be 1 to 100 letters, digits, dots, dashes and underscores, got %q", t.Name)
		} else if names[t.Name] {
			bad("name", "is taken by another target, got %q", t.Name)
		}
		names[t.Name] = true
		t.validate(bad)
		if _, err := promseries.ParseSelectors(fmt.Sprintf("forward.targets[%d].match", i), t.Match); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (t *Target) validate(bad func(path, format string, args ...any)) {
	if u, err := url.Parse(t.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		bad("url", "must be a URL such as http://victoria:8428/api/v1/write, got %q", t.URL)
	} else if u.User != nil {
		bad("url", "must not hold a password: use basic_auth, got user %q", u.User.Username())
	}
	if p := cmp.Or(t.Protocol, protocolAuto); p != protocolAuto && p != protocol1 && p != protocol2 {
		bad("protocol", "must be auto, 2.0 or 1.0, got %q", p)
	}
	for i := range t.WriteRelabelConfigs {
		rule := t.WriteRelabelConfigs[i] // a copy: Validate writes
		if err := rule.Validate(model.UTF8Validation); err != nil {
			bad(fmt.Sprintf("write_relabel_configs[%d]", i), "%v", err)
		}
	}
	for path, d := range map[string]yamlconf.Duration{"timeout": t.Timeout, "max_age": t.MaxAge, "min_backoff": t.MinBackoff, "max_backoff": t.MaxBackoff} {
		if d < 0 {
			bad(path, "must be positive, got %v", d)
		}
	}
	if d := t.withDefaults(); d.MaxBackoff < d.MinBackoff {
		bad("max_backoff", "must be at least min_backoff, got %v", d.MaxBackoff)
	}
	if t.MaxSamples < 0 || t.MaxSamples > 1_000_000 {
		bad("max_samples", "must be 1 to 1000000, got %d", t.MaxSamples)
	}
	t.validateWho(bad)
}

func (t *Target) validateWho(bad func(path, format string, args ...any)) {
	if (t.TLS.CertFile == "") != (t.TLS.KeyFile == "") {
		bad("tls", "cert_file and key_file go together")
	}
	if n := given(string(t.BasicAuth.Password), t.BasicAuth.PasswordFile, t.BasicAuth.PasswordEnv); n > 1 || (n == 1) != (t.BasicAuth.Username != "") {
		bad("basic_auth", "needs username and one of password, password_file and password_env")
	}
	n := given(t.Bearer.TokenFile, t.Bearer.TokenEnv)
	if n > 1 {
		bad("bearer", "token_file and token_env exclude each other")
	}
	if n > 0 && t.BasicAuth.Username != "" {
		bad("bearer", "excludes basic_auth")
	}
	for _, h := range slices.Sorted(maps.Keys(t.Headers)) {
		switch strings.ToLower(h) {
		case "authorization", "content-type", "content-encoding", "content-length", "user-agent", "host", "x-prometheus-remote-write-version":
			bad("headers."+yamlconf.Key(h), "is set by nines itself")
		}
	}
}

// given counts the texts that are not empty.
func given(texts ...string) int {
	n := 0
	for _, s := range texts {
		if s != "" {
			n++
		}
	}
	return n
}
