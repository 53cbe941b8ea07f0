// Package mesh measures the network between the hosts of a fleet: each agent
// asks some of the others by UDP and answers those that ask it, in the format of
// STAMP (RFC 8762). It promises a fixed number of packets a second whatever the
// fleet's size, that every ordered pair of zones is measured by several pairs of
// hosts where their sizes allow it, and that its reflector cannot be used to
// amplify or to relay. It knows nothing of Kafka: where agents announce
// themselves is its caller's.
package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"nines/internal/telemetry"
)

// DefaultPort is the UDP port of reflectors that the documentation names. STAMP's
// own, 862, is for those who run as root.
const DefaultPort = 9862

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

// Board is where agents announce themselves: a map that all of them read and
// write, whose last value of a key counts. It is used by one goroutine.
type Board interface {
	// Poll calls each for what was written since the last Poll, in the order of
	// writing, at least for keys of the zone, of all zones where it is empty. A nil
	// value deletes a key. What was written before since, Unix ms, may be left out.
	// The slice may be kept. After an error what was read counts, and the next Poll
	// goes on.
	Poll(ctx context.Context, zone string, since int64, each func(key string, value []byte)) error
	// Put writes a value, nil to delete the key, in one attempt.
	Put(ctx context.Context, zone, key string, value []byte) error
}

// Options configure a Mesh.
type Options struct {
	Config Config
	// Host is this one; its Addr is not read.
	Host Host
	// Boot tells this process from others of the same host.
	Boot  uint64
	Board Board
	// Route finds the address by which others reach this host, for a Config that
	// names none.
	Route func(ctx context.Context) (netip.Addr, error)
	// Now is the sample clock, Unix ms; Clock says how good the wall clock is.
	Now   func() int64
	Clock func() ClockState
	Sink  telemetry.Sink
	// Figures get what the mesh says about itself.
	Figures *Figures
	Log     *slog.Logger
}

// Mesh is one host's part. New makes it.
type Mesh struct {
	opt   Options
	cfg   Config
	key   []byte
	open  func(netip.AddrPort) (*socket, error)
	known atomic.Pointer[sources]
}

// ErrNoZone is that of a host without a place in the matrix.
var ErrNoZone = errors.New("mesh.listen: a mesh is between zones, and this host has none; set labels.zone")

// New reads the key and starts nothing. Errors are "mesh.path: reason".
func New(opt Options) (*Mesh, error) {
	if err := opt.Config.Validate(); err != nil {
		return nil, err
	}
	if opt.Host.Zone == "" || opt.Host.Name == "" {
		return nil, ErrNoZone
	}
	key, err := opt.Config.key()
	if err != nil {
		return nil, err
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	opt.Host.Addr = netip.AddrPort{}
	return &Mesh{opt: opt, cfg: opt.Config.WithDefaults(), key: key, open: openSocket}, nil
}

// Same tells whether another Mesh would do the same, so that a reload may leave
// this one alone.
func (m *Mesh) Same(o *Mesh) bool {
	return m != nil && o != nil && m.cfg == o.cfg && m.opt.Host == o.opt.Host && bytes.Equal(m.key, o.key)
}

// Run takes part until ctx ends; then it says that this host is gone, and
// returns. What goes wrong is logged and tried again: nil is all it returns.
func (m *Mesh) Run(ctx context.Context) error {
	m.opt.Figures.on.Store(true)
	defer m.opt.Figures.stopped()
	t := trouble{log: m.opt.Log}
	for wait := firstPause; ctx.Err() == nil; wait = min(2*wait, longestPause) {
		self, err := m.self(ctx)
		if err == nil {
			err = m.session(ctx, self, &t)
		}
		if errors.Is(err, errMoved) {
			wait = firstPause
		}
		t.say("take part in the mesh", err)
		pause(ctx, wait)
	}
	return nil
}

// self finds this host's own address.
func (m *Mesh) self(ctx context.Context) (Host, error) {
	h := m.opt.Host
	own, err := m.cfg.advertise()
	if err != nil {
		return h, err
	}
	if !own.Addr().IsValid() {
		a, err := m.opt.Route(ctx)
		if err != nil {
			return h, fmt.Errorf("find own address (mesh.advertise would name it): %w", err)
		}
		if err := usable(a.Unmap()); err != nil {
			return h, fmt.Errorf("find own address (mesh.advertise would name it): %w", err)
		}
		own = netip.AddrPortFrom(a.Unmap(), own.Port())
	}
	h.Addr = own
	return h, nil
}

// errMoved ends a session whose host has another address now.
var errMoved = errors.New("this host's address changed")

// session takes part under one address until ctx ends.
func (m *Mesh) session(ctx context.Context, self Host, t *trouble) error {
	answering, asking, err := m.sockets(self)
	if err != nil {
		return err
	}
	t.say("take part in the mesh", nil)
	m.opt.Log.Info("mesh: answering", "at", answering.local(), "known_as", self.Addr, "authenticated", m.key != nil)
	r := &reflector{sock: answering, codec: newCodec(m.key), clock: m.opt.Clock, known: &m.known, anyone: m.cfg.Anyone,
		limit: newLimiter(), figures: m.opt.Figures}
	p := newProber()
	p.sock, p.codec, p.every = asking, newCodec(m.key), time.Duration(float64(time.Second)/m.cfg.PacketsPerSecond)
	p.now, p.clock, p.sink, p.figures = m.opt.Now, m.opt.Clock, m.opt.Sink, m.opt.Figures

	ctx, stop := context.WithCancel(ctx)
	replies, peers := make(chan reply, 64), make(chan []Host, 1)
	var wg sync.WaitGroup
	wg.Go(r.run)
	wg.Go(func() { p.read(newCodec(m.key), replies, ctx.Done()) })
	wg.Go(func() { p.loop(ctx, replies, peers) })
	err = newFollower(m, self, peers).run(ctx)
	stop()
	answering.close()
	asking.close()
	wg.Wait()
	return err
}

// sockets opens the reflector's port and the prober's. The prober's packets come
// from the advertised address, by which others know this host, where it is one of
// this host's own.
func (m *Mesh) sockets(self Host) (answering, asking *socket, err error) {
	everywhere := netip.IPv4Unspecified()
	if self.Addr.Addr().Is6() {
		everywhere = netip.IPv6Unspecified()
	}
	listen, err := m.cfg.listen()
	if err != nil {
		return nil, nil, err
	}
	if !listen.Addr().IsValid() || listen.Addr().IsUnspecified() {
		listen = netip.AddrPortFrom(everywhere, listen.Port())
	}
	if answering, err = m.open(listen); err != nil {
		return nil, nil, err
	}
	if asking, err = m.open(netip.AddrPortFrom(self.Addr.Addr(), 0)); err == nil {
		return answering, asking, nil
	}
	if asking, err = m.open(netip.AddrPortFrom(everywhere, 0)); err != nil {
		answering.close()
		return nil, nil, err
	}
	return answering, asking, nil
}

// trouble says what goes wrong when it begins, when it changes and when it ends.
type trouble struct {
	log  *slog.Logger
	said string
}

func (t *trouble) say(what string, err error) {
	text := ""
	if err != nil && !errors.Is(err, context.Canceled) {
		text = err.Error()
	}
	if text == t.said {
		return
	}
	if t.said = text; text != "" {
		t.log.Warn("mesh: cannot "+what+"; trying again", "error", err)
		return
	}
	t.log.Info("mesh: can " + what + " again")
}

// pause waits; it returns false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
