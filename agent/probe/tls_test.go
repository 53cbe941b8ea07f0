package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate as PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.pem")}
	whole := a.issue("", -time.Hour, 1000*time.Hour)
	a.cert, a.key = whole.Leaf, whole.PrivateKey.(*ecdsa.PrivateKey)
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: whole.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes a certificate for the host that begins and ends so far from now:
// one of an authority without a host, and signed by itself while there is no
// authority.
func (a *authority) issue(host string, begins, ends time.Duration) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "nines test " + host},
		NotBefore: time.Now().Add(begins), NotAfter: time.Now().Add(ends).Truncate(time.Second),
		BasicConstraintsValid: true, IsCA: host == "", KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else if host != "" {
		c.DNSNames = []string{host}
	}
	parent, signer := c, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// tlsServer makes handshakes and nothing else.
func tlsServer(t *testing.T, conf *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { _ = c.(*tls.Conn).Handshake(); c.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

func serveCerts(certs ...tls.Certificate) *tls.Config {
	whole := certs[0]
	for _, c := range certs[1:] {
		whole.Certificate = append(whole.Certificate, c.Certificate...)
	}
	return &tls.Config{Certificates: []tls.Certificate{whole}, MinVersion: tls.VersionTLS10}
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	good := ca.issue("127.0.0.1", -time.Hour, 100*time.Hour)
	f := func(o HTTP, conf *tls.Config, ok bool, why reason, text string, verified float64, ends time.Time) {
		t.Helper()
		r := try(t, Job{Probe: "tls", HTTP: o}, at(tlsServer(t, conf)), 5*time.Second)
		wantResult(t, r, ok, why, text)
		wantFigures(t, r, map[figure]float64{figureVerified: verified})
		if !r.expiry.Equal(ends) {
			t.Errorf("expiry %v, want %v", r.expiry, ends)
		}
		if ok && r.figures[figureTLSVersion] != 1.3 || r.phases[phaseConnect] < 0 {
			t.Errorf("%+v", r)
		}
	}
	trusted, unseen := HTTP{CAFile: ca.file}, HTTP{CAFile: ca.file, InsecureSkipVerify: true}
	f(trusted, serveCerts(good), true, 0, "", 1, good.Leaf.NotAfter)
	f(HTTP{}, serveCerts(good), false, reasonCertUntrusted, "unknown authority", 0, good.Leaf.NotAfter)
	f(unseen, serveCerts(good), true, 0, "", 1, good.Leaf.NotAfter)
	f(HTTP{InsecureSkipVerify: true}, serveCerts(good), true, 0, "", 0, good.Leaf.NotAfter)

	expired := ca.issue("127.0.0.1", -10*time.Hour, -time.Hour)
	f(trusted, serveCerts(expired), false, reasonCertExpired, "expired", 0, expired.Leaf.NotAfter)
	f(unseen, serveCerts(expired), true, 0, "", 0, expired.Leaf.NotAfter)
	early := ca.issue("127.0.0.1", time.Hour, 10*time.Hour)
	f(trusted, serveCerts(early), false, reasonCertExpired, "not yet valid", 0, early.Leaf.NotAfter)
	other := ca.issue("shop.example", -time.Hour, 10*time.Hour)
	f(trusted, serveCerts(other), false, reasonCertName, "127.0.0.1", 0, other.Leaf.NotAfter)
	f(HTTP{CAFile: ca.file, ServerName: "shop.example"}, serveCerts(other), true, 0, "", 1, other.Leaf.NotAfter)
	self := (&authority{t: t}).issue("127.0.0.1", -time.Hour, 10*time.Hour)
	f(trusted, serveCerts(self), false, reasonCertUntrusted, "unknown authority", 0, self.Leaf.NotAfter)
	// What else of the chain is shown ends first.
	f(trusted, serveCerts(good, other), true, 0, "", 1, other.Leaf.NotAfter)

	soon := Job{Probe: "tls", HTTP: trusted, TLS: TLS{MinValidity: 101 * time.Hour}}
	wantResult(t, try(t, soon, at(tlsServer(t, serveCerts(good))), 5*time.Second), false, reasonCertExpiring, "less than 101h")
	soon.TLS.MinValidity = 99 * time.Hour
	wantResult(t, try(t, soon, at("tls://"+tlsServer(t, serveCerts(good))), 5*time.Second), true, 0, "")

	old := serveCerts(good)
	old.MaxVersion = tls.VersionTLS12
	wantFigures(t, try(t, Job{Probe: "tls", HTTP: trusted}, at(tlsServer(t, old)), 5*time.Second), map[figure]float64{figureTLSVersion: 1.2})
	old.MaxVersion = tls.VersionTLS11
	wantResult(t, try(t, Job{Probe: "tls", HTTP: trusted}, at(tlsServer(t, old)), 5*time.Second), false, reasonTLS, "protocol version")
	wantResult(t, try(t, Job{Probe: "tls"}, at(freePort(t)), 5*time.Second), false, reasonRefused, "")
	// A server with protocols of its own is none that HTTP is pressed on.
	own := serveCerts(good)
	own.NextProtos = []string{"kafka-of-sorts"}
	wantResult(t, try(t, Job{Probe: "tls", HTTP: trusted}, at(tlsServer(t, own)), 5*time.Second), true, 0, "")
}

func TestTLSTargets(t *testing.T) {
	f := func(address, want string) {
		t.Helper()
		if u, err := tlsURL(address); err != nil || u.Host != want {
			t.Errorf("%s: %v, %v", address, u, err)
		}
	}
	f("example.com", "example.com:443")
	f("tls://example.com:8443", "example.com:8443")
	f("2001:db8::1", "[2001:db8::1]:443")
	f("[2001:db8::1]:9", "[2001:db8::1]:9")
	for _, bad := range []string{"", "https://example.com", "example.com:0", "a b"} {
		if u, err := tlsURL(bad); err == nil {
			t.Errorf("%q: %v", bad, u)
		}
	}
}

func TestHTTPSVerifies(t *testing.T) {
	ca := newAuthority(t)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.TLS = serveCerts(ca.issue("127.0.0.1", -time.Hour, time.Hour))
	srv.StartTLS()
	defer srv.Close()
	r := try(t, Job{HTTP: HTTP{CAFile: ca.file}}, at(srv.URL), 5*time.Second)
	wantResult(t, r, true, 0, "")
	wantFigures(t, r, map[figure]float64{figureVerified: 1, figureTLSVersion: 1.3})
}

// Secret headers come from files, reach the target, and no other host.
func TestHTTPHeaders(t *testing.T) {
	show := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Got", r.Header.Get("X-Token")+"|"+r.Header.Get("X-Plain"))
		w.Header().Add("Cache-Control", "no-store")
		w.Header().Add("Cache-Control", "private")
	}
	away := httptest.NewServer(http.HandlerFunc(show))
	defer away.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, away.URL, http.StatusFound)
			return
		}
		show(w, r)
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(path string, check map[string]string, ok bool, text string) {
		t.Helper()
		o := HTTP{HeadersFile: map[string]string{"x-token": file}, Headers: map[string]string{"x-plain": "p"}, HeaderRegexp: check, FollowRedirects: true}
		wantResult(t, try(t, Job{HTTP: o}, at(srv.URL+path), 5*time.Second), ok, reasonStatus, text)
	}
	f("/", map[string]string{"x-got": "^s3cret\\|p$", "Cache-Control": "^no-store, private$"}, true, "")
	f("/", map[string]string{"X-Missing": "^$"}, true, "")
	f("/", map[string]string{"X-Missing": "."}, false, "header X-Missing does not match .")
	f("/away", map[string]string{"x-got": "^\\|p$"}, true, "")
	bad := Job{Name: "x", Probe: "http", HTTP: HTTP{HeadersFile: map[string]string{"X": file + "none"}}}
	if _, err := compileJob(Config{}.withDefaults(bad), env{}); err == nil || !strings.Contains(err.Error(), "http.headers_file.X: open ") {
		t.Errorf("%v", err)
	}
}
