package truth

import (
	"maps"
	"slices"

	"nines/internal/ledger"
	"nines/internal/slo"
)

// Counts are samples of one or more files, counted by the objectives of a rule
// set as far as a ledger's gaps let them arrive: a Sink.
type Counts struct {
	streams map[string]*counter
	gaps    *gaps
	hosts   map[string]*hostState
	owed    map[string][]Loss // of hosts, not reported and nothing heard since
	// Of the file that is being read.
	head    Head
	feeds   [][]*feed // by series
	pending []pending // samples whose frame is not known yet

	// Skipped says of streams why they are not compared, by ID.
	Skipped map[string]string
	// Samples were read, of which Fed belong to an objective. Lost are those of
	// these that never reached a collector, as the ledger's gaps report, and Kept
	// those that were in no frame that left its host, with no later one that could
	// tell.
	Samples, Fed, Lost, Kept uint64
	// Unreported are losses of which the ledger says nothing.
	Unreported []Loss
	// Faults that were played.
	Faults []Fault
	// Parts are the files' heads. Incomplete end before their time or with frames
	// that nobody acknowledged.
	Parts      []Head
	Incomplete int
	// From and Until bound the samples' times, Unix milliseconds.
	From, Until int64
}

// pending is one sample.
type pending struct {
	series int
	at     int64
	v      float64
}

// Loss is a frame that never left its host.
type Loss struct {
	Frame
	// From and Until bound its samples' times, Unix milliseconds, and Samples are
	// how many belong to an objective.
	From, Until int64
	Samples     int
}

// NewCounts counts by the streams of a rule set, without what the gaps of the
// ledger say is missing.
func NewCounts(set *slo.RuleSet, reported []ledger.GapRow) (*Counts, error) {
	c := &Counts{streams: map[string]*counter{}, Skipped: map[string]string{}, gaps: newGaps(reported), hosts: map[string]*hostState{}, owed: map[string][]Loss{}}
	for _, id := range slices.Sorted(maps.Keys(set.Streams)) {
		s, why, err := newCounter(set.Streams[id])
		if err != nil {
			return nil, err
		}
		if why != "" {
			c.Skipped[id] = why
			continue
		}
		c.streams[id] = s
	}
	return c, nil
}

// Head begins a file.
func (c *Counts) Head(h Head) {
	c.Parts = append(c.Parts, h)
	c.Incomplete++ // until its end says otherwise
	c.head, c.feeds, c.pending = h, nil, nil
}

// Fault is kept once: each shard tells of all.
func (c *Counts) Fault(f Fault) {
	if !slices.Contains(c.Faults, f) {
		c.Faults = append(c.Faults, f)
	}
}

// Series finds the objectives that the series feeds.
func (c *Counts) Series(_ int, s Series) {
	var list []*feed
	for _, st := range c.streams {
		if r := st.role(&s); r != nil {
			list = append(list, &feed{role: r, group: st.group(s.Labels), length: st.def.Rule.Length})
		}
	}
	c.feeds = append(c.feeds, list)
}

// Sample waits for its frame.
func (c *Counts) Sample(n int, at int64, v float64) {
	c.Samples++
	if c.From == 0 || at < c.From {
		c.From = at
	}
	c.Until = max(c.Until, at+1)
	c.pending = append(c.pending, pending{n, at, v})
}

// Frame counts what was in it.
func (c *Counts) Frame(f Frame) {
	defer func() { c.pending = c.pending[:0] }()
	if len(c.pending) == 0 {
		return
	}
	loss := Loss{Frame: f, From: c.pending[0].at}
	for _, p := range c.pending {
		loss.From, loss.Until = min(loss.From, p.at), max(loss.Until, p.at)
	}
	h := c.hosts[f.Host]
	if h == nil {
		h = &hostState{}
		c.hosts[f.Host] = h
	}
	whole := f.Lost || c.gaps.frame(f)
	if !whole {
		h.arrive(f.Boot, f.Frame, loss.Until, c.gaps.missed(f))
		c.settle(f.Host)
	}
	for _, p := range c.pending {
		missing := whole || c.gaps.sample(f, p.at)
		if len(c.feeds[p.series]) > 0 {
			c.Fed++
			if missing {
				loss.Samples++
			}
		}
		for _, fd := range c.feeds[p.series] {
			switch {
			case !missing:
				fd.arrived(h, p.at, p.v)
			case fd.role.counter:
				fd.measured(f.Boot, p.v)
			}
		}
	}
	if f.Lost && !c.gaps.frame(f) {
		c.owed[f.Host] = append(c.owed[f.Host], loss)
		return
	}
	c.Lost += uint64(loss.Samples)
}

// settle looks for the gaps of what a host lost before a frame that arrived: the
// ledger can know by now.
func (c *Counts) settle(host string) {
	for _, l := range c.owed[host] {
		if c.gaps.restart(&l) {
			c.Lost += uint64(l.Samples)
		} else {
			c.Unreported = append(c.Unreported, l)
		}
	}
	delete(c.owed, host)
}

// End ends a file.
func (c *Counts) End(e End) {
	if e.Complete {
		c.Incomplete--
	}
	for _, list := range c.owed {
		for _, l := range list {
			c.Kept += uint64(l.Samples)
		}
	}
	clear(c.owed)
}
