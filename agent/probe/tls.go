package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// tlsProbe makes a handshake and closes. No protocol is offered: it is for
// whatever speaks TLS.
type tlsProbe struct {
	http httpProbe
	url  *url.URL
}

func (c *job) bindTLS(sp *spec, address string) error {
	u, err := tlsURL(address)
	if err != nil {
		return err
	}
	p := &tlsProbe{http: httpProbe{c: c, url: u, alpn: []string{}}, url: u}
	sp.phases, sp.figures = httpPhases(u), tlsFigures(u)
	sp.phases[phaseFirstByte], sp.phases[phaseTransfer] = false, false
	sp.probe = p.probe
	return nil
}

// tlsURL reads host:port or host, whose port is 443 then.
func tlsURL(address string) (*url.URL, error) {
	a := strings.TrimPrefix(address, "tls://")
	if _, _, err := net.SplitHostPort(a); err != nil && a != "" && !strings.ContainsAny(a, "/ ") {
		a = net.JoinHostPort(strings.Trim(a, "[]"), "443")
	}
	if err := checkHostPort(a); err != nil {
		return nil, fmt.Errorf("tls target must be host:port: %w", err)
	}
	return &url.URL{Scheme: "https", Host: a}, nil
}

// tlsFigures are the figures of connections to u.
func tlsFigures(u *url.URL) (f [numFigures]bool) {
	f[figureVerified] = u.Scheme == "https"
	f[figureTLSVersion] = f[figureVerified]
	return f
}

func (p *tlsProbe) probe(ctx context.Context, _ int64) result {
	r := newResult()
	conn, err := p.http.connect(ctx, p.url, &r)
	if err != nil {
		return r
	}
	conn.Close()
	want := p.http.c.TLS.MinValidity
	if left := time.Until(r.expiry); want > 0 && left < want {
		r.failAs(reasonCertExpiring, fmt.Errorf("a certificate ends in %s, less than %s", left.Round(time.Minute), want))
		return r
	}
	r.ok = true
	return r
}

func (p *httpProbe) handshake(ctx context.Context, plain net.Conn, u *url.URL, r *result) (*bufferedConn, error) {
	conf := p.c.tls.Clone()
	conf.ServerName = first(p.c.HTTP.ServerName, u.Hostname())
	if p.alpn != nil {
		conf.NextProtos = p.alpn
	}
	conn := tls.Client(plain, conf)
	start := time.Now()
	if err := conn.HandshakeContext(ctx); err != nil {
		plain.Close()
		why := reasonTLS
		var bad *tls.CertificateVerificationError
		if errors.As(err, &bad) {
			why = certReason(bad.Err)
			r.expiry = earliestExpiry(bad.UnverifiedCertificates)
			r.figures[figureVerified] = 0
		}
		r.failAs(why, fmt.Errorf("TLS handshake: %w", first(ctx.Err(), err)))
		return nil, err
	}
	r.phases[phaseTLS] = time.Since(start)
	b := newBufferedConn(conn, plain)
	b.state = conn.ConnectionState()
	r.expiry = earliestExpiry(b.state.PeerCertificates)
	p.noteTLS(b.state, r)
	return b, nil
}

// noteTLS notes what a connection shows of TLS; nothing of a plain one.
func (p *httpProbe) noteTLS(state tls.ConnectionState, r *result) {
	if !state.HandshakeComplete {
		return
	}
	switch state.Version {
	case tls.VersionTLS12:
		r.figures[figureTLSVersion] = 1.2
	case tls.VersionTLS13:
		r.figures[figureTLSVersion] = 1.3
	}
	r.figures[figureVerified] = 0
	if len(state.VerifiedChains) > 0 || p.verifies(state) {
		r.figures[figureVerified] = 1
	}
}

// verifies tells whether certificates that were accepted unseen would have been
// accepted otherwise too.
func (p *httpProbe) verifies(state tls.ConnectionState) bool {
	if len(state.PeerCertificates) == 0 {
		return false
	}
	o := x509.VerifyOptions{Roots: p.c.tls.RootCAs, DNSName: state.ServerName, Intermediates: x509.NewCertPool()}
	if o.DNSName == "" { // an address is not sent as the server's name
		o.DNSName = first(p.c.HTTP.ServerName, p.url.Hostname())
	}
	if _, err := netip.ParseAddr(o.DNSName); err == nil {
		o.DNSName = "[" + o.DNSName + "]"
	}
	for _, c := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(o)
	return err == nil
}
