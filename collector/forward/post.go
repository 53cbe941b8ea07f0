package forward

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// poster makes the HTTP requests to one target.
type poster struct {
	t      Target
	client *http.Client
}

func newPoster(t Target) (*poster, error) {
	conf, err := t.TLS.config()
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", t.Name, err)
	}
	return &poster{t: t, client: &http.Client{
		Timeout:   t.Timeout.D(),
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
		// A POST that is redirected would become a GET without samples.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (c TLS) config() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName, InsecureSkipVerify: c.InsecureSkipVerify}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read tls.ca_file: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read tls.ca_file: no certificate in %s", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read tls.cert_file %s and tls.key_file %s: %w", c.CertFile, c.KeyFile, err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// answer is what the receiver said.
type answer struct {
	code       int
	words      string
	counts     bool // it said how many samples it wrote, as 2.0 demands
	wrote      int
	retryAfter time.Duration
}

// String returns the status and the receiver's words.
func (a *answer) String() string {
	return strings.TrimSpace(fmt.Sprintf("the receiver answers %d %s: %s", a.code, http.StatusText(a.code), a.words))
}

// taken tells whether the samples are with the receiver.
func (a *answer) taken(v version) bool { return a.code/100 == 2 && (v == version1 || a.counts) }

// refusal tells whether the receiver refuses what is in the request. A wrong
// password, address or tenant is no fault of the samples: an operator mends it
// and nothing is lost, as with 429 and all 5xx.
func (a *answer) refusal() bool {
	switch a.code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusUnsupportedMediaType, http.StatusTooEarly,
		http.StatusTooManyRequests:
		return false
	}
	return a.code/100 == 4
}

// send makes one request.
func (p *poster) send(ctx context.Context, v version, data []byte) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.t.URL, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	for k, value := range p.t.Headers {
		req.Header.Set(k, value)
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("User-Agent", "nines")
	if v == version2 {
		req.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
		req.Header.Set("X-Prometheus-Remote-Write-Version", "2.0.0")
	} else {
		req.Header.Set("Content-Type", "application/x-protobuf")
		req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	}
	if err := p.authorize(req); err != nil {
		return nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	words, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", p.t.URL, err)
	}
	a := &answer{code: resp.StatusCode, words: strings.TrimSpace(string(words)), retryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	for _, name := range []string{"X-Prometheus-Remote-Write-Samples-Written", "X-Prometheus-Remote-Write-Histograms-Written"} {
		if n, err := strconv.Atoi(resp.Header.Get(name)); err == nil {
			a.counts = true
			a.wrote += n
		}
	}
	return a, nil
}

// maxRetryAfter bounds what a receiver can make us wait.
const maxRetryAfter = 5 * time.Minute

// retryAfter reads the header: seconds, or a date (RFC 9110, section 10.2.3).
func retryAfter(text string, now time.Time) time.Duration {
	d := time.Duration(0)
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

// authorize reads secrets anew, so that one that is changed needs no restart.
func (p *poster) authorize(req *http.Request) error {
	if a := p.t.BasicAuth; a.Username != "" {
		password, err := secret("basic_auth", string(a.Password), a.PasswordFile, a.PasswordEnv)
		if err != nil {
			return err
		}
		req.SetBasicAuth(a.Username, password)
	}
	if b := p.t.Bearer; b.TokenFile != "" || b.TokenEnv != "" {
		token, err := secret("bearer", "", b.TokenFile, b.TokenEnv)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return nil
}

func secret(what, value, file, env string) (string, error) {
	switch {
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read the secret of %s: %w", what, err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	case env != "":
		s, ok := os.LookupEnv(env)
		if !ok {
			return "", fmt.Errorf("read the secret of %s: the environment has no %s", what, env)
		}
		return s, nil
	}
	return value, nil
}
