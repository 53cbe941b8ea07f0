package decode

import (
	"encoding/binary"
	"slices"

	"nines/internal/telemetry"
)

// kin is what sets of line protocol have in common that are of one measurement
// and whose first lines had the same fields. Each host of a fleet has such a set,
// so that it costs what its tags do.
type kin[C any] struct {
	columns []Column // without their labels
	// known holds what is kept of the idle columns, which all sets share where
	// there are no others; layout is that of their lines then.
	known  []KnownColumn[C]
	idle   []bool
	shared bool
	layout *layout
}

// describeLine gives the set the columns of the line that was read last, and
// returns its labels, which are the reader's.
func (s *Sets[C]) describeLine(set *Known[C]) (telemetry.Labels, error) {
	l := &s.reader.lines
	measurement, labels, err := l.name(set.key)
	if err != nil {
		return nil, err
	}
	k, err := s.kinOf(measurement)
	if err != nil {
		return nil, err
	}
	if k.shared {
		set.Columns = k.known
		if k.layout == nil {
			k.layout, err = s.layoutOf(set, &l.point)
		}
		set.layout = k.layout
		return labels, err
	}
	own := slices.Clone(labels)
	set.Columns = slices.Clone(k.known)
	for i := range k.columns {
		if !k.idle[i] {
			c := k.columns[i]
			c.Labels = own
			set.Columns[i].Is = s.Make(&c)
		}
	}
	return labels, nil
}

// kinOf returns what the line that was read last has in common with others.
func (s *Sets[C]) kinOf(measurement string) (*kin[C], error) {
	key := append(binary.AppendUvarint(s.scratch[:0], uint64(len(measurement))), measurement...)
	values := s.reader.lines.point.Values
	for i := range values {
		v := &values[i]
		form := byte(0)
		if v.Form == Text {
			form = 1
		}
		key = append(append(binary.AppendUvarint(key, uint64(len(v.Field))), v.Field...), form)
	}
	s.scratch = key
	if k := s.kin[string(key)]; k != nil {
		return k, nil
	}
	k, err := s.newKin(measurement)
	if err != nil {
		return nil, err
	}
	if s.kin == nil || len(s.kin) >= maxLayouts {
		s.kin = map[string]*kin[C]{} // sets keep theirs
	}
	s.kin[string(key)] = k
	return k, nil
}

func (s *Sets[C]) newKin(measurement string) (*kin[C], error) {
	columns, err := s.reader.lines.columns(measurement)
	if err != nil {
		return nil, err
	}
	k := &kin[C]{columns: columns, known: make([]KnownColumn[C], len(columns)), idle: make([]bool, len(columns)), shared: true}
	for i := range columns {
		k.known[i].field = columns[i].Field
		k.known[i].Is, k.idle[i] = s.idle(&columns[i])
		k.shared = k.shared && k.idle[i]
	}
	return k, nil
}
