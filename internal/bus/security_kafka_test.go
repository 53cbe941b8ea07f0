package bus_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/internal/bus"
	"nines/test/kafka"
)

// Each way to let clients into Apache Kafka carries all that nines does, and
// each mistake is named in one line that says what to do.
func TestPasswordsOverTLSAgainstKafka(t *testing.T) {
	t.Parallel()
	kafka.ApacheOnly(t)
	ca, other := kafka.NewCA(t), kafka.NewCA(t)
	broker := ca.Issue("broker", time.Hour)
	c := kafka.Start(t, kafka.Options{Security: kafka.Security{Cert: broker.Cert, Key: broker.Key,
		Mechanisms: []string{"PLAIN", "SCRAM-SHA-256"}, Users: map[string]string{"nines": "s3cret"}}})
	addr := c.Addrs()[0]
	_, port, _ := strings.Cut(addr, ":")
	at := func(addr string, change func(*bus.Config)) *bus.Client {
		cfg := bus.Config{DialTimeout: 20 * time.Second, RequestTimeout: 20 * time.Second, TLS: bus.TLSConfig{CAFile: ca.File}, SASL: bus.SASLConfig{Mechanism: "plain", User: "nines", Password: "s3cret"}}
		if change != nil {
			change(&cfg)
		}
		return newClient(t, addr, cfg, nil)
	}
	everything(t, at(addr, nil), "plain")
	everything(t, at("localhost:"+port, func(c *bus.Config) { c.SASL.Mechanism = "SCRAM-SHA-256" }), "scram-sha-256")

	f := func(addr string, change func(*bus.Config), want ...string) {
		t.Helper()
		refuses(t, at(addr, change), want...)
	}
	f(addr, func(c *bus.Config) { c.SASL.Password = "wr0ng" }, "connect to Kafka at "+addr, "refused user nines: wrong password?")
	f(addr, func(c *bus.Config) { c.SASL.Mechanism, c.SASL.Password = "scram-sha-256", "wr0ng" }, "refused user nines: wrong password?")
	f(addr, func(c *bus.Config) { c.SASL.Mechanism = "scram-sha-512" }, "does not offer SASL mechanism SCRAM-SHA-512: set sasl.mechanism")
	f(addr, func(c *bus.Config) {
		c.SASL = bus.SASLConfig{Mechanism: "oauthbearer", OAuth: bus.OAuthConfig{TokenFile: write(t, "token", "t")}}
	}, "does not offer SASL mechanism OAUTHBEARER")
	f(addr, func(c *bus.Config) { c.SASL = bus.SASLConfig{} }, "closed the connection", "does it expect SASL")
	f(addr, func(c *bus.Config) { c.TLS = bus.TLSConfig{} }, "the broker expects TLS on this port: set tls.enabled")
	f(addr, func(c *bus.Config) { c.TLS.CAFile = other.File }, "unknown authority", "is tls.ca_file the authority")
	f(addr, func(c *bus.Config) { c.TLS.ServerName = "kafka.example.com" }, "for other names", "localhost", "set tls.server_name")

	t.Run("a wrong password is mended in its file", func(t *testing.T) {
		file := write(t, "password", "wr0ng")
		var log logBuffer
		client := newClient(t, addr, bus.Config{TLS: bus.TLSConfig{CAFile: ca.File}, SASL: bus.SASLConfig{Mechanism: "plain", User: "nines", PasswordFile: file}}, &log)
		mends(t, client, "plain", &log, "wrong password?", func() { copyFile(t, write(t, "p", "s3cret"), file) })
	})
	t.Run("a wrong CA is mended in its file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "ca.pem")
		copyFile(t, other.File, file)
		var log logBuffer
		client := newClient(t, addr, bus.Config{TLS: bus.TLSConfig{CAFile: file}, SASL: bus.SASLConfig{Mechanism: "plain", User: "nines", Password: "s3cret"}}, &log)
		mends(t, client, "plain", &log, "is tls.ca_file the authority", func() { copyFile(t, ca.File, file) })
	})
}

