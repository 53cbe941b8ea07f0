package evaluate

import (
	"fmt"
	"slices"
	"strings"
)

// canvass is what the vantage points of a group say together.
type canvass struct {
	// failing and up count those whose newest bins failed, or succeeded, often
	// enough in a row; heard those that spoke within the page window.
	failing, up, heard int
	// mute counts those that failed when they were last heard, too long ago to
	// page: of them nothing is known.
	mute   int
	newest int64 // sample that made one fail
}

func (s *State) canvass(g *group, failures int) (c canvass) {
	since := s.logTime - s.cfg.PageWindow
	for name, v := range g.vantages {
		f, ok, last := v.streak(since)
		if all, _, _ := v.streak(0); all >= failures && f < failures {
			c.mute++
		}
		if last.bin < since {
			if last.bin < s.logTime-s.cfg.RetireAfter && last.bin != 0 {
				delete(g.vantages, name)
			}
			continue
		}
		c.heard++
		if f >= failures {
			c.failing++
			c.newest = max(c.newest, last.newest)
		}
		if ok >= failures {
			c.up++
		}
	}
	return c
}

// failingFrom names the vantage points that canvass found failing.
func (s *State) failingFrom(g *group, failures int) string {
	since := s.logTime - s.cfg.PageWindow
	var names []string
	for name, v := range g.vantages {
		if f, _, _ := v.streak(since); f >= failures {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// judgeDown applies the confirmed-down rule: so many failed bins in a row, each
// from k of n vantage points. Only evidence resolves it: successes from so many
// that fewer than k can still be failing.
func (s *State) judgeDown(g *group, j *judged) {
	rule := j.def.Down
	c := s.canvass(g, rule.Failures)
	n := max(rule.N, c.heard)
	k := rule.K
	if k == 0 {
		k = n/2 + 1
	}
	k = max(1, min(k, n))
	down, advisory := &j.alerts[0], &j.alerts[1]
	switch {
	case c.failing >= k:
		if !s.firing(down) {
			s.fire(down, c.newest, fmt.Sprintf("%s is down: %d probes in a row failed from %d of %d vantage points (%s)",
				g.name(j.def), rule.Failures, c.failing, n, s.failingFrom(g, rule.Failures)))
			s.outageBegins(g)
		}
		s.resolve(advisory)
		j.down = "down"
	case s.firing(down) && c.up < n-k+1:
		// not enough evidence that it is back
	default:
		if s.firing(down) {
			s.resolve(down)
			s.outageEnds(g)
		}
		s.advise(g, j, c, n, k)
	}
}

// advise raises the advisory while some vantage point fails, too few to call it
// down. One that fell silent keeps it raised.
func (s *State) advise(g *group, j *judged, c canvass, n, k int) {
	advisory := &j.alerts[1]
	switch {
	case c.failing > 0:
		if !s.firing(advisory) {
			s.fire(advisory, c.newest, fmt.Sprintf("%s fails from %d of %d vantage points (%s); %d are needed to call it down",
				g.name(j.def), c.failing, n, s.failingFrom(g, j.def.Down.Failures), k))
		}
	case c.mute > 0 && s.firing(advisory):
	default:
		s.resolve(advisory)
	}
	j.down = ""
	if s.firing(advisory) {
		j.down = "advisory"
	}
}
