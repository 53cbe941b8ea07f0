// Package ports finds ports for servers of tests that start later, or stop and
// start again: nobody else has them in between, neither the kernel's choice for
// a connection nor another test that asks here, in any process.
package ports

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Connections come from 32768 upwards, unless a machine is told otherwise.
const (
	first = 20_000
	count = 12_000
)

// Claim is a TCP port of a host. It is held by a UDP socket with that number,
// which keeps away who else asks, and lets a TCP server listen.
type Claim struct {
	Addr string // host:port
	Port int
	held net.PacketConn
}

// Take claims a port of an address of this machine on which nobody listens.
func Take(host string) (*Claim, error) {
	for range 100 {
		c := &Claim{Port: first + rand.IntN(count)}
		c.Addr = net.JoinHostPort(host, strconv.Itoa(c.Port))
		var err error
		if c.held, err = net.ListenPacket("udp", c.Addr); err != nil {
			continue
		}
		l, err := net.Listen("tcp", c.Addr)
		if err == nil {
			return c, l.Close()
		}
		c.Release()
	}
	return nil, errors.New("find a free port: none of 100 is")
}

// Release gives the port back.
func (c *Claim) Release() { _ = c.held.Close() } // a socket that was never read

// Free is an address on loopback on which nobody listens, and nobody but the test
// will until it ends.
func Free(t testing.TB) string {
	t.Helper()
	c, err := Take("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Release)
	return c.Addr
}
