package ports

import (
	"net"
	"testing"
)

// A claimed port is free for the one who has it, over several lives, and for
// nobody else who asks for it here.
func TestAClaimedPortIsFree(t *testing.T) {
	addr := Free(t)
	for range 2 {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if held, err := net.ListenPacket("udp", addr); err == nil {
		held.Close()
		t.Errorf("%s can be claimed again", addr)
	}
	seen := map[int]bool{}
	for range 500 {
		c, err := Take("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		if seen[c.Port] {
			t.Fatalf("port %d was given twice", c.Port)
		}
		seen[c.Port] = true
	}
}
