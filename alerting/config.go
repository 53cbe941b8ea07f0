package alerting

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/config/receiver"
	"github.com/prometheus/alertmanager/template"

	"nines/internal/yamlconf"
)

// Config is the notify role's part of the collector's configuration. Zero
// values take the defaults named here.
type Config struct {
	// AlertmanagerFile is a standard alertmanager.yml. Empty means: group by
	// alertname and region, and print to the console.
	AlertmanagerFile string `yaml:"alertmanager_file"`
	// ExternalURL is where people reach the UI, for links in notifications.
	// Default http://127.0.0.1:9999.
	ExternalURL string `yaml:"external_url"`
	// Group is the Kafka consumer group in which the active member is elected.
	// Default nines-notify.
	Group string `yaml:"group"`
	// PageGroupInterval is the longest that a page waits for the group it
	// belongs to, which was notified before; at most 1s. Default 500ms.
	PageGroupInterval yamlconf.Duration `yaml:"page_group_interval"`
	// StallAfter is how long an evaluator may be unheard before nines calls
	// itself blind. Default 30s.
	StallAfter yamlconf.Duration `yaml:"stall_after"`
	// MaxLag is how far an evaluator's log time may lie behind the clock.
	// Default 60s.
	MaxLag yamlconf.Duration `yaml:"max_lag"`
	// Grace is how long after its start notify waits before it judges that.
	// Default 60s.
	Grace yamlconf.Duration `yaml:"grace"`
	// Retention is how long silences and the notification log are kept after
	// their end. Default 120h.
	Retention yamlconf.Duration `yaml:"retention"`
	DeadMan   DeadMan           `yaml:"dead_man"`
}

// DeadMan is the dead man's switch: a request that stops when the chain is
// broken, so that an outside watcher notices.
type DeadMan struct {
	// URL is requested while all is well; empty turns the switch off.
	URL string `yaml:"url"`
	// Method is POST or GET. Default POST.
	Method string `yaml:"method"`
	// Interval between requests. Default 30s.
	Interval yamlconf.Duration `yaml:"interval"`
}

func (c Config) withDefaults() Config {
	set := func(d *yamlconf.Duration, v time.Duration) {
		if *d == 0 {
			*d = yamlconf.Duration(v)
		}
	}
	set(&c.PageGroupInterval, 500*time.Millisecond)
	set(&c.StallAfter, 30*time.Second)
	set(&c.MaxLag, time.Minute)
	set(&c.Grace, time.Minute)
	set(&c.Retention, 120*time.Hour)
	set(&c.DeadMan.Interval, 30*time.Second)
	if c.ExternalURL == "" {
		c.ExternalURL = "http://127.0.0.1:9999"
	}
	if c.Group == "" {
		c.Group = "nines-notify"
	}
	if c.DeadMan.Method == "" {
		c.DeadMan.Method = "POST"
	}
	return c
}

// Validate reports every value that cannot work. It reads no file.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("alerting."+format, args...)) }
	if u, err := url.Parse(c.ExternalURL); err != nil || c.ExternalURL != "" && u.Host == "" {
		bad("external_url: must be a URL such as https://nines.example.com, got %q", c.ExternalURL)
	}
	if u, err := url.Parse(c.DeadMan.URL); c.DeadMan.URL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		bad("dead_man.url: must be an http or https URL") // not printed: it may hold a secret
	}
	if m := c.DeadMan.Method; m != "" && m != "POST" && m != "GET" {
		bad("dead_man.method: must be POST or GET, got %q", m)
	}
	if d := c.DeadMan.Interval; d < 0 || d > 0 && d.D() < 100*time.Millisecond {
		bad("dead_man.interval: must be at least 100ms, got %v", d)
	}
	if d := c.PageGroupInterval; d < 0 || d.D() > time.Second || d > 0 && d.D() < 10*time.Millisecond {
		bad("page_group_interval: must lie between 10ms and 1s, got %v", d)
	}
	for name, d := range map[string]yamlconf.Duration{"stall_after": c.StallAfter, "max_lag": c.MaxLag, "grace": c.Grace, "retention": c.Retention} {
		if d < 0 {
			bad("%s: must be positive, got %v", name, d)
		}
	}
	return errors.Join(errs...)
}

// defaultAlertmanager is what holds without an alertmanager.yml.
const defaultAlertmanager = `route:
  receiver: console
  group_by: [alertname, region]
  group_wait: 5s
  group_interval: 1m
  repeat_interval: 4h
receivers:
  - name: console
`

// loadAlertmanager reads an alertmanager.yml; an empty name gives the default.
func loadAlertmanager(file string) (*amconfig.Config, error) {
	if file == "" {
		return amconfig.Load(defaultAlertmanager)
	}
	c, err := amconfig.LoadFile(file)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			return nil, fmt.Errorf("read alert routing: %w", err)
		}
		return nil, positioned(file, err)
	}
	return c, nil
}

// routing is an alertmanager.yml that was read and found good.
type routing struct {
	file string
	conf *amconfig.Config
	tmpl *template.Template
}

// loadRouting reads an alertmanager.yml and its templates and tries every
// receiver, so that what it returns can take effect without failing.
func loadRouting(file, externalURL string) (*routing, error) {
	c, err := loadAlertmanager(file)
	if err != nil {
		return nil, err
	}
	tmpl, err := template.FromGlobs(c.Templates)
	if err != nil {
		return nil, place(file, "templates", err.Error())
	}
	if tmpl.ExternalURL, err = url.Parse(externalURL); err != nil {
		return nil, fmt.Errorf("read alerting.external_url: %w", err)
	}
	var errs []error
	for _, r := range c.Receivers {
		if _, err := receiver.BuildReceiverIntegrations(r, tmpl, nil); err != nil {
			doc := open(file)
			path := ""
			if doc != nil {
				path = named(doc, "receivers", r.Name, 0)
			}
			errs = append(errs, place(file, path, fmt.Sprintf("receiver %q: %v", r.Name, err)))
		}
	}
	return &routing{file: file, conf: c, tmpl: tmpl}, errors.Join(errs...)
}

// CheckConfig reports every error in an alertmanager.yml and its templates as
// file:line:col: reason.
func CheckConfig(file string) error {
	_, err := loadRouting(file, "http://localhost")
	return err
}
