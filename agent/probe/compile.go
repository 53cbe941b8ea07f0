package probe

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/net/http/httpguts"

	"nines/agent/discovery"
	"nines/internal/telemetry"
)

// env is what targets need beyond their configuration. The zero value serves
// to check addresses.
type env struct {
	dir   string
	boot  uint64
	agent string
	ping  *pinger
	// budgets of tokens, by job; nil where nothing is asked.
	budgets *budgets
}

// reserved label names belong to the prober; a target's own label of that name
// is kept as exported_<name>.
var reserved = map[string]bool{"probe": true, "phase": true, "reason": true}

// job is a Job with what all its targets share made ready. It remembers the
// specs it made, so that a target that stays keeps its spec.
type job struct {
	Job
	env    env
	body   *regexp.Regexp
	answer *regexp.Regexp
	// header are the checks of an answer's headers; secret the headers from files.
	header map[string]*regexp.Regexp
	secret map[string]string
	// requestBody is sent with the request.
	requestBody string
	tls         *tls.Config
	known       map[string]*spec
	asked       map[string]bool // keys of known that were asked for since forgetOthers
}

// compileJob takes a job with its defaults filled in.
func compileJob(j Job, ev env) (*job, error) {
	c := &job{Job: j, env: ev, known: map[string]*spec{}, asked: map[string]bool{}}
	var err error
	if j.HTTP.BodyRegexp != "" {
		if c.body, err = regexp.Compile(j.HTTP.BodyRegexp); err != nil {
			return nil, fmt.Errorf("http.body_regexp: %w", err)
		}
	}
	if j.DNS.AnswerRegexp != "" {
		if c.answer, err = regexp.Compile(j.DNS.AnswerRegexp); err != nil {
			return nil, fmt.Errorf("dns.answer_regexp: %w", err)
		}
	}
	c.tls = &tls.Config{
		InsecureSkipVerify: j.HTTP.InsecureSkipVerify, //nolint:gosec // the operator's choice
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
	}
	if j.HTTP.CAFile != "" {
		if c.tls.RootCAs, err = readCAs(absolute(ev.dir, j.HTTP.CAFile)); err != nil {
			return nil, fmt.Errorf("http.ca_file: %w", err)
		}
	}
	if err := c.compileHeaders(); err != nil {
		return nil, err
	}
	if err := c.compileBody(); err != nil {
		return nil, err
	}
	if _, err = c.key(); err != nil {
		return nil, err
	}
	return c, nil
}

// maxBodyFile bounds what is sent with every attempt.
const maxBodyFile = 1 << 20

// compileBody takes the request's body, which may be secret and in a file.
func (c *job) compileBody() error {
	c.requestBody = c.HTTP.Body
	if c.HTTP.BodyFile == "" {
		return nil
	}
	file := absolute(c.env.dir, c.HTTP.BodyFile)
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("http.body_file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxBodyFile+1))
	switch {
	case err != nil:
		return fmt.Errorf("http.body_file: %w", err)
	case len(b) > maxBodyFile:
		return fmt.Errorf("http.body_file: read %s: more than %d bytes", file, maxBodyFile)
	}
	c.requestBody = string(b)
	return nil
}

// compileHeaders makes the checks of headers ready and reads secret ones.
func (c *job) compileHeaders() error {
	c.header, c.secret = map[string]*regexp.Regexp{}, map[string]string{}
	for n, text := range c.HTTP.HeaderRegexp {
		re, err := regexp.Compile(text)
		if err != nil {
			return fmt.Errorf("http.header_regexp.%s: %w", n, err)
		}
		c.header[http.CanonicalHeaderKey(n)] = re
	}
	for n, file := range c.HTTP.HeadersFile {
		v, err := readSecret(absolute(c.env.dir, file))
		if err == nil && !httpguts.ValidHeaderFieldValue(v) {
			err = fmt.Errorf("read %s: holds what no header may", file)
		}
		if err != nil {
			return fmt.Errorf("http.headers_file.%s: %w", n, err)
		}
		c.secret[http.CanonicalHeaderKey(n)] = v
	}
	return nil
}

// headers returns the headers of a request to a target.
func (c *job) headers() map[string]string {
	m := maps.Clone(c.secret)
	for n, v := range c.HTTP.Headers {
		m[http.CanonicalHeaderKey(n)] = v
	}
	return m
}

func readCAs(file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("read %s: holds no PEM certificate", file)
	}
	return pool, nil
}

// compileTarget makes the spec of one target by itself.
func compileTarget(j Job, t discovery.Target, ev env) (*spec, error) {
	c, err := compileJob(j, ev)
	if err != nil {
		return nil, err
	}
	return c.target(t)
}

