package wire

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// partialDictionary gives streams, label hashes, groups and vantage points
// small numbers, in the order of their first mention. Counts come sorted, so
// that most lookups compare with the neighbour only.
type partialDictionary struct {
	streams, vantages []string
	labels            []uint64
	groups            []GroupKey
	places            []groupPlaces // of the groups
	streamAt          map[string]int
	labelsAt          map[uint64]int
	vantageAt         map[string]int
	// groupAt is made when a group comes out of order; until then groups is
	// searched.
	groupAt map[GroupKey]int
	found   int // the last group found by a search
}

// groupPlaces are a group's stream and label hash, by their numbers.
type groupPlaces struct{ stream, labels int }

func (d *partialDictionary) reset() {
	if d.streamAt == nil {
		d.streamAt, d.labelsAt, d.vantageAt = map[string]int{}, map[uint64]int{}, map[string]int{}
	}
	clear(d.streamAt)
	clear(d.labelsAt)
	clear(d.vantageAt)
	d.groupAt, d.found = nil, 0
	d.streams, d.vantages, d.labels = d.streams[:0], d.vantages[:0], d.labels[:0]
	d.groups, d.places = d.groups[:0], d.places[:0]
}

// mention numbers the groups that a partial mentions apart from its counts.
func (d *partialDictionary) mention(p *Partial) {
	for i := range p.Groups {
		d.group(p.Groups[i].Key)
	}
	for i := range p.Sketches {
		d.group(p.Sketches[i].Group)
	}
	for i := range p.Unplaced {
		d.group(p.Unplaced[i].Group)
	}
}

// group returns the group's number.
func (d *partialDictionary) group(k GroupKey) int {
	n := len(d.groups)
	switch {
	case n == 0 || d.groupAt == nil && compareGroupKeys(d.groups[n-1], k) < 0:
		d.add(k)
		return n
	case d.groups[n-1] == k:
		return n - 1
	case d.found+1 < n && d.groups[d.found+1] == k: // those announced come sorted too
		d.found++
		return d.found
	case d.groupAt == nil:
		if i, ok := slices.BinarySearchFunc(d.groups, k, compareGroupKeys); ok {
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
	d.add(k)
	return n
}

func compareGroupKeys(a, b GroupKey) int {
	return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Labels, b.Labels))
}

func (d *partialDictionary) add(k GroupKey) {
	last := groupPlaces{labels: -1}
	n := len(d.groups)
	if n > 0 {
		last = d.places[n-1]
	}
	at := groupPlaces{last.stream, last.labels + 1}
	if n == 0 || d.groups[n-1].Stream != k.Stream {
		at = groupPlaces{stream: d.stream(k.Stream)}
	}
	// Streams grouped alike have the same labels in the same order.
	if at.labels >= len(d.labels) || d.labels[at.labels] != k.Labels {
		at.labels = d.label(k.Labels)
	}
	d.groups = append(d.groups, k)
	d.places = append(d.places, at)
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

func (d *partialDictionary) vantage(v string) int {
	i, ok := d.vantageAt[v]
	if !ok {
		i = len(d.vantages)
		d.vantageAt[v] = i
		d.vantages = append(d.vantages, v)
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
	dst = appendUvarint(dst, uint64(len(d.places)))
	last := groupPlaces{labels: -1}
	for _, at := range d.places {
		if at.stream == last.stream {
			dst = appendUvarint(dst, zigzag(int64(at.labels-last.labels-1))<<1)
		} else {
			dst = appendUvarint(dst, uint64(at.labels)<<1|otherStream)
			dst = appendUvarint(dst, uint64(at.stream))
		}
		last = at
	}
	dst = appendUvarint(dst, uint64(len(d.vantages)))
	for _, v := range d.vantages {
		dst = appendString(dst, v)
	}
	return dst
}
