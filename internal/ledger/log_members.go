package ledger

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// membersFormat is the first byte of a logged hour's members.
const membersFormat = 1

// printSize is how much of a leaf's hash is kept, to name what was rewritten in
// an hour whose root is wrong. In bytes.
const printSize = 2

// Bounds of a logged hour: its groups, and the versions that are named one by
// one.
const (
	maxMembers = 1 << 24
	maxLate    = 1 << 18
)

// member is one group's leaf in a logged hour.
type member struct {
	group int64
	// unnamed says that the group's labels were not announced yet.
	unnamed bool
	print   [printSize]byte
	// slots are the versions that the leaf holds. Of an hour's first leaf there
	// are none: it holds all that later ones do not.
	slots []slotVersion
}

// slotVersion names one version of a slot of a known group.
type slotVersion struct {
	start   int64
	version uint32
}

func (m *member) setPrint(h tlog.Hash) { copy(m.print[:], h[:]) }

// appendMembers encodes the members of a logged hour, ascending by group.
func appendMembers(b []byte, hour int64, members []member) []byte {
	b = binary.AppendUvarint(append(b, membersFormat), uint64(len(members)))
	col := make([]uint64, len(members))
	put := func(f func(*member) uint64) {
		for i := range members {
			col[i] = f(&members[i])
		}
		b = appendColumn(b, col)
	}
	last := int64(0)
	put(func(m *member) uint64 {
		d := m.group - last
		last = m.group
		return uint64(d)
	})
	put(func(m *member) uint64 {
		if m.unnamed {
			return 1
		}
		return 0
	})
	put(func(m *member) uint64 { return uint64(len(m.slots)) })
	var starts, versions []uint64
	for i := range members {
		for _, s := range members[i].slots {
			starts = append(starts, uint64(s.start-hour))
			versions = append(versions, uint64(s.version))
		}
	}
	b = appendColumn(appendColumn(b, starts), versions)
	for i := range members {
		b = append(b, members[i].print[:]...)
	}
	return b
}

// decodeMembers reads a logged hour's members.
func decodeMembers(hour int64, b []byte) ([]member, error) {
	r := &reader{b: b}
	if f := r.byte(); f != membersFormat && r.err == nil {
		return nil, fmt.Errorf("%w: members of format %d", errBytes, f)
	}
	n := r.uvarint()
	// Each has its print at the end.
	if n > maxMembers || n*printSize > uint64(len(r.b)) {
		r.fail("too many members")
	}
	if r.err != nil {
		return nil, r.err
	}
	members := make([]member, n)
	r.memberGroups(members)
	r.memberSlots(hour, members)
	for i := range members {
		for j := range members[i].print {
			members[i].print[j] = r.byte()
		}
	}
	return members, r.end()
}

func (r *reader) memberGroups(members []member) {
	last := int64(0)
	col := r.column(nil, len(members))
	for i, v := range col {
		if v > 1<<62 || last+int64(v) < last || v == 0 && i > 0 {
			r.fail("groups out of order")
			v = 0
		}
		last += int64(v)
		members[i].group = last
	}
	for i, v := range r.column(col, len(members)) {
		members[i].unnamed = v != 0
	}
}

func (r *reader) memberSlots(hour int64, members []member) {
	counts := r.column(nil, len(members))
	total := uint64(0)
	for _, n := range counts {
		if total += n; n > maxLate || total > maxLate {
			r.fail("too many slots")
			return
		}
	}
	starts := r.column(nil, int(total))
	versions := r.column(nil, int(total))
	for i, n := range counts {
		for j := range starts[:n] {
			if starts[j] >= hourMillis || versions[j] > 1<<32-1 {
				r.fail("slot outside its hour")
				return
			}
			members[i].slots = append(members[i].slots, slotVersion{hour + int64(starts[j]), uint32(versions[j])})
		}
		starts, versions = starts[n:], versions[n:]
	}
}
