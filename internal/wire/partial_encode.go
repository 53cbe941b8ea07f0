package wire

import "encoding/binary"

// Bits of a count's flags: what is written of it. Counts are sorted, so that
// most of a row follows from the row before.
const (
	countGroup   = 0x03 // which group, by one of the three below
	countVantage = 0x04 // the place of the vantage point follows; else as before
	countBin     = 0x08 // the distance to the bin before follows, in units; else as before
	countAllGood = 0x10 // Good equals Total and is not written
	countBlind   = 0x20 // Blind follows; else 0
	countKnown   = 0x3f

	groupSame  = 0x00 // as before
	groupNext  = 0x01 // the next in the dictionary
	groupPlace = 0x02 // its place in the dictionary follows
)

// AppendPartial appends the partial's bytes to dst. Equal partials give equal
// bytes. The order of its lists is kept; Counts sorted by group, vantage and
// bin come out smallest.
func AppendPartial(dst []byte, p *Partial) []byte {
	d := newPartialDictionary(p)
	dst = append(dst, MagicPartial, version)
	dst = appendUvarint(dst, uint64(uint32(p.Source)))
	dst = appendUvarint(dst, uint64(uint32(p.Sources)))
	dst = appendUvarint(dst, p.Incarnation)
	dst = appendVarint(dst, p.From)
	dst = appendVarint(dst, p.To-p.From)
	dst = appendVarint(dst, p.LogTime)
	dst = appendID(dst, p.RuleSet)
	dst = d.append(dst)
	dst = d.appendGroups(dst, p.Groups)
	dst = d.appendCounts(dst, p.Counts)
	dst = d.appendSketches(dst, p)
	dst = d.appendUnplaced(dst, p)
	dst = appendGaps(dst, p)
	dst = appendRegions(dst, p)
	return appendAgents(dst, p)
}

// partialDictionary gives streams, groups and vantage points small numbers, in
// the order of their first mention.
type partialDictionary struct {
	streams, vantages []string
	groups            []GroupKey
	streamAt          map[string]int
	vantageAt         map[string]int
	groupAt           map[GroupKey]int
}

func newPartialDictionary(p *Partial) *partialDictionary {
	d := &partialDictionary{streamAt: map[string]int{}, vantageAt: map[string]int{}, groupAt: map[GroupKey]int{}}
	for i := range p.Counts {
		c := &p.Counts[i]
		if i == 0 || c.Group != p.Counts[i-1].Group {
			d.group(c.Group)
		}
		if i == 0 || c.Vantage != p.Counts[i-1].Vantage {
			d.vantage(c.Vantage)
		}
	}
	for i := range p.Groups {
		d.group(p.Groups[i].Key)
	}
	for i := range p.Sketches {
		d.group(p.Sketches[i].Group)
	}
	for i := range p.Unplaced {
		d.group(p.Unplaced[i].Group)
	}
	return d
}

func (d *partialDictionary) group(k GroupKey) int {
	if i, ok := d.groupAt[k]; ok {
		return i
	}
	if _, ok := d.streamAt[k.Stream]; !ok {
		d.streamAt[k.Stream] = len(d.streams)
		d.streams = append(d.streams, k.Stream)
	}
	i := len(d.groups)
	d.groupAt[k] = i
	d.groups = append(d.groups, k)
	return i
}

func (d *partialDictionary) vantage(v string) int {
	if i, ok := d.vantageAt[v]; ok {
		return i
	}
	i := len(d.vantages)
	d.vantageAt[v] = i
	d.vantages = append(d.vantages, v)
	return i
}

func (d *partialDictionary) append(dst []byte) []byte {
	dst = appendUvarint(dst, uint64(len(d.streams)))
	for _, s := range d.streams {
		dst = appendID(dst, s)
	}
	dst = appendUvarint(dst, uint64(len(d.groups)))
	for _, g := range d.groups {
		dst = appendUvarint(dst, uint64(d.streamAt[g.Stream]))
		dst = binary.LittleEndian.AppendUint64(dst, g.Labels)
	}
	dst = appendUvarint(dst, uint64(len(d.vantages)))
	for _, v := range d.vantages {
		dst = appendString(dst, v)
	}
	return dst
}

func (d *partialDictionary) appendGroups(dst []byte, groups []GroupLabels) []byte {
	dst = appendUvarint(dst, uint64(len(groups)))
	for i := range groups {
		dst = appendUvarint(dst, uint64(d.group(groups[i].Key)))
		dst = appendLabels(dst, groups[i].Labels)
	}
	return dst
}

