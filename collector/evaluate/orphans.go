package evaluate

import (
	"maps"
	"slices"

	"nines/internal/alert"
)

// seekOrphans has alerts that no group stands for any more resolved, once the
// groups of a new rule set have had the time to appear and take theirs over.
func (s *State) seekOrphans() {
	if s.logTime == 0 || s.rules == nil {
		return
	}
	wait := int64(orphanWait)
	for _, st := range s.rules.Streams {
		wait = max(wait, orphanWait+st.Rule.Length)
	}
	s.orphansAt = s.logTime + wait
	s.noteStrangers()
}

// orphan has the alerts of a group that was let go resolved. Where others wait
// for that already, it does not keep them waiting: only a change of rules brings
// groups that take alerts over.
func (s *State) orphan() {
	if s.orphansAt == 0 {
		s.seekOrphans()
		return
	}
	s.noteStrangers()
}

// noteStrangers notes which alerts stand, for groups that appear from now on.
func (s *State) noteStrangers() {
	s.strangers = map[string][]*alert.Alert{}
	for _, a := range s.alerts {
		name := a.Labels["objective"]
		s.strangers[name] = append(s.strangers[name], a)
	}
}

// resolveOrphans ends the alerts of what is no longer expected: an objective
// that was removed, a group that was retired.
func (s *State) resolveOrphans() {
	if s.orphansAt == 0 || s.logTime < s.orphansAt {
		return
	}
	s.orphansAt, s.strangers = 0, nil
	owned := map[string]bool{}
	for g := range s.groups.All() {
		for i := range g.judged {
			for _, a := range g.judged[i].alerts() {
				owned[a.key] = true
			}
		}
	}
	for st := range s.standings {
		for _, a := range st.alerts {
			owned[a.risk.key], owned[a.missed.key] = true, true
		}
	}
	for _, r := range s.regions {
		owned[r.blind.key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(s.alerts)) {
		if !owned[key] {
			s.resolve(&named{key: key})
		}
	}
}
