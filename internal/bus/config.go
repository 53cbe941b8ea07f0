package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"
)

// Config says how to reach Kafka. The zero value with Brokers set works.
type Config struct {
	// Brokers are host:port addresses; any one that answers is enough.
	Brokers []string `yaml:"brokers"`
	// ClientID names this process in the broker's logs and quotas ("nines").
	ClientID string     `yaml:"client_id,omitempty"`
	TLS      TLSConfig  `yaml:"tls,omitempty"`
	SASL     SASLConfig `yaml:"sasl,omitempty"`
	// DialTimeout bounds connecting, TLS and authentication together (3s).
	DialTimeout time.Duration `yaml:"dial_timeout,omitempty"`
	// RequestTimeout bounds one request beyond the wait asked for (10s).
	RequestTimeout time.Duration `yaml:"request_timeout,omitempty"`
	// FetchMaxBytes bounds one fetch as it travels, compressed (1 MiB). The
	// broker exceeds it where a single batch is larger.
	FetchMaxBytes int `yaml:"fetch_max_bytes,omitempty"`
}

// SASLConfig authenticates this client; an empty Mechanism means none.
type SASLConfig struct {
	// Mechanism is plain, scram-sha-256, scram-sha-512 or oauthbearer.
	Mechanism string `yaml:"mechanism,omitempty"`
	User      string `yaml:"user,omitempty"`
	// Exactly one of the three holds the password. A file's trailing line
	// break is not part of it. It is read for each connection.
	Password     Secret `yaml:"password,omitempty"`
	PasswordFile string `yaml:"password_file,omitempty"`
	PasswordEnv  string `yaml:"password_env,omitempty"`
	// OAuth is for oauthbearer, in place of user and password.
	OAuth OAuthConfig `yaml:"oauth,omitempty"`
}

// Secret is a string that no printer shows.
type Secret string

const hidden = "<hidden>"

// String hides the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from YAML and JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

const (
	defaultClientID       = "nines"
	defaultDialTimeout    = 3 * time.Second
	defaultRequestTimeout = 10 * time.Second
	defaultFetchMaxBytes  = 1 << 20
)

func (c Config) withDefaults() Config {
	if c.ClientID == "" {
		c.ClientID = defaultClientID
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = defaultDialTimeout
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = defaultRequestTimeout
	}
	if c.FetchMaxBytes == 0 {
		c.FetchMaxBytes = defaultFetchMaxBytes
	}
	return c
}

// RelativeTo returns the configuration with its relative file names starting at
// dir, the directory of the file that it was read from.
func (c Config) RelativeTo(dir string) Config {
	for _, p := range []*string{&c.TLS.CAFile, &c.TLS.CertFile, &c.TLS.KeyFile, &c.SASL.PasswordFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	c.SASL.OAuth = c.SASL.OAuth.relativeTo(dir)
	return c
}

// Validate reports everything that is wrong with the configuration at once. It
// reads no file.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Brokers) == 0 {
		bad("brokers: name at least one host:port")
	}
	for i, b := range c.Brokers {
		if !strings.Contains(b, ":") || strings.ContainsAny(b, " ,/") {
			bad("brokers[%d]: want host:port, got %q", i, b)
		}
	}
	if c.DialTimeout < 0 {
		bad("dial_timeout: must not be negative, got %s", c.DialTimeout)
	}
	if c.RequestTimeout < 0 {
		bad("request_timeout: must not be negative, got %s", c.RequestTimeout)
	}
	if c.FetchMaxBytes < 0 || c.FetchMaxBytes > 1<<30 {
		bad("fetch_max_bytes: want 0 to 1 GiB, got %d", c.FetchMaxBytes)
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		bad("tls: cert_file and key_file go together")
	}
	errs = append(errs, c.SASL.validate()...)
	return errors.Join(errs...)
}
