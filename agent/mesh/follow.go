package mesh

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// Pauses between two looks at the roster begin short, for fleets that start
	// together, and double up to the longest.
	firstPause   = 2 * time.Second
	longestPause = time.Minute
	// failedPause is the longest while the roster cannot be read.
	failedPause = 15 * time.Second
	// standbyPause is that of a host without a slot, half more or less: there may be
	// a million of them.
	standbyPause = time.Hour
	// clockSlack is how wrong the clocks of those may be who announce themselves.
	clockSlack = 5 * time.Minute
	// boardWait bounds one exchange with the board.
	boardWait = 20 * time.Second
	// farewell is how long a host that ends tries to say so.
	farewell = time.Second
)

// What a follower has in place of a slot.
const (
	noSlot    = -1 // it stands by
	undecided = -2
)

// follower reads the roster, keeps this host in it, and says whom to ask. One
// goroutine owns it.
type follower struct {
	m         *Mesh
	self      Host
	boot      string
	out       chan []Host // of one place, which it empties itself
	roster    *roster
	read      int64  // when the roster was last read, Unix ms; 0 never
	hosts     []Host // that the plan was made of
	slot      int    // held; noSlot or undecided else
	announced int64
	renewIn   time.Duration
	looked    time.Time // when this host's address was last looked up
	trouble   trouble
}

func newFollower(m *Mesh, self Host, out chan []Host) *follower {
	return &follower{m: m, self: self, boot: fmt.Sprintf("%016x", m.opt.Boot), out: out, roster: newRoster(), slot: undecided,
		looked: time.Now(), trouble: trouble{log: m.opt.Log}}
}

// run follows until ctx ends or this host's address changes.
func (f *follower) run(ctx context.Context) error {
	defer f.leave(ctx)
	for wait := firstPause; ; {
		news, err := f.turn(ctx)
		switch {
		case err != nil:
			wait = min(2*wait, failedPause)
		case news:
			wait = firstPause
		case f.slot == noSlot:
			wait = standbyPause/2 + rand.N(standbyPause)
		default:
			wait = min(2*wait, longestPause)
		}
		if !pause(ctx, wait*9/10+rand.N(wait/5)) {
			return nil
		}
		if f.moved(ctx) {
			return errMoved
		}
	}
}

// moved tells whether this host has another address than it began with.
func (f *follower) moved(ctx context.Context) bool {
	if time.Since(f.looked) < renewEvery {
		return false
	}
	f.looked = time.Now()
	now, err := f.m.self(ctx)
	return err == nil && now != f.self
}

// turn reads, takes or keeps a slot, and plans. news tells that this host took a
// slot, so that somebody else may have done so at the same moment.
func (f *follower) turn(ctx context.Context) (news bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, boardWait)
	defer cancel()
	if err = f.poll(bounded); err == nil {
		news, err = f.keep(bounded)
	}
	if err != nil && ctx.Err() == nil {
		f.m.opt.Figures.rosterErrors.Add(1)
	}
	f.trouble.say("follow the roster", err)
	f.plan()
	return news, err
}

// poll reads what is new: all of it for a host that takes part, its zone's for
// one that does not, or not yet.
func (f *follower) poll(ctx context.Context) error {
	now := f.m.opt.Now()
	zone := f.self.Zone
	if f.slot >= 0 {
		zone = ""
	}
	since := now - (validFor + clockSlack).Milliseconds()
	err := f.m.opt.Board.Poll(ctx, zone, since, func(key string, value []byte) {
		if f.roster.apply(key, value, now) != nil {
			f.m.opt.Figures.invalid.Add(1)
		}
	})
	if err != nil {
		return fmt.Errorf("read the roster: %w", err)
	}
	f.read = now
	f.roster.prune(now)
	known := f.roster.known()
	f.m.known.Store(&known)
	return nil
}

// keep takes a slot, or renews it when it is time.
func (f *follower) keep(ctx context.Context) (news bool, err error) {
	now := f.m.opt.Now()
	slot, ok := f.roster.seat(f.self, f.m.cfg.Slots, now)
	if !ok {
		f.hold(noSlot)
		return false, nil
	}
	at := seat{f.self.Zone, slot}
	had, there := f.roster.entries[at]
	mine := there && had.host == f.self && had.boot == f.boot
	if mine && now-f.announced < f.renewIn.Milliseconds() {
		f.hold(slot)
		return false, nil
	}
	e := entry{host: f.self, boot: f.boot, announced: now, validFor: validFor}
	if err := f.m.opt.Board.Put(ctx, f.self.Zone, at.key(), e.encode()); err != nil {
		return false, fmt.Errorf("announce this host in the roster: %w", err)
	}
	f.roster.entries[at] = e
	f.announced, f.renewIn = now, renewEvery*9/10+rand.N(renewEvery/5)
	f.hold(slot)
	return !mine, nil
}

func (f *follower) hold(slot int) {
	if slot != f.slot {
		f.m.opt.Log.Info("mesh: "+map[bool]string{true: "taking part", false: "standing by; every slot of the zone is taken"}[slot >= 0],
			"zone", f.self.Zone, "slot", slot)
	}
	f.slot = slot
	f.m.opt.Figures.slot.Store(int64(slot + 1))
}

// plan says whom to ask. What is known is judged by when it was read: while
// Kafka is away nobody expires.
func (f *follower) plan() {
	fig := f.m.opt.Figures
	hosts := f.roster.live(f.read, f.self)
	fig.entries.Store(int64(len(hosts)))
	if f.slot < 0 {
		hosts = nil
	}
	if slices.Equal(hosts, f.hosts) {
		return
	}
	f.hosts = hosts
	p := NewPlan(hosts, f.m.cfg.K, f.m.cfg.MaxPeers)
	row := p.Zone(f.self.Zone)
	fig.zones.Store(int64(len(p.zones)))
	fig.pairsWanted.Store(int64(row.Wanted))
	fig.pairsCovered.Store(int64(len(row.Pairs)))
	select {
	case <-f.out: // what nobody took yet
	default:
	}
	f.out <- row.Peers(f.self.Name)
}

// leave frees the slot, so that nobody asks this host in vain.
func (f *follower) leave(ctx context.Context) {
	if f.slot < 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := f.m.opt.Board.Put(ctx, f.self.Zone, seat{f.self.Zone, f.slot}.key(), nil); err != nil {
		f.m.opt.Log.Warn("mesh: could not say farewell; others ask this host until its entry expires", "error", err)
	}
}
