// Package mesh measures the network between the hosts of a fleet: each agent
// asks some of the others by UDP and answers those that ask it, in the format of
// STAMP (RFC 8762). It promises a fixed number of packets a second whatever the
// fleet's size, that every ordered pair of zones is measured by several pairs of
// hosts where their sizes allow it, and that its reflector cannot be used to
// amplify or to relay. It knows nothing of Kafka: how agents find each other is
// its caller's.
package mesh

import (
	"net/netip"
	"time"
)

// Host is an agent that takes part.
type Host struct {
	// Name is the label host, Zone and Region those of the same names; Region may
	// be empty.
	Name, Region, Zone string
	// Addr is where its reflector listens.
	Addr netip.AddrPort
}

// ClockState is what this host's kernel says about the clock.
type ClockState struct {
	// Synchronised says that somebody disciplines it to UTC.
	Synchronised bool
	// Bound is its greatest error.
	Bound time.Duration
}

func (c ClockState) estimate() errorEstimate { return estimate(c.Bound, c.Synchronised) }

// DefaultPort is the UDP port of reflectors where nothing else is said. STAMP's
// own, 862, is for those who run as root.
const DefaultPort = 9862
