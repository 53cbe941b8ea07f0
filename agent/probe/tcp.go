package probe

import (
	"context"
	"net"
	"net/http/httptrace"
	"time"
)

// tcpProbe connects and closes.
type tcpProbe struct {
	network, address string
}

func (p *tcpProbe) probe(ctx context.Context, _ int64) result {
	r := newResult()
	conn, err := dial(ctx, p.network, p.address, &r)
	if err != nil {
		r.fail(err)
		return r
	}
	conn.Close()
	r.ok = true
	return r
}

// dial connects, and notes in r how long the name's resolution and the
// connection took.
func dial(ctx context.Context, network, address string, r *result) (net.Conn, error) {
	var resolved time.Time
	start := time.Now()
	trace := &httptrace.ClientTrace{DNSDone: func(httptrace.DNSDoneInfo) { resolved = time.Now() }}
	d := net.Dialer{KeepAlive: -1}
	conn, err := d.DialContext(httptrace.WithClientTrace(ctx, trace), network, address)
	end := time.Now()
	if !resolved.IsZero() {
		r.phases[phaseDNS] = resolved.Sub(start)
		start = resolved
	}
	if err == nil {
		r.phases[phaseConnect] = end.Sub(start)
	}
	return conn, err
}
