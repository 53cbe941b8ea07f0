package scenario

import (
	"slices"

	"nines/internal/scenario/script"
	"nines/internal/telemetry"
)

// agent makes numbered frames of what its sources sample, as an agent on a host
// does.
type agent struct {
	def       *script.Agent
	s         *script.Scenario
	boot, seq uint64
	sources   []*source
	last      int64 // up to when it has sampled
	// spool holds the frames on their way, in order.
	spool []queued
}

// queued is a frame that arrives at a time.
type queued struct {
	frame  telemetry.Frame
	at     int64
	copies int
	lost   bool
}

func newAgent(s *script.Scenario, def *script.Agent) *agent {
	a := &agent{def: def, s: s, boot: 1, last: s.Start - 1}
	for i := range s.Loads {
		l := &s.Loads[i]
		if !slices.Contains(l.Agents, def.Name) && !slices.Contains(l.Agents, "*") {
			continue
		}
		a.sources = append(a.sources, newSources(l)...)
		a.last = min(a.last, l.From-1)
	}
	return a
}

// fault returns the fault of the kind that holds for the agent at t, nil for
// none.
func (a *agent) fault(kind script.FaultKind, t int64) *script.Fault {
	for i := range a.s.Faults {
		f := &a.s.Faults[i]
		if f.Kind == kind && f.From <= t && t < f.To && a.named(f) {
			return f
		}
	}
	return nil
}

func (a *agent) named(f *script.Fault) bool {
	return len(f.Agents) == 0 || slices.Contains(f.Agents, a.def.Name)
}

// restarts tells whether the agent began another boot in (from, to].
func (a *agent) restarts(from, to int64) bool {
	return slices.ContainsFunc(a.s.Faults, func(f script.Fault) bool {
		return f.Kind == script.Restart && from < f.From && f.From <= to && a.named(&f)
	})
}

// send samples up to now and sends what has arrived by then.
func (a *agent) send(w *world) error {
	if a.restarts(a.last, w.now) {
		a.boot, a.seq = a.boot+1, 0
	}
	blocks := a.sample(w.now)
	if a.fault(script.Silent, w.now) == nil {
		a.post(w.now, blocks)
	}
	a.last = w.now
	if a.fault(script.Offline, w.now) != nil {
		return nil
	}
	return a.deliver(w)
}

// post numbers a frame and puts it on its way.
func (a *agent) post(now int64, blocks []telemetry.Block) {
	a.seq++
	q := queued{at: now, copies: 1, lost: a.fault(script.Lossy, now) != nil,
		frame: telemetry.Frame{Agent: a.def.Name, Boot: a.boot, Seq: a.seq, SendTime: now + a.skew(now), Host: a.def.Host, Blocks: blocks}}
	if f := a.fault(script.Slow, now); f != nil {
		q.at += f.By
	}
	if a.fault(script.Repeat, now) != nil {
		q.copies = 2
	}
	a.spool = append(a.spool, q)
}

// skew is how far the agent's clock is ahead at a true time.
func (a *agent) skew(t int64) int64 {
	if f := a.fault(script.Clock, t); f != nil {
		return f.By
	}
	return 0
}

// deliver hands over the frames that have arrived; none overtakes another.
func (a *agent) deliver(w *world) error {
	for len(a.spool) > 0 && a.spool[0].at <= w.now {
		q := &a.spool[0]
		for range q.copies {
			if q.lost {
				continue
			}
			if err := w.pipe.Frame(0, &q.frame); err != nil {
				return err
			}
		}
		a.spool = a.spool[1:]
	}
	return nil
}

// sample returns what the sources measured up to now, none while the host was
// silent.
func (a *agent) sample(now int64) (blocks []telemetry.Block) {
	for _, src := range a.sources {
		b := src.block(now, func(t int64) (at int64, ok bool) {
			return t + a.skew(t), a.fault(script.Silent, t) == nil
		})
		if len(b.Times) > 0 {
			blocks = append(blocks, b)
		}
	}
	return blocks
}