func (d *partialDictionary) appendCounts(dst []byte, counts []BinCount) []byte {
	dst = appendUvarint(dst, uint64(len(counts)))
	if len(counts) == 0 {
		return dst
	}
	unit := binUnit(counts)
	dst = appendVarint(dst, counts[0].Bin)
	dst = appendUvarint(dst, uint64(unit))
	group, vantage, bin := -1, 0, counts[0].Bin
	var last GroupKey
	for i := range counts {
		c := &counts[i]
		g, v := group, d.vantageAt[c.Vantage]
		if i == 0 || c.Group != last {
			g, last = d.groupAt[c.Group], c.Group
		}
		flags := countFlags(c, g-group, v != vantage, c.Bin != bin)
		dst = append(dst, flags)
		if flags&countGroup == groupPlace {
			dst = appendUvarint(dst, uint64(g))
		}
		if flags&countVantage != 0 {
			dst = appendUvarint(dst, uint64(v))
		}
		if flags&countBin != 0 {
			dst = appendVarint(dst, (c.Bin-bin)/unit)
		}
		dst = appendUvarint(dst, c.Total)
		if flags&countAllGood == 0 {
			dst = appendUvarint(dst, c.Good)
		}
		if flags&countBlind != 0 {
			dst = appendUvarint(dst, c.Blind)
		}
		dst = appendVarint(dst, c.Newest-c.Bin)
		group, vantage, bin = g, v, c.Bin
	}
	return dst
}

func countFlags(c *BinCount, groupStep int, otherVantage, otherBin bool) byte {
	flags := byte(groupPlace)
	switch groupStep {
	case 0:
		flags = groupSame
	case 1:
		flags = groupNext
	}
	if otherVantage {
		flags |= countVantage
	}
	if otherBin {
		flags |= countBin
	}
	if c.Good == c.Total {
		flags |= countAllGood
	}
	if c.Blind != 0 {
		flags |= countBlind
	}
	return flags
}

// binUnit returns the greatest length that divides the distances of all bins,
// in milliseconds.
func binUnit(counts []BinCount) int64 {
	unit := uint64(0)
	for i := 1; i < len(counts); i++ {
		d := counts[i].Bin - counts[i-1].Bin
		if d < 0 {
			d = -d
		}
		a, b := unit, uint64(d)
		for b != 0 {
			a, b = b, a%b
		}
		unit = a
	}
	if unit == 0 || unit >= 1<<63 {
		return 1
	}
	return int64(unit)
}

func (d *partialDictionary) appendSketches(dst []byte, p *Partial) []byte {
	dst = appendUvarint(dst, uint64(len(p.Sketches)))
	for i := range p.Sketches {
		s := &p.Sketches[i]
		dst = appendUvarint(dst, uint64(d.group(s.Group)))
		dst = appendVarint(dst, s.Slot-p.LogTime)
		dst = s.Hist.AppendBinary(dst)
	}
	return dst
}

func (d *partialDictionary) appendUnplaced(dst []byte, p *Partial) []byte {
	dst = appendUvarint(dst, uint64(len(p.Unplaced)))
	for i := range p.Unplaced {
		u := &p.Unplaced[i]
		dst = appendUvarint(dst, uint64(d.group(u.Group)))
		dst = appendVarint(dst, u.From-p.LogTime)
		dst = appendVarint(dst, u.To-u.From)
		dst = appendUvarint(dst, u.Good)
		dst = appendUvarint(dst, u.Total)
	}
	return dst
}

func appendGaps(dst []byte, p *Partial) []byte {
	dst = appendUvarint(dst, uint64(len(p.Gaps)))
	for i := range p.Gaps {
		g := &p.Gaps[i]
		dst = appendString(dst, g.Agent)
		dst = binary.LittleEndian.AppendUint64(dst, g.Boot)
		dst = appendUvarint(dst, g.FirstSeq)
		dst = appendUvarint(dst, g.LastSeq-g.FirstSeq)
		dst = appendVarint(dst, g.From)
		dst = appendVarint(dst, g.To-g.From)
		dst = appendString(dst, g.Reason)
	}
	return dst
}

func appendRegions(dst []byte, p *Partial) []byte {
	dst = appendUvarint(dst, uint64(len(p.Regions)))
	for i := range p.Regions {
		s := &p.Regions[i]
		dst = appendString(dst, s.Region)
		dst = appendUvarint(dst, uint64(s.Frames))
		dst = appendVarint(dst, s.Newest-p.LogTime)
	}
	return dst
}

func appendAgents(dst []byte, p *Partial) []byte {
	dst = appendUvarint(dst, uint64(len(p.Agents)))
	for i := range p.Agents {
		a := &p.Agents[i]
		dst = appendString(dst, a.Agent)
		dst = binary.LittleEndian.AppendUint64(dst, a.Boot)
		dst = appendLabels(dst, a.Host)
		dst = appendUvarint(dst, a.Frames)
		dst = appendUvarint(dst, a.Samples)
		dst = appendUvarint(dst, a.Repeats)
		dst = appendUvarint(dst, a.LastSeq)
		dst = appendVarint(dst, a.Newest-p.LogTime)
		dst = appendVarint(dst, a.Skew)
	}
	return dst
}
