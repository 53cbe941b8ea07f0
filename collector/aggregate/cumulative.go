package aggregate

import (
	"cmp"
	"iter"
	"slices"
)

// reader is one stream's role that reads a series: what it saw last is its own.
type reader struct {
	stream string
	from   int64
	role   role
}

// readers read a series alike. Equal ones are the same; see State.readersOf.
type readers struct{ list []reader }

// seriesKey identifies a cumulative series. Boot is zero for counters that
// outlive their agent's process.
type seriesKey struct {
	agent  string
	boot   uint64
	series uint64
}

// cumulative is what a cumulative series showed last. Mostly all readers saw the
// same.
type cumulative struct {
	counter
	who *readers // who saw it; nil where each has what it saw apart
	// apart are the readers and what each saw, where who is nil.
	apart []apart
}

type apart struct {
	reader
	counter
}

// of returns what a reader saw, which has the series apart.
func (c *cumulative) of(r reader) *counter {
	for i := range c.apart {
		if c.apart[i].reader == r {
			return &c.apart[i].counter
		}
	}
	return nil
}

// align has the series read by those readers, and by others only where they may
// come back. It tells whether all saw the same.
func (s *State) align(c *cumulative, who *readers, fresh bool) bool {
	switch {
	case c.who == who:
		return true
	case c.who != nil && slices.Equal(c.who.list, who.list):
		c.who = who
		return true
	case c.who != nil:
		for _, r := range c.who.list {
			c.apart = append(c.apart, apart{r, c.counter})
		}
		c.who = nil
	}
	// A stream that has ended takes another beginning if it comes again.
	c.apart = slices.DeleteFunc(c.apart, func(a apart) bool { return !s.rules.counts(a.stream, a.from) })
	for _, r := range who.list {
		if c.of(r) == nil {
			c.apart = append(c.apart, apart{r, counter{fresh: fresh, used: s.logTime}})
		}
	}
	return c.unite(who)
}

// unite has the readers share what they saw, where it is the same and nobody else
// saw anything. It tells whether they do.
func (c *cumulative) unite(who *readers) bool {
	if len(c.apart) != len(who.list) || len(c.apart) == 0 {
		return false
	}
	first := c.apart[0].counter
	for i := range c.apart {
		n := &c.apart[i].counter
		if n.value != first.value || n.time != first.time || n.time == 0 && n.fresh != first.fresh {
			return false
		}
		first.used = max(first.used, n.used)
	}
	c.counter, c.who, c.apart = first, who, nil
	return true
}

// counters gives all that the readers saw.
func (c *cumulative) counters() iter.Seq[*counter] {
	return func(yield func(*counter) bool) {
		if c.who != nil {
			yield(&c.counter)
			return
		}
		for i := range c.apart {
			if !yield(&c.apart[i].counter) {
				return
			}
		}
	}
}

// lastUsed returns when any of it was used last, log time.
func (c *cumulative) lastUsed() (t int64) {
	for n := range c.counters() {
		t = max(t, n.used)
	}
	return t
}

// counts tells whether the stream that began at from still counts.
func (r *ruleSet) counts(id string, from int64) bool {
	at, _ := slices.BinarySearchFunc(r.streams, id, func(s *stream, id string) int { return cmp.Compare(s.id, id) })
	for ; at < len(r.streams) && r.streams[at].id == id; at++ {
		if r.streams[at].From == from {
			return true
		}
	}
	return false
}

// risen takes a cumulative value of time t, and returns what happened since the
// reading before, whose time is since, 0 where there was none. It is not ok where
// the value says nothing new.
func (s *State) risen(c *counter, t int64, now uint64) (inc uint64, since int64, ok bool) {
	prev, since := c.value, c.time
	if since != 0 && t <= since {
		return 0, 0, false // a repeat, or older than what is already counted
	}
	c.value, c.time, c.used = now, t, s.logTime
	switch {
	case since == 0 && !c.fresh:
		return 0, 0, false // the base
	case since == 0:
		// It was zero when the boot's frame before this one was made.
		return now, s.before, true
	case now >= prev:
		return now - prev, since, true
	}
	return now, since, true // the counter was reset
}

// cumulativeOf returns the series of a column as the boot sends it.
func (s *State) cumulativeOf(key bootKey, gc *gainColumn, known bool) *cumulative {
	k := seriesKey{agent: key.Agent, series: gc.series}
	if gc.fresh {
		k.boot = key.Boot
	}
	fresh := gc.fresh && !known
	c := s.counters[k]
	if c == nil {
		c = &cumulative{who: gc.who, counter: counter{fresh: fresh, used: s.logTime}}
		s.counters[k] = c
		return c
	}
	s.align(c, gc.who, fresh)
	return c
}

// readersOf returns those readers, which are the same for equal lists.
func (s *State) readersOf(list []reader) *readers {
	var key []byte
	for _, r := range list {
		key = appendReader(key, r)
	}
	who := s.readers[string(key)]
	if who == nil {
		who = &readers{list}
		s.readers[string(key)] = who
	}
	return who
}

// allCounters gives what each reader of each series saw.
func (s *State) allCounters() iter.Seq2[counterKey, *counter] {
	return func(yield func(counterKey, *counter) bool) {
		for k, c := range s.counters {
			key := counterKey{agent: k.agent, boot: k.boot, series: k.series}
			if c.who != nil {
				for _, r := range c.who.list {
					if !yield(key.of(r), &c.counter) {
						return
					}
				}
			}
			for i := range c.apart {
				if !yield(key.of(c.apart[i].reader), &c.apart[i].counter) {
					return
				}
			}
		}
	}
}

func (k counterKey) of(r reader) counterKey {
	k.stream, k.from, k.role = r.stream, r.from, r.role
	return k
}

// recall takes in what a reader saw, from a checkpoint.
func (s *State) recall(k counterKey, n counter) {
	sk := seriesKey{k.agent, k.boot, k.series}
	c := s.counters[sk]
	if c == nil {
		c = &cumulative{}
		s.counters[sk] = c
	}
	c.apart = append(c.apart, apart{reader{k.stream, k.from, k.role}, n})
}
