package aggregate

import "math"

// doubtFor is how long, in log time since the first tick after a loss, a schema
// that is new here may have been sent in what was lost: agents send theirs again
// every minute.
const doubtFor = 120_000

// Doubt has every cumulative series begin anew, with its next reading as the
// base. It is called where records left the log that an owner before this one
// may have read and published after the checkpoint that this state is from: what
// a counter gained in them would be counted twice. What it gained in the loss is
// part of the gap.
func (s *State) Doubt() {
	for _, c := range s.counters {
		for n := range c.counters() {
			*n = counter{used: n.used}
		}
	}
	for _, p := range s.pairs {
		*p = pair{used: p.used}
	}
	s.foreign.doubt()
	s.doubted = math.MaxInt64
}

// trust ends the doubt some time after the first tick that follows.
func (s *State) trust(now int64) {
	if s.doubted == math.MaxInt64 {
		s.doubted = now + doubtFor
		s.foreign.began = now
	}
}

// doubtful tells whether the boot may have sent a schema that is new here before.
func (s *State) doubtful(b *boot) bool { return s.logTime < s.doubted && !b.whole }

func (f *foreignState) doubt() {
	for _, sr := range f.series {
		sr.forgetValues()
	}
	for _, p := range f.pairs {
		p.pair = pair{used: p.used}
	}
	f.began = 0
}
