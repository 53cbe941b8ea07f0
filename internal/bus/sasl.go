package bus

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

const (
	mechanismPlain  = "plain"
	mechanism256    = "scram-sha-256"
	mechanism512    = "scram-sha-512"
	mechanismBearer = "oauthbearer"

	mechanisms = mechanismPlain + ", " + mechanism256 + ", " + mechanism512 + " or " + mechanismBearer
)

// setting is a value that stands in the configuration, in a file or in the
// environment.
type setting struct{ path, inline, file, env string }

func (s setting) given() int {
	n := 0
	for _, v := range []string{s.inline, s.file, s.env} {
		if v != "" {
			n++
		}
	}
	return n
}

// value reads it; a file's trailing line break is not part of it.
func (s setting) value() (string, error) {
	switch {
	case s.file != "":
		b, err := os.ReadFile(s.file)
		if err != nil {
			return "", fmt.Errorf("read %s_file: %w", s.path, err)
		}
		v := strings.TrimRight(string(b), "\r\n")
		if v == "" {
			return "", fmt.Errorf("read %s_file: %s is empty", s.path, s.file)
		}
		return v, nil
	case s.env != "":
		v := os.Getenv(s.env)
		if v == "" {
			return "", fmt.Errorf("read %s_env: the environment has no variable %s", s.path, s.env)
		}
		return v, nil
	}
	return s.inline, nil
}

func (s *SASLConfig) password() setting {
	return setting{"sasl.password", string(s.Password), s.PasswordFile, s.PasswordEnv}
}

func (s *SASLConfig) validate() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	given := s.password().given()
	switch strings.ToLower(s.Mechanism) {
	case "":
		if s.User != "" || given > 0 || s.OAuth.given() {
			bad("sasl.mechanism: missing: want %s", mechanisms)
		}
		return errs
	case mechanismBearer:
		if s.User != "" || given > 0 {
			bad("sasl.mechanism: oauthbearer takes no user and no password: the token says who this is")
		}
		return append(errs, s.OAuth.validate()...)
	case mechanismPlain, mechanism256, mechanism512:
	default:
		bad("sasl.mechanism: want %s, got %q", mechanisms, s.Mechanism)
	}
	if s.User == "" {
		bad("sasl.user: missing")
	}
	if given != 1 {
		bad("sasl: give exactly one of password, password_file and password_env, got %d", given)
	}
	if s.OAuth.given() {
		bad("sasl.oauth: is for mechanism oauthbearer")
	}
	return errs
}

// readable tells early of a file or variable that is missing. A token's file may
// come later: what writes it starts beside us.
func (s *SASLConfig) readable() error {
	for _, v := range []setting{s.password(), s.OAuth.id(), s.OAuth.secret()} {
		if _, err := v.value(); err != nil {
			return err
		}
	}
	_, err := readCAs("sasl.oauth.ca_file", s.OAuth.CAFile)
	return err
}

// mechanism returns what authenticates, nil for nothing.
func (s *SASLConfig) mechanism() sasl.Mechanism {
	switch strings.ToLower(s.Mechanism) {
	case "":
		return nil
	case mechanismBearer:
		return newBearer(s.OAuth)
	}
	return &password{s}
}

// password is a mechanism that reads the password anew for each connection, so
// that one that is changed, or was wrong, needs no restart.
type password struct{ s *SASLConfig }

// Name implements sasl.Mechanism.
func (p *password) Name() string { return strings.ToUpper(p.s.Mechanism) }

// Start implements sasl.Mechanism.
func (p *password) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	m, err := p.read()
	if err != nil {
		return nil, nil, &passwordError{err}
	}
	return m.Start(ctx)
}

func (p *password) read() (sasl.Mechanism, error) {
	pass, err := p.s.password().value()
	if err != nil {
		return nil, err
	}
	algo := scram.SHA512
	switch strings.ToLower(p.s.Mechanism) {
	case mechanismPlain:
		return plain.Mechanism{Username: p.s.User, Password: pass}, nil
	case mechanism256:
		algo = scram.SHA256
	}
	m, err := scram.Mechanism(algo, p.s.User, pass)
	if err != nil {
		return nil, fmt.Errorf("prepare %s for user %s: %w", p.s.Mechanism, p.s.User, err)
	}
	return m, nil
}

// passwordError says that there is no password to show.
type passwordError struct{ err error }

func (e *passwordError) Error() string { return e.err.Error() }
func (e *passwordError) Unwrap() error { return e.err }
