package wire

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// partialDictionary gives streams, label hashes and groups small numbers, in
// the order of their first mention. Counts come sorted, so that most lookups
// compare with the neighbour only.
type partialDictionary struct {
	streams   []string
	labels    []uint64
	groups    []GroupKey
	written   []byte // the groups as they are written
	lastLabel int    // the number of the last group's label hash
	streamAt  map[string]int
	labelsAt  map[uint64]int
	// groupAt is made when a group comes out of order; until then groups is
	// searched.
	groupAt map[GroupKey]int
	found   int // the last group found by a search
	// order and present say which groups of which order it holds, and none
	// else, so that partials of the same groups share it. Order is nil where
	// it holds others.
	order   *CountOrder
	present []int32
}

// use has the dictionary hold the groups of the order that are present.
func (d *partialDictionary) use(o *CountOrder, present []int32) {
	if d.order == o && slices.Equal(d.present, present) {
		return
	}
	d.reset()
	for _, g := range present {
		d.group(o.groups[g])
	}
	d.order, d.present = o, append(d.present[:0], present...)
}

func (d *partialDictionary) reset() {
	if d.streamAt == nil {
		d.streamAt, d.labelsAt = map[string]int{}, map[uint64]int{}
	}
	clear(d.streamAt)
	clear(d.labelsAt)
	d.groupAt, d.found, d.order = nil, 0, nil
	d.streams, d.labels = d.streams[:0], d.labels[:0]
	d.groups, d.written = d.groups[:0], d.written[:0]
}

// mention numbers the groups that a partial mentions apart from its counts.
func (d *partialDictionary) mention(p *Partial) {
	n := len(d.groups)
	for i := range p.Groups {
		d.group(p.Groups[i].Key)
	}
	for i := range p.Sketches {
		d.group(p.Sketches[i].Group)
	}
	for i := range p.Unplaced {
		d.group(p.Unplaced[i].Group)
	}
	if len(d.groups) > n {
		d.order = nil
	}
}

// group returns the group's number.
func (d *partialDictionary) group(k GroupKey) int {
	n := len(d.groups)
	if n == 0 {
		d.add(k, false)
		return 0
	}
	last := &d.groups[n-1]
	same := last.Stream == k.Stream
	switch {
	case same && last.Labels == k.Labels:
		return n - 1
	case d.groupAt != nil:
	case same && last.Labels < k.Labels || !same && last.Stream < k.Stream:
		d.add(k, same)
		return n
	default:
		if i, ok := d.search(k); ok {
			d.found = i
			return i
		}
		d.groupAt = make(map[GroupKey]int, 2*n)
		for i, g := range d.groups {
			d.groupAt[g] = i
		}
	}
	if i, ok := d.groupAt[k]; ok {
		return i
	}
	d.groupAt[k] = n
	d.add(k, same)
	return n
}

// search looks for the group while groups are sorted: first behind the one that
// was found last, as what is looked for is mostly sorted too.
func (d *partialDictionary) search(k GroupKey) (int, bool) {
	if i := d.found + 1; i < len(d.groups) && d.groups[i] == k {
		return i, true
	}
	return slices.BinarySearchFunc(d.groups, k, func(a, b GroupKey) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Labels, b.Labels))
	})
}

// add numbers a new group and writes it; same says that its stream is that of
// the last one.
func (d *partialDictionary) add(k GroupKey, same bool) {
	d.groups = append(d.groups, k)
	if same {
		// Streams grouped alike have the same labels in the same order.
		next := d.lastLabel + 1
		label := next
		if next >= len(d.labels) || d.labels[next] != k.Labels {
			label = d.label(k.Labels)
		}
		d.lastLabel = label
		d.written = appendUvarint(d.written, zigzag(int64(label-next))<<1)
		return
	}
	d.lastLabel = 0
	if len(d.labels) == 0 || d.labels[0] != k.Labels {
		d.lastLabel = d.label(k.Labels)
	}
	d.written = appendUvarint(d.written, uint64(d.lastLabel)<<1|otherStream)
	d.written = appendUvarint(d.written, uint64(d.stream(k.Stream)))
}

func (d *partialDictionary) stream(id string) int {
	i, ok := d.streamAt[id]
	if !ok {
		i = len(d.streams)
		d.streamAt[id] = i
		d.streams = append(d.streams, id)
	}
	return i
}

func (d *partialDictionary) label(hash uint64) int {
	i, ok := d.labelsAt[hash]
	if !ok {
		i = len(d.labels)
		d.labelsAt[hash] = i
		d.labels = append(d.labels, hash)
	}
	return i
}

// otherStream is the bit of a group's first number that says that its stream is
// not that of the group before, and follows.
const otherStream = 1

func (d *partialDictionary) append(dst []byte) []byte {
	dst = appendUvarint(dst, uint64(len(d.streams)))
	for _, s := range d.streams {
		dst = appendID(dst, s)
	}
	dst = appendUvarint(dst, uint64(len(d.labels)))
	for _, hash := range d.labels {
		dst = binary.LittleEndian.AppendUint64(dst, hash)
	}
	dst = appendUvarint(dst, uint64(len(d.groups)))
	return append(dst, d.written...)
}
