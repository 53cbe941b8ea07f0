package probe

import (
	"time"

	"nines/internal/telemetry"
)

// roundBuilder fills one round; what is not set is absent.
type roundBuilder struct {
	round telemetry.Round
	left  int // columns not set
}

func newRoundBuilder(s *telemetry.Schema, at int64) roundBuilder {
	n := len(s.Series)
	absent := make([]uint64, (n+63)/64)
	for i := range n {
		absent[i>>6] |= 1 << (i & 63)
	}
	return roundBuilder{
		round: telemetry.Round{Schema: s, Time: at, Values: make([]float64, n), Absent: absent},
		left:  n,
	}
}

// set stores v in column i, once.
func (b *roundBuilder) set(i int, v float64) {
	b.round.Values[i] = v
	b.round.Absent[i>>6] &^= 1 << (i & 63)
	b.left--
}

// setDuration stores d in seconds unless it was not measured.
func (b *roundBuilder) setDuration(i int, d time.Duration) {
	if v, ok := seconds(d); ok {
		b.set(i, v)
	}
}

func (b *roundBuilder) finish() telemetry.Round {
	if b.left == 0 {
		b.round.Absent = nil
	}
	return b.round
}
