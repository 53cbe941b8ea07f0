package probe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"nines/agent/discovery"
)

// httpProbe sends one HTTP/1.1 request an attempt. It writes to its own
// connection instead of through net/http's Transport, which may send a request
// twice when a reused connection breaks: here a target sees each attempt at
// most once.
type httpProbe struct {
	c    *job
	url  *url.URL
	boot uint64
	out  wireRequest
	idle *idleConn // nil unless connections are kept
	alpn []string  // protocols to offer where it is not HTTP/1.1
}

// wireRequest is a request as written, around the value of Nines-Probe.
type wireRequest struct {
	url           *url.URL
	method        string
	before, after []byte
}

// attemptHeader names the attempt, as <boot in 16 hex digits>-<scheduled time
// in Unix ms>, so that a target's own log can be compared with the ledger.
const attemptHeader = "Nines-Probe"

// attemptMark stands for the header's value until a request is sent.
const attemptMark = "nines-attempt-mark"

const maxRedirects = 10

func (c *job) bindHTTP(sp *spec, t discovery.Target) (shown string, err error) {
	u, err := targetURL(t)
	if err != nil {
		return "", err
	}
	out, err := c.newRequest(u, c.HTTP.Method, c.requestBody, c.headers())
	if err != nil {
		return "", err
	}
	p := &httpProbe{c: c, url: u, boot: c.env.boot, out: out}
	sp.phases, sp.figures = httpPhases(u), tlsFigures(u)
	if c.HTTP.FollowRedirects {
		sp.phases[phaseDNS], sp.phases[phaseTLS] = true, true
		sp.figures = tlsFigures(&url.URL{Scheme: "https"})
	}
	if c.HTTP.KeepAlive {
		p.idle = &idleConn{}
		sp.close = p.idle.close
	}
	sp.probe = p.probe
	return u.Redacted(), nil
}

// httpPhases returns the phases that requests to u can have.
func httpPhases(u *url.URL) [numPhases]bool {
	p := [numPhases]bool{phaseConnect: true, phaseFirstByte: true, phaseTransfer: true}
	_, isName := netip.ParseAddr(u.Hostname())
	p[phaseDNS], p[phaseTLS] = isName != nil, u.Scheme == "https"
	return p
}

// targetURL reads a target's address, with __scheme and __path where it is no
// URL by itself.
func targetURL(t discovery.Target) (*url.URL, error) {
	a := t.Address
	if !strings.Contains(a, "://") {
		a = first(t.Labels["__scheme"], "http") + "://" + a
		if p := t.Labels["__path"]; p != "" {
			a += "/" + strings.TrimPrefix(p, "/")
		}
	}
	u, err := url.Parse(a)
	if err != nil {
		return nil, fmt.Errorf("http target: %w", err)
	}
	return u, checkURL(u)
}

func checkURL(u *url.URL) error {
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return fmt.Errorf("http target must be a URL like https://host/path, got %q", u.Redacted())
	}
	if p := u.Port(); p != "" {
		return checkHostPort(u.Host)
	}
	return nil
}

// newRequest serializes a request through net/http.
func (c *job) newRequest(u *url.URL, method, body string, headers map[string]string) (wireRequest, error) {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, u.String(), r) //nolint:noctx // serialized here, never sent by net/http
	if err != nil {
		return wireRequest{}, err
	}
	req.Header.Set("User-Agent", "nines-agent")
	req.Header.Set("Accept", "*/*")
	if u.User != nil {
		password, _ := u.User.Password()
		req.SetBasicAuth(u.User.Username(), password)
	}
	for n, v := range headers {
		if http.CanonicalHeaderKey(n) == "Host" {
			req.Host = v
			continue
		}
		req.Header.Set(n, v)
	}
	req.Close = !c.HTTP.KeepAlive
	req.Header.Set(attemptHeader, attemptMark)
	var b bytes.Buffer
	if err := req.Write(&b); err != nil {
		return wireRequest{}, err
	}
	before, after, _ := bytes.Cut(b.Bytes(), []byte(attemptMark))
	return wireRequest{url: u, method: method, before: before, after: after}, nil
}

func (w *wireRequest) bytes(boot uint64, at int64) []byte {
	b := make([]byte, 0, len(w.before)+len(w.after)+32)
	b = append(b, w.before...)
	b = fmt.Appendf(b, "%016x-", boot)
	b = strconv.AppendInt(b, at, 10)
	return append(b, w.after...)
}

func (p *httpProbe) probe(ctx context.Context, at int64) result {
	r := newResult()
	out := &p.out
	for range maxRedirects + 1 {
		next, err := p.exchange(ctx, out, at, &r)
		if err != nil || next == nil {
			return r
		}
		if out, err = p.redirected(out, next); err != nil {
			r.failAs(reasonStatus, err)
			return r
		}
	}
	r.failAs(reasonStatus, errAnswer("more than %d redirects", maxRedirects))
	return r
}