// target returns the spec of a target: the one it made before, or a new one.
func (c *job) target(t discovery.Target) (*spec, error) {
	id := targetID(t)
	c.asked[id] = true
	if sp := c.known[id]; sp != nil {
		return sp, nil
	}
	sp := &spec{
		kind:     first(t.Labels["__probe"], c.Probe),
		interval: c.Interval.Milliseconds(),
		timeout:  c.Timeout,
	}
	shown, err := c.bind(sp, t)
	if err != nil {
		return nil, err
	}
	sp.labels = c.labels(sp.kind, shown, t.Labels)
	sp.key = sp.labels.String()
	h := xxhash.Sum64String(c.env.agent + "\x00" + sp.key)
	sp.phase = int64(h % uint64(max(1, sp.interval)))
	c.known[id] = sp
	return sp, nil
}

// forgetOthers drops the specs of targets that nobody asked for since the last
// call.
func (c *job) forgetOthers() {
	maps.DeleteFunc(c.known, func(id string, _ *spec) bool { return !c.asked[id] })
	clear(c.asked)
}

// bind sets the probe of sp and returns how its target is shown.
func (c *job) bind(sp *spec, t discovery.Target) (shown string, err error) {
	switch sp.kind {
	case "icmp":
		return t.Address, c.bindICMP(sp, t.Address)
	case "tcp":
		return t.Address, c.bindTCP(sp, t.Address)
	case "http":
		return c.bindHTTP(sp, t)
	case "dns":
		return t.Address, c.bindDNS(sp, t)
	case "llm":
		return c.bindLLM(sp, t)
	case "tls":
		return t.Address, c.bindTLS(sp, t.Address)
	case "grpc":
		return t.Address, c.bindGRPC(sp, t.Address)
	}
	return "", fmt.Errorf("%s: probe must be one of %s, got %q", t.Address, strings.Join(kinds, ", "), sp.kind)
}

// labels returns the labels of a target's series: the job's, then the
// target's own, then what the prober sets.
func (c *job) labels(kind, shown string, own map[string]string) telemetry.Labels {
	m := map[string]string{"job": c.Name, "target": shown}
	maps.Copy(m, c.Labels)
	for n, v := range own {
		switch {
		case strings.HasPrefix(n, "__"):
		case reserved[n]:
			m["exported_"+n] = v
		default:
			m[n] = v
		}
	}
	m["probe"] = kind
	return telemetry.NewLabels(m)
}

func targetID(t discovery.Target) string {
	var b strings.Builder
	b.WriteString(strconv.Quote(t.Address))
	for _, n := range slices.Sorted(maps.Keys(t.Labels)) {
		b.WriteString(n)
		b.WriteString(strconv.Quote(t.Labels[n]))
	}
	return b.String()
}

func (c *job) bindICMP(sp *spec, host string) error {
	if host == "" || strings.ContainsAny(host, "/ ") {
		return fmt.Errorf("icmp target must be a host name or an address, got %q", host)
	}
	p := &icmpProbe{
		ping: c.env.ping, host: host, version: c.ICMP.IPVersion, size: c.ICMP.Size, wait: c.Timeout,
		packets: c.ICMP.Packets, spacing: c.Interval / time.Duration(c.ICMP.Packets), maxLoss: *c.ICMP.MaxLoss,
	}
	if p.packets > 1 {
		sp.figures[figureJitter] = true
		sp.timeout = c.ICMP.roundTimeout(c.Interval, c.Timeout)
	}
	sp.probe = p.probe
	return nil
}

func (c *job) bindTCP(sp *spec, address string) error {
	address = strings.TrimPrefix(address, "tcp://")
	if err := checkHostPort(address); err != nil {
		return fmt.Errorf("tcp target must be host:port: %w", err)
	}
	p := &tcpProbe{network: network("tcp", c.TCP.IPVersion), address: address}
	sp.probe = p.probe
	return nil
}

func network(base string, version int) string {
	if version == 0 {
		return base
	}
	return base + strconv.Itoa(version)
}

func checkHostPort(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%w, got %q", err, address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" {
		return fmt.Errorf("host is missing or port is not within 1 and 65535, got %q", address)
	}
	return nil
}

// compileControl makes the spec of a control target written as a URL.
func compileControl(c Config, address string, ev env) (*spec, error) {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		return nil, fmt.Errorf("must be tcp://host:port, icmp://host, http://…, https://… or dns://server/name, got %q", address)
	}
	j := Job{Name: "control", Probe: scheme}
	target := rest
	switch scheme {
	case "icmp", "tcp":
	case "http", "https":
		j.Probe, target = "http", address
	case "dns":
		u, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		target = u.Host
		j.DNS.Name, j.DNS.Type = strings.Trim(u.Path, "/"), u.Query().Get("type")
		if j.DNS.Name == "" {
			return nil, fmt.Errorf("must be dns://server/name, got %q", address)
		}
	default:
		return nil, fmt.Errorf("must begin with tcp, icmp, http, https or dns, got %q", address)
	}
	if target == "" {
		return nil, errors.New("names no host")
	}
	sp, err := compileTarget(c.withDefaults(j), discovery.Target{Address: target}, ev)
	if err != nil {
		return nil, err
	}
	sp.key = "control " + sp.key
	return sp, nil
}
