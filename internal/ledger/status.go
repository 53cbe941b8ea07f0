package ledger

import (
	"encoding/binary"
	"fmt"
	"math"
)

// statusFormat is the first byte of a stored status.
const statusFormat = 1

// appendStatus encodes what the row's columns do not hold. It is not JSON,
// since burn rates and budgets may be infinite.
func appendStatus(b []byte, s *Status) []byte {
	b = append(b, statusFormat)
	for _, v := range []uint64{
		s.Window.Good, s.Window.Total, s.Window.GoodSlots, s.Window.BadSlots, s.Window.UnknownSlots,
		s.Attainment.Num, s.Attainment.Den, zigzag(s.LastSample),
	} {
		b = binary.AppendUvarint(b, v)
	}
	b = appendString(b, s.Down)
	b = appendString(b, s.State)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(s.BudgetLeft))
	b = binary.AppendUvarint(b, uint64(len(s.Burn)))
	for _, r := range s.Burn {
		firing := byte(0)
		if r.Firing {
			firing = 1
		}
		b = append(b, firing)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(r.Long))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(r.Short))
	}
	return b
}

// decodeStatus fills in what appendStatus wrote.
func decodeStatus(s *Status, b []byte) error {
	r := &reader{b: b}
	if f := r.byte(); f != statusFormat && r.err == nil {
		return fmt.Errorf("%w: status of format %d", errBytes, f)
	}
	for _, p := range []*uint64{
		&s.Window.Good, &s.Window.Total, &s.Window.GoodSlots, &s.Window.BadSlots, &s.Window.UnknownSlots,
		&s.Attainment.Num, &s.Attainment.Den,
	} {
		*p = r.uvarint()
	}
	s.LastSample = r.varint()
	s.Down = r.string()
	s.State = r.string()
	s.BudgetLeft = math.Float64frombits(r.uint64())
	n := r.uvarint()
	if n > uint64(len(r.b))/17 { // the size of a row
		r.fail("too many burn rates")
		n = 0
	}
	s.Burn = nil
	for ; n > 0; n-- {
		firing := r.byte()
		if firing > 1 {
			r.fail("neither firing nor not")
		}
		s.Burn = append(s.Burn, BurnRate{
			Firing: firing == 1,
			Long:   math.Float64frombits(r.uint64()), Short: math.Float64frombits(r.uint64()),
		})
	}
	return r.end()
}
