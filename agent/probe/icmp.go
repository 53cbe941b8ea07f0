package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// icmpProbe sends one echo request an attempt, through the prober's shared
// sockets.
type icmpProbe struct {
	ping    *pinger
	host    string
	version int // 4, 6 or 0
	size    int // payload bytes
	// packets of a round; more than one only where there is a spacing.
	packets int
	spacing time.Duration
	wait    time.Duration // for each packet
	maxLoss float64
}

func (p *icmpProbe) probe(ctx context.Context, _ int64) result {
	r := newResult()
	addr, err := p.resolve(ctx)
	if err != nil {
		r.fail(err)
		return r
	}
	if p.packets > 1 {
		p.round(ctx, addr, &r)
		return r
	}
	rtt, err := p.ping.echo(ctx, addr, p.size)
	if err != nil {
		r.fail(err)
		return r
	}
	r.ok, r.latency = true, rtt
	return r
}

// resolve finds the target's address within the time of one packet.
func (p *icmpProbe) resolve(ctx context.Context) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	return resolve(ctx, p.host, p.version)
}

// resolve returns the address of a host name or literal, an IPv4 one first
// unless version says otherwise.
func resolve(ctx context.Context, host string, version int) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap(), nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, network("ip", version), host)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if a.Unmap().Is4() {
			return a.Unmap(), nil
		}
	}
	if len(addrs) == 0 {
		return netip.Addr{}, &net.DNSError{Err: "no address", Name: host}
	}
	return addrs[0], nil
}

// unreachableError is an answer that says there is no way to the target.
type unreachableError struct{ code int }

func (e *unreachableError) Error() string {
	return fmt.Sprintf("destination unreachable (ICMP code %d)", e.code)
}
