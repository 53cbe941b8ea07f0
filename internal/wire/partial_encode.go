package wire

import "encoding/binary"

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
	packed  PackedCounts // of partials whose counts are not
}

// Append appends the partial's bytes to dst, as AppendPartial does.
func (e *PartialEncoder) Append(dst []byte, p *Partial) []byte {
	d := &e.d
	if p.Packed != nil {
		e.counts = e.columns.append(e.counts[:0], p.Packed)
		d.use(p.Packed.Order, e.columns.present)
	} else {
		d.reset()
		e.packed.pack(p.Counts, d)
		e.counts = e.columns.append(e.counts[:0], &e.packed)
	}
	d.mention(p)
	dst = append(dst, MagicPartial, versionPartial)
	dst = appendUvarint(dst, uint64(uint32(p.Source)))
	dst = appendUvarint(dst, uint64(uint32(p.Sources)))
	dst = appendUvarint(dst, p.Incarnation)
	dst = appendVarint(dst, p.From)
	dst = appendVarint(dst, p.To-p.From)
	dst = appendVarint(dst, p.LogTime)
	dst = appendID(dst, p.RuleSet)
	dst = d.append(dst)
	dst = e.columns.appendVantages(dst)
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
