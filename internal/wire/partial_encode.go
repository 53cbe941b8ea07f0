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
// bin come out smallest, and soonest.
func AppendPartial(dst []byte, p *Partial) []byte { return new(PartialEncoder).Append(dst, p) }

// PartialEncoder is AppendPartial with memory for the next partial. The zero
// value is ready. It is for one goroutine.
type PartialEncoder struct {
	d       partialDictionary
	columns countColumns
	counts  []byte
}

// Append appends the partial's bytes to dst, as AppendPartial does.
func (e *PartialEncoder) Append(dst []byte, p *Partial) []byte {
	d := &e.d
	d.reset()
	e.counts = e.columns.append(e.counts[:0], d, p.Counts)
	d.mention(p)
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
	dst = append(dst, e.counts...)
	dst = d.appendSketches(dst, p)
	dst = d.appendUnplaced(dst, p)
	dst = appendGaps(dst, p)
	dst = appendRegions(dst, p)
	return appendAgents(dst, p)
}

func (d *partialDictionary) appendGroups(dst []byte, groups []GroupLabels) []byte {
	dst = appendUvarint(dst, uint64(len(groups)))
	for i := range groups {
		dst = appendUvarint(dst, uint64(d.group(groups[i].Key)))
		dst = appendLabels(dst, groups[i].Labels)
	}
	return dst
}

// countColumns are the three parts of counts: what differs from count to count
// stands apart from what repeats, which costs half the bytes after compression
// and half the time to compress.
type countColumns struct {
	places []byte // flags, and what they say that follows
	events []byte // totals and newest times
	good   []byte // and blind
}

func (c *countColumns) append(dst []byte, d *partialDictionary, counts []BinCount) []byte {
	dst = appendUvarint(dst, uint64(len(counts)))
	if len(counts) == 0 {
		return dst
	}
	unit := binUnit(counts)
	dst = appendVarint(dst, counts[0].Bin)
	dst = appendUvarint(dst, uint64(unit))
	c.places, c.events, c.good = c.places[:0], c.events[:0], c.good[:0]
	last := countPlace{group: -1, bin: counts[0].Bin, unit: unit}
	for i := range counts {
		c.put(&counts[i], &last, d)
	}
	dst = appendBytes(dst, c.places)
	dst = appendBytes(dst, c.events)
	return appendBytes(dst, c.good)
}

// countPlace is where the count before stands.
type countPlace struct {
	group, vantage int
	bin, unit      int64
	name           string // of the vantage point
}

func (c *countColumns) put(n *BinCount, l *countPlace, d *partialDictionary) {
	g, v := d.group(n.Group), l.vantage
	if l.group < 0 || n.Vantage != l.name {
		v = d.vantage(n.Vantage)
		l.name = n.Vantage
	}
	flags := countFlags(n, g-l.group, v != l.vantage, n.Bin != l.bin)
	c.places = append(c.places, flags)
	if flags&(countGroup|countVantage|countBin) != groupNext {
		if flags&countGroup == groupPlace {
			c.places = appendUvarint(c.places, uint64(g))
		}
		if flags&countVantage != 0 {
			c.places = appendUvarint(c.places, uint64(v))
		}
		if flags&countBin != 0 {
			c.places = appendVarint(c.places, (n.Bin-l.bin)/l.unit)
		}
	}
	l.group, l.vantage, l.bin = g, v, n.Bin
	c.events = appendShort(c.events, n.Total)
	c.events = appendShort(c.events, zigzag(n.Newest-n.Bin))
	if flags&countAllGood == 0 {
		c.good = appendShort(c.good, n.Good)
	}
	if flags&countBlind != 0 {
		c.good = appendShort(c.good, n.Blind)
	}
}

// appendShort is appendUvarint, quick for the one or two bytes that most take.
func appendShort(b []byte, v uint64) []byte {
	switch {
	case v < 1<<7:
		return append(b, byte(v))
	case v < 1<<14:
		return append(b, byte(v)|0x80, byte(v>>7))
	}
	return binary.AppendUvarint(b, v)
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
		if d == 0 {
			continue
		}
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
