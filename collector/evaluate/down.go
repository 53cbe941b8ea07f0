package evaluate

import (
	"fmt"
	"slices"
	"strings"
)

// heard counts the vantage points that spoke within the page window, and tells
// whether the newest bin of any, however old, was a failure. Those that have long
// been silent are forgotten.
func (s *State) heard(g *group) (n int, failed bool) {
	since := s.logTime - s.cfg.PageWindow
	silent := false
	for _, v := range g.vantages() {
		if len(v.bins) == 0 {
			continue
		}
		last := v.last()
		n += one(last.bin >= since)
		failed = failed || !last.ok
		silent = silent || s.forgotten(v)
	}
	if silent {
		g.ties.vantages = slices.DeleteFunc(g.ties.vantages, s.forgotten)
	}
	return n, failed
}

// forgotten tells whether the vantage point has long been silent.
func (s *State) forgotten(v *vantage) bool {
	return len(v.bins) > 0 && v.last().bin < s.logTime-s.cfg.RetireAfter
}

// canvass is what the vantage points of a group say together.
type canvass struct {
	// failing counts those whose newest bins failed often enough in a row to
	// call it down together, struck those that failed as often as the rule says
	// and up those that succeeded as often.
	failing, struck, up int
	// mute counts those that were struck when they were last heard, too long ago
	// to page: of them nothing is known.
	mute   int
	newest int64 // sample that made one fail
}

// canvass asks for so many failures in a row of those that agree, and for so many
// strikes of each by itself.
func (s *State) canvass(g *group, failures, strikes int) (c canvass) {
	since := s.logTime - s.cfg.PageWindow
	for _, v := range g.vantages() {
		f, ok, last := v.streak(since)
		if all, _, _ := v.streak(0); all >= strikes && f < strikes {
			c.mute++
		}
		if last.bin < since {
			continue
		}
		if f >= failures {
			c.failing++
			c.newest = max(c.newest, last.newest)
		}
		c.struck += one(f >= strikes)
		c.up += one(ok >= strikes)
	}
	return c
}

// failingFrom names the vantage points that canvass found failing.
func (s *State) failingFrom(g *group, failures int) string {
	since := s.logTime - s.cfg.PageWindow
	var names []string
	for _, v := range g.vantages() {
		if f, _, _ := v.streak(since); f >= failures {
			names = append(names, v.name)
		}
	}
	return strings.Join(names, ", ")
}

// judgeDown applies the confirmed-down rule: so many failed bins in a row, each
// from k of n vantage points. Only evidence resolves it: successes from so many
// that fewer than k can still be failing.
func (s *State) judgeDown(g *group, j *judged) {
	heard, failed := s.heard(g)
	if !failed && j.down == calmly && !s.raised(j, atDown) && !s.raised(j, atAdvisory) {
		return // as almost always
	}
	failures, k, n := j.def.Down.Quorum(heard)
	c := s.canvass(g, failures, j.def.Down.Failures)
	switch {
	case c.failing >= k:
		if !s.raised(j, atDown) {
			s.raise(g, j, atDown, c.newest, fmt.Sprintf("%s is down: %d probes in a row failed from %d of %d vantage points (%s)",
				g.name(j.def), failures, c.failing, n, s.failingFrom(g, failures)))
			s.outageBegins(g)
		}
		s.withdraw(j, atAdvisory)
		j.down = confirmed
	case s.raised(j, atDown) && c.up < n-k+1:
		// not enough evidence that it is back
	default:
		if s.raised(j, atDown) {
			s.withdraw(j, atDown)
			s.outageEnds(g)
		}
		s.advise(g, j, c, n, k)
	}
}

// advise raises the advisory while some vantage point fails, too few to call it
// down. One that fell silent keeps it raised.
func (s *State) advise(g *group, j *judged, c canvass, n, k int) {
	switch {
	case c.struck > 0:
		if !s.raised(j, atAdvisory) {
			s.raise(g, j, atAdvisory, c.newest, fmt.Sprintf("%s fails from %d of %d vantage points (%s); %d are needed to call it down",
				g.name(j.def), c.struck, n, s.failingFrom(g, j.def.Down.Failures), k))
		}
	case c.mute > 0 && s.raised(j, atAdvisory):
	default:
		s.withdraw(j, atAdvisory)
	}
	j.down = calmly
	if s.raised(j, atAdvisory) {
		j.down = advised
	}
}