func TestCertificatesAndACLsAgainstKafka(t *testing.T) {
	t.Parallel()
	kafka.ApacheOnly(t)
	ca, other := kafka.NewCA(t), kafka.NewCA(t)
	broker := ca.Issue("broker", time.Hour)
	c := kafka.Start(t, kafka.Options{Security: kafka.Security{Cert: broker.Cert, Key: broker.Key, ClientCA: ca.File, ACLs: true, SuperUsers: []string{"User:CN=root"}}})
	login := func(pair kafka.Pair, log *logBuffer) *bus.Client {
		cfg := bus.Config{DialTimeout: 20 * time.Second, RequestTimeout: 20 * time.Second, TLS: bus.TLSConfig{CAFile: ca.File, CertFile: pair.Cert, KeyFile: pair.Key}}
		if log == nil {
			log = &logBuffer{}
		}
		return newClient(t, c.Addrs()[0], cfg, log)
	}
	root := login(ca.Issue("root", time.Hour), nil)
	everything(t, root, "mutual")
	refuses(t, login(ca.Issue("root", -time.Minute), nil), "refused the client certificate", "is valid from", "renew it, it is read again")
	refuses(t, login(other.Issue("root", time.Hour), nil), "refused the client certificate", "signed by an authority that the broker trusts?")
	refuses(t, login(kafka.Pair{}, nil), "asks for a client certificate", "set tls.cert_file and tls.key_file")

	t.Run("an expired certificate is renewed in its file", func(t *testing.T) {
		old, fresh := ca.Issue("root", -time.Minute), ca.Issue("root", time.Hour)
		var log logBuffer
		mends(t, login(old, &log), "mutual", &log, "renew it", func() {
			copyFile(t, fresh.Key, old.Key)
			copyFile(t, fresh.Cert, old.Cert)
		})
	})
	ctx := testContext(t, 10*time.Minute) // Kafka's own tool takes most of a minute on a busy machine, each time
	allow := func(operation string, resource ...string) func() {
		return func() {
			if err := c.Allow(ctx, "User:CN=collector", []string{operation}, resource...); err != nil {
				t.Error(err)
			}
		}
	}
	pair := ca.Issue("collector", time.Hour)
	t.Run("no right to see the topic, then none to write", func(t *testing.T) {
		var log logBuffer
		client := login(pair, &log)
		_, err := client.Partitions(ctx, "mutual")
		if err == nil || !strings.Contains(err.Error(), "look up topic mutual: no such topic or partition, or no ACL lets the subject of the certificate") {
			t.Errorf("got %v", err)
		}
		allow("Describe", "--topic", "mutual")()
		mends(t, client, "mutual", &log, "may not do this to the topic: an ACL for WRITE is missing on the broker", allow("Write", "--topic", "mutual"))
	})
	t.Run("no right to read, then none in the group", func(t *testing.T) {
		var log logBuffer
		client := login(pair, &log)
		r := client.Reader("mutual", 0, 0)
		if _, err := r.Fetch(ctx, time.Second); err == nil || !bus.Temporary(err) || !strings.Contains(err.Error(), "may not do this to the topic: an ACL for READ is missing") {
			t.Errorf("got %v", err)
		}
		allow("Read", "--topic", "mutual")()
		eventually(t, time.Minute, "the reader goes on", func() bool {
			recs, err := r.Fetch(ctx, time.Second)
			return err == nil && len(recs) > 0
		})
		joined, leave := context.WithCancel(ctx)
		defer leave()
		done := make(chan error, 1)
		g := client.Group(bus.GroupOptions{ID: "nines-aggregate", Topics: []string{"mutual"},
			OnGeneration: func(ctx context.Context, gen *bus.Generation) error {
				defer leave()
				return gen.Commit(ctx, "mutual", 0, 1, "")
			}})
		go func() { done <- g.Run(joined) }()
		eventually(t, time.Minute, "the cause is logged", func() bool {
			return strings.Contains(log.String(), "may not take part in the group: an ACL for READ on the group is missing")
		})
		allow("Read", "--group", "nines-aggregate")()
		if err := <-done; err != nil || ctx.Err() != nil {
			t.Errorf("%v, %v", err, ctx.Err())
		}
		if at, _, err := client.Committed(ctx, "nines-aggregate", "mutual", 0); err != nil || at != 1 {
			t.Errorf("committed %d, %v", at, err)
		}
	})
}

// The broker's own certificate has ended, and a port without TLS.
func TestABrokerThatCannotBeTrusted(t *testing.T) {
	t.Parallel()
	kafka.ApacheOnly(t)
	ca := kafka.NewCA(t)
	for _, c := range []struct {
		pair kafka.Pair
		want []string
	}{
		{ca.Issue("broker", -time.Hour), []string{`the broker's certificate "broker" is not valid now, but from`, "renew it on the broker"}},
		{kafka.Pair{}, []string{"the broker ended the TLS handshake: does it speak TLS on this port?"}},
	} {
		broker := kafka.Start(t, kafka.Options{Security: kafka.Security{Cert: c.pair.Cert, Key: c.pair.Key}})
		addr := broker.Addrs()[0]
		refuses(t, newClient(t, addr, bus.Config{TLS: bus.TLSConfig{CAFile: ca.File}, RequestTimeout: 20 * time.Second}, nil), append(c.want, "connect to Kafka at "+addr)...)
		if c.pair.Cert == "" {
			refuses(t, newClient(t, addr, bus.Config{SASL: bus.SASLConfig{Mechanism: "plain", User: "nines", Password: "s3cret"}, RequestTimeout: 20 * time.Second}, nil),
				"the broker does not expect SASL on this port")
		}
	}
}

// refuses asks for the error that each of several clients' first calls ends in.
func refuses(t *testing.T, c *bus.Client, want ...string) {
	t.Helper()
	err := c.Ping(testContext(t, time.Minute))
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got %v, want %q", err, w)
		}
	}
	if err == nil {
		return
	}
	for _, secret := range []string{"s3cret", "wr0ng", "\n"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows a password or takes several lines: %q", err)
		}
	}
	if !bus.Temporary(err) {
		t.Errorf("not tried again: %v", err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(to+".new", to)
	}
	if err != nil {
		t.Error(err)
	}
}
