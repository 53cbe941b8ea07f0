package ledger

import (
	"encoding/binary"
	"slices"
)

// names numbers the strings of a block from 1; 0 is the empty string.
type names struct {
	list []string
	ids  map[string]uint64 // once the list is too long to search
}

// searched is the longest list of names that is searched from its start.
const searched = 8

func (n *names) id(s string) uint64 {
	if s == "" {
		return 0
	}
	if id := n.find(s); id > 0 {
		return id
	}
	n.list = append(n.list, s)
	if len(n.list) > searched && n.ids == nil {
		n.ids = make(map[string]uint64)
		for i, have := range n.list {
			n.ids[have] = uint64(i + 1)
		}
	} else if n.ids != nil {
		n.ids[s] = uint64(len(n.list))
	}
	return uint64(len(n.list))
}

func (n *names) find(s string) uint64 {
	if n.ids != nil {
		return n.ids[s]
	}
	for i, have := range n.list {
		if have == s {
			return uint64(i + 1)
		}
	}
	return 0
}

func (n *names) get(id uint64, r *reader) string {
	if id == 0 {
		return ""
	}
	if id > uint64(len(n.list)) {
		r.fail("unknown name")
		return ""
	}
	return n.list[id-1]
}

// append writes all names; those that follow are told by their numbers.
func (n *names) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(n.list)))
	for _, s := range n.list {
		b = appendString(b, s)
	}
	return b
}

func (r *reader) names() *names {
	count := r.uvarint()
	if count > maxBlockNames || count > uint64(len(r.b)) {
		r.fail("too many names")
		return nil
	}
	n := &names{list: make([]string, 0, count)}
	for ; count > 0 && r.err == nil; count-- {
		n.list = append(n.list, r.string())
	}
	return n
}

// nameSets numbers the sets of names of a block from 0. Slots that follow each
// other nearly always have the same one.
type nameSets struct {
	list [][]string
	last int
}

// id returns the set's number, and numbers it and its names where it is new.
func (s *nameSets) id(set []string, n *names) uint64 {
	if len(set) == 0 || s.last < len(s.list) && slices.Equal(s.list[s.last], set) {
		return uint64(s.last)
	}
	s.last = slices.IndexFunc(s.list, func(have []string) bool { return slices.Equal(have, set) })
	if s.last < 0 {
		s.last = len(s.list)
		s.list = append(s.list, set)
		for _, name := range set {
			n.id(name)
		}
	}
	return uint64(s.last)
}

func (s *nameSets) append(b []byte, n *names) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.list)))
	for _, set := range s.list {
		b = binary.AppendUvarint(b, uint64(len(set)))
		for _, name := range set {
			b = binary.AppendUvarint(b, n.id(name))
		}
	}
	return b
}

// nameSets reads the sets, which slots are to share.
func (r *reader) nameSets(n *names) [][]string {
	count := r.uvarint()
	if count > uint64(len(r.b)) {
		r.fail("too many sets of names")
	}
	if count == 0 || r.err != nil {
		return nil
	}
	sets := make([][]string, 0, count)
	var all []string
	for ; count > 0 && r.err == nil; count-- {
		k := r.uvarint()
		if k == 0 || k > uint64(len(r.b)) {
			r.fail("set of names of a wrong length")
			break
		}
		from := len(all)
		for ; k > 0 && r.err == nil; k-- {
			all = append(all, n.get(r.uvarint(), r))
		}
		sets = append(sets, all[from:len(all):len(all)])
	}
	return sets
}
