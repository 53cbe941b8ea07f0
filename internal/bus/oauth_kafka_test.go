package bus_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/internal/bus"
	"nines/test/kafka"
	"nines/test/ports"
)

// Tokens from an endpoint and from a file let a client into Apache Kafka, are
// renewed, and are told apart from a broker that is away when they do not.
func TestTokensAgainstKafka(t *testing.T) {
	t.Parallel()
	kafka.ApacheOnly(t)
	ca := kafka.NewCA(t)
	idp := newIdentities(t, ca)
	broker := ca.Issue("broker", time.Hour)
	c := kafka.Start(t, kafka.Options{
		Security: kafka.Security{Cert: broker.Cert, Key: broker.Key, Mechanisms: []string{"OAUTHBEARER"}, ACLs: true,
			SuperUsers: []string{"User:agent-1"},
			OAuth:      kafka.OAuth{JWKS: idp.keys.URL, Issuer: idpIssuer, Audience: idpAudience}},
		// The broker ends connections whose tokens have ended.
		Config: map[string]string{"connections.max.reauth.ms": "3600000"},
	})
	login := func(o bus.OAuthConfig) *bus.Client {
		return newClient(t, c.Addrs()[0], bus.Config{DialTimeout: 20 * time.Second, RequestTimeout: 20 * time.Second, TLS: bus.TLSConfig{CAFile: ca.File},
			SASL: bus.SASLConfig{Mechanism: "OAUTHBEARER", OAuth: o}}, nil)
	}
	endpoint := bus.OAuthConfig{TokenURL: idp.endpoint.URL, CAFile: ca.File, ClientIDEnv: idpClientEnv,
		ClientSecretFile: write(t, "secret", idpSecret+"\n"), Scope: "kafka", Extensions: map[string]string{"logicalCluster": "lkc-1"}}

	t.Run("endpoint", func(t *testing.T) {
		client := login(endpoint)
		everything(t, client, "by-endpoint")
		if n := idp.issued.Load(); n != 1 {
			t.Errorf("%d tokens were fetched for one life", n)
		}
	})
	t.Run("renewed", func(t *testing.T) {
		idp.life.Store(int64(3 * time.Second))
		defer idp.life.Store(int64(time.Hour))
		before := idp.issued.Load()
		client := login(endpoint)
		ensure(t, client, bus.Topic{Name: "renewed"})
		p := client.Producer("renewed", 0)
		ctx := testContext(t, 2*time.Minute)
		eventually(t, time.Minute, "a token was renewed twice", func() bool {
			if _, err := p.ProduceRetry(ctx, func() []bus.Record { return []bus.Record{{Value: []byte("x")}} }); err != nil {
				t.Fatal(err)
			}
			return idp.issued.Load() >= before+3
		})
	})
	t.Run("file", func(t *testing.T) {
		file := write(t, "token", idp.token("agent-1", "another", time.Hour))
		client := login(bus.OAuthConfig{TokenFile: file})
		f := func(content, want string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			var err error
			eventually(t, time.Minute, "the file is read again: "+want, func() bool { // the library keeps an error for a moment
				err = client.Ping(testContext(t, time.Minute))
				return want == "" && err == nil || want != "" && err != nil && strings.Contains(err.Error(), want)
			})
			if err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "eyJ")) {
				t.Errorf("the error shows the token or takes several lines: %v", err)
			}
		}
		f(idp.token("agent-1", "another", time.Hour), "the broker refused the token (invalid_token): has it expired, or is it of another issuer or audience")
		f(idp.token("agent-1", idpAudience, -time.Minute), "expired at")
		f("", "no token in "+file)
		f(idp.token("agent-1", idpAudience, time.Hour)+"\n", "")
		everything(t, client, "by-file")
	})
	t.Run("refused", func(t *testing.T) {
		f := func(change func(*bus.OAuthConfig), want string) {
			t.Helper()
			o := endpoint
			change(&o)
			err := login(o).Ping(testContext(t, time.Minute))
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr") || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q", err, want)
			}
		}
		f(func(o *bus.OAuthConfig) { o.ClientSecretFile = write(t, "wrong", "s3cret") }, "it answers 401: invalid_client")
		f(func(o *bus.OAuthConfig) { o.Scope = "other" }, "invalid_scope: are sasl.oauth.client_id, client_secret and scope right?")
		f(func(o *bus.OAuthConfig) { o.CAFile = kafka.NewCA(t).File }, "unknown authority")
		f(func(o *bus.OAuthConfig) { o.TokenURL = "https://" + ports.Free(t) }, "connection refused")
		f(func(o *bus.OAuthConfig) {
			o.TokenFile, o.TokenURL, o.ClientIDEnv, o.ClientSecretFile, o.CAFile, o.Scope = "gone", "", "", "", "", ""
		},
			"read sasl.oauth.token_file: open gone")
	})
	t.Run("mended", func(t *testing.T) {
		idp.down.Store(true)
		var log logBuffer
		client := newClient(t, c.Addrs()[0], bus.Config{TLS: bus.TLSConfig{CAFile: ca.File},
			SASL: bus.SASLConfig{Mechanism: "oauthbearer", OAuth: endpoint}}, &log)
		mends(t, client, "by-endpoint", &log, "it answers 503 Service Unavailable", func() { idp.down.Store(false) })
	})
}

// write makes a file for the test.
func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
