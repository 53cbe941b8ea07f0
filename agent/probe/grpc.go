package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// grpcProbe calls grpc.health.v1.Health/Check once an attempt, over net/http's
// HTTP/2 on a connection of its own: a request that fails is not repeated.
type grpcProbe struct {
	http httpProbe
	url  *url.URL
	body []byte
}

const (
	healthMethod = "/grpc.health.v1.Health/Check"
	// maxHealth bounds the answer in bytes; a real one has seven.
	maxHealth = 1 << 10
)

func (c *job) bindGRPC(sp *spec, address string) error {
	u, err := grpcURL(address)
	if err != nil {
		return err
	}
	p := &grpcProbe{http: httpProbe{c: c, url: u, alpn: []string{"h2"}}, url: u, body: healthRequest(c.GRPC.Service)}
	sp.phases, sp.figures = httpPhases(u), tlsFigures(u)
	sp.phases[phaseTransfer] = false
	sp.figures[figureGRPCStatus] = true
	sp.probe = p.probe
	return nil
}

// grpcURL reads host:port, grpc://host:port or, with TLS, grpcs://host:port.
func grpcURL(address string) (*url.URL, error) {
	host, secure := strings.CutPrefix(address, "grpcs://")
	host = strings.TrimPrefix(host, "grpc://")
	if err := checkHostPort(host); err != nil {
		return nil, fmt.Errorf("grpc target must be host:port, or grpcs://host:port for TLS: %w", err)
	}
	u := &url.URL{Scheme: "http", Host: host, Path: healthMethod}
	if secure {
		u.Scheme = "https"
	}
	return u, nil
}

// healthRequest is a HealthCheckRequest in gRPC's framing: a flag, the length,
// and the message, whose field 1 is the service.
func healthRequest(service string) []byte {
	var m []byte
	if service != "" {
		m = protowire.AppendTag(m, 1, protowire.BytesType)
		m = protowire.AppendString(m, service)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...) //nolint:gosec // a configured name
}

func (p *grpcProbe) probe(ctx context.Context, _ int64) result {
	r := newResult()
	// Connected here, so that its phases are measured and its errors named.
	conn, err := p.http.connect(ctx, p.url, &r)
	if err != nil {
		return r
	}
	defer conn.Close()
	if p.url.Scheme == "https" && conn.state.NegotiatedProtocol != "h2" {
		r.failAs(reasonMalformed, errors.New("the target does not speak HTTP/2"))
		return r
	}
	handOver := func(context.Context, string, string) (net.Conn, error) { return conn.Conn, nil }
	t := &http.Transport{
		DialContext: handOver, DialTLSContext: handOver, Protocols: new(http.Protocols),
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 1 << 16,
	}
	t.Protocols.SetHTTP2(p.url.Scheme == "https")
	t.Protocols.SetUnencryptedHTTP2(p.url.Scheme == "http")
	defer t.CloseIdleConnections()
	if err := p.call(ctx, t, &r); err != nil {
		r.fail(first(ctx.Err(), err))
	}
	return r
}

// call makes the call and judges the answer. It returns an error where none
// came.
func (p *grpcProbe) call(ctx context.Context, t http.RoundTripper, r *result) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url.String(), io.NopCloser(bytes.NewReader(p.body)))
	if err != nil {
		return err
	}
	req.ContentLength = int64(len(p.body))
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {"nines-agent"}}
	// No Grpc-Timeout: the server would give up a moment before us, and its
	// cancel looks like a failure of another kind. Closing the connection tells it.
	sent := time.Now()
	resp, err := t.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("call %s: %w", healthMethod, err)
	}
	defer resp.Body.Close()
	r.phases[phaseFirstByte] = time.Since(sent)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHealth))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		r.failAs(reasonStatus, errAnswer("answered %s", resp.Status))
		return nil
	}
	// An answer without a message has its status among the headers.
	status := first(resp.Trailer.Get("Grpc-Status"), resp.Header.Get("Grpc-Status"))
	message := first(resp.Trailer.Get("Grpc-Message"), resp.Header.Get("Grpc-Message"))
	judgeHealth(status, message, body, r)
	return nil
}

// The codes of gRPC that mean something else than "an unexpected answer".
const (
	codeDeadline        = 4
	codeNotFound        = 5
	codePermission      = 7
	codeExhausted       = 8
	codeUnavailable     = 14
	codeUnauthenticated = 16
)

// judgeHealth judges a call by its status and message.
func judgeHealth(status, message string, body []byte, r *result) {
	code, err := strconv.ParseUint(status, 10, 16)
	if err != nil {
		r.failAs(reasonMalformed, errAnswer("the answer has no grpc-status"))
		return
	}
	r.figures[figureGRPCStatus] = float64(code)
	why := reasonStatus
	switch code {
	case 0:
		judgeServing(body, r)
		return
	case codeDeadline:
		why = reasonTimeout
	case codeNotFound:
		why = reasonServiceUnknown
	case codePermission, codeUnauthenticated:
		why = reasonAuth
	case codeExhausted:
		why = reasonRateLimited
	case codeUnavailable:
		why = reasonOverloaded
	}
	r.failAs(why, errAnswer("answered grpc-status %d: %.200q", code, message))
}

// judgeServing reads a HealthCheckResponse, whose field 1 is the status.
func judgeServing(body []byte, r *result) {
	serving, err := servingStatus(body)
	switch {
	case err != nil:
		r.failAs(reasonMalformed, fmt.Errorf("read answer: %w", err))
	case serving == 1:
		r.ok = true
	case serving == 2:
		r.failAs(reasonNotServing, errAnswer("answered NOT_SERVING"))
	case serving == 3:
		r.failAs(reasonServiceUnknown, errAnswer("answered SERVICE_UNKNOWN"))
	default:
		r.failAs(reasonUnknown, errAnswer("answered UNKNOWN (%d)", serving))
	}
}

// servingStatus reads the status of a framed HealthCheckResponse; 0, the
// default, where the field is left out.
func servingStatus(b []byte) (uint64, error) {
	if len(b) < 5 || b[0] != 0 || uint64(binary.BigEndian.Uint32(b[1:])) != uint64(len(b)-5) {
		return 0, errors.New("not one uncompressed gRPC message")
	}
	b = b[5:]
	status := uint64(0)
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
			return 0, protowire.ParseError(n)
		}
		if field == 1 && kind == protowire.VarintType {
			status, _ = protowire.ConsumeVarint(b)
		}
		b = b[n:]
	}
	return status, nil
}
