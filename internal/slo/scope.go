package slo

import (
	"regexp"
	"slices"
)

// Scope tells what a stream counts, from what something is known by: the labels
// of a resource are fewer than those of the series that it sends.
type Scope struct {
	groupBy  []string
	matchers []Matcher
	patterns []*regexp.Regexp // by matcher, nil for those that are none
	fixed    map[string]string
}

// ScopeOf returns the scope of a stream. A pattern that does not compile, which
// package rules refuses, matches nothing.
func ScopeOf(s *Stream) *Scope {
	out := &Scope{groupBy: s.GroupBy, fixed: map[string]string{}}
	for _, sel := range []*Selector{s.Sample, s.Good, s.Bad, s.Total} {
		if sel == nil || sel == s.Good || sel == s.Bad {
			continue // what is counted in all says what is counted at all
		}
		for _, m := range sel.Matchers {
			var re *regexp.Regexp
			if m.Match == Regexp || m.Match == NotRegexp {
				re, _ = regexp.Compile("^(?:" + m.Value + ")$")
			}
			if m.Match == Equal {
				out.fixed[m.Label] = m.Value
			}
			out.matchers, out.patterns = append(out.matchers, m), append(out.patterns, re)
		}
	}
	return out
}

func (s *Scope) holds(i int, value string) bool {
	switch m := s.matchers[i]; m.Match {
	case Equal:
		return value == m.Value
	case NotEqual:
		return value != m.Value
	case Regexp:
		return s.patterns[i] != nil && s.patterns[i].MatchString(value)
	default:
		return s.patterns[i] != nil && !s.patterns[i].MatchString(value)
	}
}

// Admits tells whether the stream may count what is known by labels: none of its
// matchers speaks against them. What they do not name decides nothing.
func (s *Scope) Admits(known map[string]string) bool {
	for i := range s.matchers {
		if value, ok := known[s.matchers[i].Label]; ok && !s.holds(i, value) {
			return false
		}
	}
	return true
}

// Names tells whether the labels by themselves say that the stream counts what
// is known by them: it groups by labels, knows all of these, and each matcher is
// about a label that they name.
func (s *Scope) Names(known map[string]string) bool {
	if _, ok := s.Group(known); !ok || len(s.groupBy) == 0 || !s.Admits(known) {
		return false
	}
	return !slices.ContainsFunc(s.matchers, func(m Matcher) bool { _, ok := known[m.Label]; return !ok })
}

// Fixed returns the labels that all that the stream counts have one value of.
// The map is the scope's own.
func (s *Scope) Fixed() map[string]string { return s.fixed }

// Group returns the labels of the one group that something known by labels is
// counted in: those that it names, and those that the stream's matchers fix. Not
// ok where the stream groups by others, too.
func (s *Scope) Group(known map[string]string) (map[string]string, bool) {
	out := map[string]string{}
	for _, name := range s.groupBy {
		value, ok := known[name]
		if !ok {
			value, ok = s.fixed[name]
		}
		if !ok {
			return nil, false
		}
		out[name] = value
	}
	return out, true
}