// redirected returns the request that follows a redirect. Credentials are not
// carried to another host.
func (p *httpProbe) redirected(from *wireRequest, to *redirect) (*wireRequest, error) {
	u, err := from.url.Parse(to.location)
	if err != nil {
		return nil, fmt.Errorf("redirect: %w", err)
	}
	if err := checkURL(u); err != nil {
		return nil, fmt.Errorf("redirect: %w", err)
	}
	method, body, headers := from.method, p.c.requestBody, map[string]string{}
	if to.status != http.StatusTemporaryRedirect && to.status != http.StatusPermanentRedirect && method != http.MethodHead {
		method, body = http.MethodGet, ""
	}
	if p.c.HTTP.BodyFile != "" && u.Host != p.url.Host {
		body = ""
	}
	for n, v := range p.c.headers() {
		_, secret := p.c.secret[n]
		secret = secret || n == "Authorization" || n == "Cookie" || n == "Host"
		if !secret || u.Host == p.url.Host {
			headers[n] = v
		}
	}
	w, err := p.c.newRequest(u, method, body, headers)
	return &w, err
}

// redirect is an answer that points elsewhere.
type redirect struct {
	status   int
	location string
}

// exchange sends one request and reads its answer into r. It returns where to
// go on if that is wanted. r is complete when it returns an error or no
// redirect.
func (p *httpProbe) exchange(ctx context.Context, out *wireRequest, at int64, r *result) (*redirect, error) {
	conn, err := p.connect(ctx, out.url, r)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	next, reusable, err := p.talk(conn, out, at, r)
	if !stop() || !reusable || !p.idle.put(conn, out.url) {
		conn.Close()
	}
	if err != nil && ctx.Err() != nil {
		r.fail(ctx.Err())
	}
	return next, err
}

// talk writes the request and judges the answer.
func (p *httpProbe) talk(conn *bufferedConn, out *wireRequest, at int64, r *result) (next *redirect, reusable bool, err error) {
	start := time.Now()
	if _, err := conn.Write(out.bytes(p.boot, at)); err != nil {
		r.fail(fmt.Errorf("send request: %w", err))
		return nil, false, err
	}
	conn.left = maxHead + p.c.HTTP.MaxBody
	resp, err := readResponse(conn.r, out.method)
	got := time.Now()
	if err != nil {
		r.fail(fmt.Errorf("read answer: %w", err))
		return nil, false, err
	}
	defer resp.Body.Close()
	r.phases[phaseFirstByte] = got.Sub(start)
	r.status = resp.StatusCode
	body, whole, err := p.readBody(resp)
	r.phases[phaseTransfer] = time.Since(got)
	if err != nil {
		r.fail(fmt.Errorf("read body: %w", err))
		return nil, false, err
	}
	reusable = whole && !resp.Close
	if l := resp.Header.Get("Location"); p.c.HTTP.FollowRedirects && isRedirect(resp.StatusCode) && l != "" {
		return &redirect{resp.StatusCode, l}, reusable, nil
	}
	p.judge(resp, body, r)
	return nil, reusable, nil
}

func isRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

func (p *httpProbe) judge(resp *http.Response, body []byte, r *result) {
	want := p.c.HTTP.Status
	good := slices.Contains(want, resp.StatusCode) || len(want) == 0 && resp.StatusCode/100 == 2
	switch {
	case !good:
		r.failAs(reasonStatus, errAnswer("answered %s", resp.Status))
	case p.c.body != nil && !p.c.body.Match(body):
		r.failAs(reasonStatus, errAnswer("body does not match %s", p.c.body))
	default:
		r.ok = true
		p.judgeHeaders(resp.Header, r)
	}
}

func (p *httpProbe) judgeHeaders(h http.Header, r *result) {
	for n, re := range p.c.header {
		if !re.MatchString(strings.Join(h.Values(n), ", ")) {
			r.failAs(reasonStatus, errAnswer("header %s does not match %s", n, re))
		}
	}
}

// readResponse reads the head of the final answer, past informational ones.
func readResponse(br *bufio.Reader, method string) (*http.Response, error) {
	for range 10 {
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
	return nil, errors.New("ten informational answers and no final one")
}

// readBody reads at most max_body bytes; whole tells whether that was all. The
// bytes are kept only where they are to be matched.
func (p *httpProbe) readBody(resp *http.Response) (body []byte, whole bool, err error) {
	limited := &io.LimitedReader{R: resp.Body, N: p.c.HTTP.MaxBody + 1}
	if p.c.body != nil {
		body, err = io.ReadAll(limited)
	} else {
		_, err = io.Copy(io.Discard, limited)
	}
	return body[:min(int64(len(body)), p.c.HTTP.MaxBody)], limited.N > 0, err
}

// connect returns a connection to the URL's host: the kept one, or a new one
// whose phases are measured.
func (p *httpProbe) connect(ctx context.Context, u *url.URL, r *result) (*bufferedConn, error) {
	deadline, _ := ctx.Deadline()
	if conn := p.idle.take(u); conn != nil {
		r.expiry = first(r.expiry, earliestExpiry(conn.state.PeerCertificates))
		p.noteTLS(conn.state, r)
		return conn, conn.SetDeadline(deadline)
	}
	address := net.JoinHostPort(u.Hostname(), first(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]))
	plain, err := dial(ctx, network("tcp", p.c.HTTP.IPVersion), address, r)
	if err != nil {
		r.fail(err)
		return nil, err
	}
	_ = plain.SetDeadline(deadline)
	if u.Scheme == "http" {
		return newBufferedConn(plain, plain), nil
	}
	return p.handshake(ctx, plain, u, r)
}
