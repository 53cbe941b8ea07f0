package aggregate

// firstUrgent and lastUrgent are which failures in a row from one vantage point
// ask for a tick at once: those by which objectives confirm an outage, see
// slo.Down. One alone is often noise, and what fails on is nothing new.
const (
	firstUrgent = 2
	lastUrgent  = 3
)

// strikeLife is how long a vantage point that has failed is remembered where it
// says nothing more, in log time.
const strikeLife = 300_000

// strike is how often in a row a vantage point found a group failing. It decides
// when ticks come, not what is counted: a new owner begins without any.
type strike struct {
	n  uint8
	at int64 // log time
}

// struck notes what a vantage point found.
func (s *State) struck(c *cell, failed bool) {
	if !failed {
		if len(s.strikes) > 0 {
			delete(s.strikes, c)
		}
		return
	}
	k := s.strikes[c]
	if k.n < lastUrgent {
		k.n++
		s.urgent = s.urgent || k.n >= firstUrgent
	}
	k.at = s.logTime
	s.strikes[c] = k
}

// forgetStrikes forgets those of vantage points that are gone.
func (s *State) forgetStrikes() {
	for c, k := range s.strikes {
		if k.at < s.logTime-strikeLife {
			delete(s.strikes, c)
		}
	}
}
