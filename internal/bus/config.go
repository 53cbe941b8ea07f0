package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
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

// TLSConfig turns on TLS. Setting any file or name enables it too.
type TLSConfig struct {
	Enabled bool `yaml:"enabled,omitempty"`
	// CAFile holds the authorities that may sign the broker's certificate
	// (PEM); empty means the system's.
	CAFile string `yaml:"ca_file,omitempty"`
	// CertFile and KeyFile are this client's certificate, if the broker asks.
	CertFile string `yaml:"cert_file,omitempty"`
	KeyFile  string `yaml:"key_file,omitempty"`
	// ServerName is checked in the certificate instead of the dialled host.
	ServerName string `yaml:"server_name,omitempty"`
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify,omitempty"`
}

// SASLConfig authenticates this client; an empty Mechanism means none.
type SASLConfig struct {
	// Mechanism is plain, scram-sha-256 or scram-sha-512.
	Mechanism string `yaml:"mechanism,omitempty"`
	User      string `yaml:"user,omitempty"`
	// Exactly one of the three holds the password. A file's trailing line
	// break is not part of it.
	Password     Secret `yaml:"password,omitempty"`
	PasswordFile string `yaml:"password_file,omitempty"`
	PasswordEnv  string `yaml:"password_env,omitempty"`
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

func (s SASLConfig) validate() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	given := 0
	for _, v := range []string{string(s.Password), s.PasswordFile, s.PasswordEnv} {
		if v != "" {
			given++
		}
	}
	switch strings.ToLower(s.Mechanism) {
	case "":
		if s.User != "" || given > 0 {
			bad("sasl.mechanism: missing: want plain, scram-sha-256 or scram-sha-512")
		}
		return errs
	case "plain", "scram-sha-256", "scram-sha-512":
	default:
		bad("sasl.mechanism: want plain, scram-sha-256 or scram-sha-512, got %q", s.Mechanism)
	}
	if s.User == "" {
		bad("sasl.user: missing")
	}
	if given != 1 {
		bad("sasl: give exactly one of password, password_file and password_env, got %d", given)
	}
	return errs
}

func (s SASLConfig) password() (string, error) {
	switch {
	case s.PasswordFile != "":
		b, err := os.ReadFile(s.PasswordFile)
		if err != nil {
			return "", fmt.Errorf("read sasl.password_file: %w", err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	case s.PasswordEnv != "":
		p, ok := os.LookupEnv(s.PasswordEnv)
		if !ok {
			return "", fmt.Errorf("read sasl.password_env: the environment has no variable %s", s.PasswordEnv)
		}
		return p, nil
	}
	return string(s.Password), nil
}

func (s SASLConfig) mechanism() (sasl.Mechanism, error) {
	if s.Mechanism == "" {
		return nil, nil
	}
	pass, err := s.password()
	if err != nil {
		return nil, err
	}
	algo := scram.SHA512
	switch strings.ToLower(s.Mechanism) {
	case "plain":
		return plain.Mechanism{Username: s.User, Password: pass}, nil
	case "scram-sha-256":
		algo = scram.SHA256
	}
	m, err := scram.Mechanism(algo, s.User, pass)
	if err != nil {
		return nil, fmt.Errorf("prepare %s for user %s: %w", s.Mechanism, s.User, err)
	}
	return m, nil
}

func (t TLSConfig) config() (*tls.Config, error) {
	if t == (TLSConfig{}) {
		return nil, nil
	}
	out := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify,
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read tls.ca_file: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read tls.ca_file: no certificate in %s", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read tls.cert_file %s and tls.key_file %s: %w", t.CertFile, t.KeyFile, err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
