package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/segmentio/kafka-go/sasl"
)

// OAuthConfig says where the token of OAUTHBEARER comes from: a file that
// something else renews, or a token endpoint that is asked with this client's
// credentials (RFC 6749, section 4.4).
type OAuthConfig struct {
	// TokenFile holds the token; it is read for each connection.
	TokenFile string `yaml:"token_file,omitempty"`

	// TokenURL is the endpoint, https. Plain http is for loopback only.
	TokenURL string `yaml:"token_url,omitempty"`
	// CAFile holds the authorities that may sign the endpoint's certificate
	// (PEM); empty means the system's.
	CAFile string `yaml:"ca_file,omitempty"`
	// Exactly one of three holds the client's id, and one of three its secret.
	ClientID         string `yaml:"client_id,omitempty"`
	ClientIDFile     string `yaml:"client_id_file,omitempty"`
	ClientIDEnv      string `yaml:"client_id_env,omitempty"`
	ClientSecret     Secret `yaml:"client_secret,omitempty"`
	ClientSecretFile string `yaml:"client_secret_file,omitempty"`
	ClientSecretEnv  string `yaml:"client_secret_env,omitempty"`
	// Scope is asked for; several are parted by spaces.
	Scope string `yaml:"scope,omitempty"`

	// Extensions are sent to the broker with the token (RFC 7628, section 3.1).
	Extensions map[string]string `yaml:"extensions,omitempty"`
}

func (o *OAuthConfig) given() bool {
	return o.TokenFile != "" || o.TokenURL != "" || o.CAFile != "" || o.Scope != "" || len(o.Extensions) > 0 ||
		o.id().given() > 0 || o.secret().given() > 0
}

func (o *OAuthConfig) id() setting {
	return setting{"sasl.oauth.client_id", o.ClientID, o.ClientIDFile, o.ClientIDEnv}
}

func (o *OAuthConfig) secret() setting {
	return setting{"sasl.oauth.client_secret", string(o.ClientSecret), o.ClientSecretFile, o.ClientSecretEnv}
}

func (o OAuthConfig) relativeTo(dir string) OAuthConfig {
	for _, p := range []*string{&o.TokenFile, &o.CAFile, &o.ClientIDFile, &o.ClientSecretFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	return o
}

// Names and values of extensions, as RFC 7628 has them and Apache Kafka checks
// them.
var (
	extensionName  = regexp.MustCompile(`^[A-Za-z]+$`)
	extensionValue = regexp.MustCompile(`^[\x21-\x7E \t\r\n]+$`)
)

func (o *OAuthConfig) validate() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("sasl.oauth"+format, args...)) }
	for _, k := range slices.Sorted(maps.Keys(o.Extensions)) {
		if !extensionName.MatchString(k) || k == "auth" {
			bad(".extensions.%s: a name is of letters only, and not auth", k)
		} else if !extensionValue.MatchString(o.Extensions[k]) {
			bad(".extensions.%s: want printable ASCII, got %q", k, o.Extensions[k])
		}
	}
	if (o.TokenFile == "") == (o.TokenURL == "") {
		bad(": give exactly one of token_file and token_url")
		return errs
	}
	if o.TokenFile != "" {
		if o.id().given()+o.secret().given() > 0 || o.CAFile != "" || o.Scope != "" {
			bad(".token_file: ca_file, client_id, client_secret and scope belong to token_url")
		}
		return errs
	}
	if reason := badTokenURL(o.TokenURL); reason != "" {
		bad(".token_url: %s", reason)
	}
	if n := o.id().given(); n != 1 {
		bad(": give exactly one of client_id, client_id_file and client_id_env, got %d", n)
	}
	if n := o.secret().given(); n != 1 {
		bad(": give exactly one of client_secret, client_secret_file and client_secret_env, got %d", n)
	}
	return errs
}

// badTokenURL does not repeat the URL, which may hold what must not be printed.
func badTokenURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "want a URL such as https://login.example.com/oauth2/token"
	case u.User != nil:
		return "must hold no user or password: they belong to client_id and client_secret"
	case u.Scheme == "http" && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback():
		return "must be https: the secret and the token travel there"
	}
	return ""
}

// bearer is SASL's mechanism OAUTHBEARER (RFC 7628).
type bearer struct {
	tokens     *tokens
	extensions map[string]string
	// said is the status of the last refusal, which comes before the broker
	// ends the exchange.
	said atomic.Pointer[string]
}

func newBearer(o OAuthConfig) *bearer {
	return &bearer{tokens: newTokens(o), extensions: o.Extensions}
}

// Name implements sasl.Mechanism.
func (*bearer) Name() string { return "OAUTHBEARER" }

// Start implements sasl.Mechanism.
func (b *bearer) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	t, err := b.tokens.get(ctx)
	if err != nil {
		return nil, nil, &tokenError{err}
	}
	return &bearerSession{b: b}, appendBearer(nil, t, b.extensions), nil
}

// appendBearer is the client's first message: a GS2 header without channel
// binding or other identity, the token, the extensions.
func appendBearer(dst []byte, token string, extensions map[string]string) []byte {
	dst = append(dst, "n,,\x01auth=Bearer "+token+"\x01"...)
	for _, k := range slices.Sorted(maps.Keys(extensions)) {
		dst = append(dst, k+"="+extensions[k]+"\x01"...)
	}
	return append(dst, 1)
}

type bearerSession struct{ b *bearer }

// Next implements sasl.StateMachine: nothing more from the broker is success;
// an error in JSON is answered by one byte, upon which the broker refuses.
func (s *bearerSession) Next(_ context.Context, challenge []byte) (done bool, response []byte, err error) {
	if len(challenge) == 0 {
		s.b.said.Store(nil)
		return true, nil, nil
	}
	status := refusal(challenge)
	s.b.said.Store(&status)
	return false, []byte{1}, nil
}

// refusal reads the broker's error (RFC 7628, section 3.2.2) for people.
func refusal(challenge []byte) string {
	var e struct {
		Status string `json:"status"`
		Scope  string `json:"scope"`
	}
	if err := json.Unmarshal(bytes.TrimSpace(challenge), &e); err != nil || e.Status == "" {
		return "no reason given"
	}
	if e.Scope != "" {
		e.Status += ", wanted scope: " + e.Scope
	}
	return oneLine(e.Status)
}

// oneLine cuts what another server wrote to what fits a message.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	const most = 200
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// reason is why the broker refused the token last.
func (b *bearer) reason() string {
	if s := b.said.Load(); s != nil {
		return *s
	}
	return "no reason given"
}
