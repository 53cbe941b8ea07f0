package bus_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"nines/test/kafka"
)

const (
	idpIssuer   = "https://login.example.com"
	idpAudience = "kafka"
	idpClient   = "nines agent" // what form-encoding changes
	idpSecret   = "s3cr+t %&:é"
)

// identities is an identity provider: public keys over http for the broker, and
// a token endpoint over TLS with an authority of its own.
type identities struct {
	t        *testing.T
	key      *rsa.PrivateKey
	keys     *httptest.Server
	endpoint *httptest.Server

	life   atomic.Int64 // of the tokens, in ns
	down   atomic.Bool
	issued atomic.Int64
}

func newIdentities(t *testing.T, ca *kafka.CA) *identities {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &identities{t: t, key: key}
	p.life.Store(int64(time.Hour))
	p.keys = httptest.NewServer(http.HandlerFunc(p.serveKeys))
	t.Cleanup(p.keys.Close)
	own := ca.Issue("login", time.Hour)
	pair, err := tls.LoadX509KeyPair(own.Cert, own.Key)
	if err != nil {
		t.Fatal(err)
	}
	p.endpoint = httptest.NewUnstartedServer(http.HandlerFunc(p.serveToken))
	p.endpoint.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	p.endpoint.StartTLS()
	t.Cleanup(p.endpoint.Close)
	return p
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (p *identities) serveKeys(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256",
		"n": b64(p.key.N.Bytes()), "e": b64(big.NewInt(int64(p.key.E)).Bytes())}}})
}

// token signs a token that lives for life, for a subject and an audience.
func (p *identities) token(subject, audience string, life time.Duration) string {
	now := time.Now()
	header, _ := json.Marshal(map[string]string{"alg": "RS256", "kid": "1", "typ": "JWT"})
	claims, _ := json.Marshal(map[string]any{"iss": idpIssuer, "aud": audience, "sub": subject, "scope": "kafka",
		"iat": now.Add(min(life, 0) - time.Second).Unix(), "exp": now.Add(life).Unix()})
	text := b64(header) + "." + b64(claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		p.t.Error(err)
	}
	return text + "." + b64(sig)
}

func (p *identities) serveToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	id, secret, _ := r.BasicAuth()
	say := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch {
	case p.down.Load():
		say(http.StatusServiceUnavailable, map[string]string{})
	case id != "nines+agent" || secret != "s3cr%2Bt+%25%26%3A%C3%A9":
		// A provider that repeats what it was sent must not make us print it.
		sent, _ := url.QueryUnescape(secret)
		say(http.StatusUnauthorized, map[string]string{"error": "invalid_client", "error_description": "no client with the secret " + sent})
	case r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka":
		say(http.StatusBadRequest, map[string]string{"error": "invalid_scope"})
	default:
		p.issued.Add(1)
		life := time.Duration(p.life.Load())
		say(http.StatusOK, map[string]any{"access_token": p.token("agent-1", idpAudience, life), "token_type": "bearer", "expires_in": life.Seconds()})
	}
}
