package wire

import "slices"

// PartialDecoder reads partials one after the other: what their dictionaries take
// is used again, and a stream's name is the same string in all of them, which
// compares at once. The zero value is ready. It is for one goroutine.
type PartialDecoder struct {
	streams, vantages []string
	hashes            []uint64
	groups            []GroupKey
	names             map[string]string
}

// maxNames bounds the streams that a PartialDecoder remembers.
const maxNames = 1 << 14

// DecodePartial reads one partial; see PartialDecoder.Decode.
func DecodePartial(b []byte, p *Partial) error { return new(PartialDecoder).Decode(b, p) }

// Decode reads the partial b into p, which keeps nothing of b. The room of the
// counts that p held before is used again; of the rest it keeps nothing. Empty
// lists become nil.
func (d *PartialDecoder) Decode(b []byte, p *Partial) error {
	r := &partialReader{reader: reader{b: b, record: "partial"}, PartialDecoder: d}
	r.begin(MagicPartial, versionPartial)
	room := p.Counts[:0]
	*p = Partial{
		Source:      int32(r.uint32("source")),
		Sources:     int32(r.uint32("sources")),
		Incarnation: r.uvarint("incarnation"),
		From:        r.varint("from"),
	}
	p.To = p.From + r.varint("to")
	p.LogTime = r.varint("log time")
	p.RuleSet = r.id("rule set")
	r.dictionary()
	p.Groups = list(r, "groups", 2, func() GroupLabels {
		return GroupLabels{Key: r.group("group"), Labels: r.labels("group labels")}
	})
	p.Counts = r.counts(room)
	p.Sketches = list(r, "sketches", 3, func() Sketch { return r.sketch(p.LogTime) })
	p.Unplaced = list(r, "unplaced", 5, func() Unplaced { return r.unplaced(p.LogTime) })
	p.Gaps = list(r, "gaps", 14, r.gap)
	p.Regions = list(r, "regions", 3, func() RegionSeen {
		return RegionSeen{Region: r.string("region"), Frames: r.uint32("frames"), Newest: p.LogTime + r.varint("newest")}
	})
	p.Agents = list(r, "agents", 16, func() AgentSeen { return r.agent(p.LogTime) })
	r.end()
	return r.err
}

type partialReader struct {
	reader
	*PartialDecoder
}

// list reads a counted list whose elements take at least size bytes each; nil
// where it is empty.
func list[T any](r *partialReader, element string, size int, read func() T) []T {
	if out := listInto[T](r, nil, element, size, read); len(out) > 0 {
		return out
	}
	return nil
}

// listInto is list in room that is there.
func listInto[T any](r *partialReader, room []T, element string, size int, read func() T) []T {
	n := r.count(element, size)
	out := slices.Grow(room[:0], n)
	for range n {
		v := read()
		if r.err != nil {
			return room[:0]
		}
		out = append(out, v)
	}
	return out
}

func (r *partialReader) dictionary() {
	r.streams = listInto(r, r.streams, "streams", 2, r.stream)
	r.hashes = listInto(r, r.hashes, "label hashes", 8, func() uint64 { return r.fixed64("label hash") })
	labels := r.hashes
	stream, label := uint64(0), int64(0)
	r.groups = listInto(r, r.groups, "group keys", 1, func() (k GroupKey) {
		at := r.p
		v := r.uvarint("group key")
		if v&otherStream != 0 {
			label, stream = int64(v>>1), r.uvarint("group key")
		} else {
			label += 1 + unzigzag(v>>1)
		}
		if uint64(label) >= uint64(len(labels)) || stream >= uint64(len(r.streams)) {
			r.fail(at, "group key", ErrCorrupt)
			return k
		}
		return GroupKey{Stream: r.streams[stream], Labels: labels[label]}
	})
	r.vantages = listInto(r, r.vantages, "vantage points", 1, func() string { return r.string("vantage point") })
}

// stream reads a stream's name, as the string that it was the first time.
func (r *partialReader) stream() string {
	name := r.id("stream")
	if known, ok := r.names[name]; ok {
		return known
	}
	if r.names == nil || len(r.names) >= maxNames {
		r.names = map[string]string{}
	}
	r.names[name] = name
	return name
}

// pick reads a place in one of the dictionary's lists.
func pick[T any](r *partialReader, element string, from []T) (v T) {
	at := r.p
	i := r.uvarint(element)
	if i < uint64(len(from)) {
		return from[i]
	}
	r.fail(at, element, ErrCorrupt)
	return v
}

func (r *partialReader) group(element string) GroupKey { return pick(r, element, r.groups) }

func (r *partialReader) counts(out []BinCount) []BinCount {
	n := r.count("counts", 3)
	if n == 0 {
		return nil
	}
	at := r.p
	bin, unit := r.varint("first bin"), int64(r.uvarint("bin unit"))
	if r.err == nil && unit <= 0 {
		r.fail(at, "bin unit", ErrCorrupt)
	}
	places, events, good := r.column("count"), r.column("events"), r.column("good")
	group, vantage := -1, 0
	if r.err == nil && (n > places.left() || 2*n > events.left()) {
		r.fail(at, "counts", ErrTruncated)
	}
	if r.err != nil {
		return nil
	}
	out = slices.Grow(out, n)
	for range n {
		flags := places.byte("count flags")
		switch flags & countGroup {
		case groupNext:
			group++
		case groupPlace:
			group = int(places.uint32("group"))
		}
		if flags&countVantage != 0 {
			vantage = int(places.uint32("vantage point"))
		}
		if flags&^countKnown != 0 || flags&countGroup > groupPlace || uint(group) >= uint(len(r.groups)) || uint(vantage) >= uint(len(r.vantages)) {
			places.fail(places.p, "count", ErrCorrupt)
			break
		}
		c := BinCount{Group: r.groups[group], Vantage: r.vantages[vantage]}
		if flags&countBin != 0 {
			bin += unit * places.varint("bin")
		}
		c.Bin = bin
		c.Total = events.uvarint("total")
		c.Newest = bin + events.varint("newest")
		c.Good = c.Total
		if flags&countAllGood == 0 {
			c.Good = good.uvarint("good")
		}
		if flags&countBlind != 0 {
			c.Blind = good.uvarint("blind")
		}
		out = append(out, c)
	}
	for _, c := range []*reader{places, events, good} {
		if c.end(); r.err == nil {
			r.err = c.err
		}
	}
	if r.err != nil {
		return nil
	}
	return out
}

// column returns a reader of the bytes that follow a length; its errors say
// where they are in the record.
func (r *partialReader) column(element string) *reader {
	n := r.reader.count(element, 1)
	r.p += n
	return &reader{b: r.b[:r.p], p: r.p - n, record: r.record}
}

func (r *partialReader) sketch(logTime int64) Sketch {
	s := Sketch{Group: r.group("sketch"), Slot: logTime + r.varint("sketch slot")}
	if r.err != nil {
		return s
	}
	rest, err := s.Hist.Decode(r.b[r.p:])
	if err != nil {
		r.fail(r.p, "sketch histogram", ErrCorrupt)
		return s
	}
	r.p = len(r.b) - len(rest)
	return s
}

func (r *partialReader) unplaced(logTime int64) Unplaced {
	u := Unplaced{Group: r.group("unplaced"), From: logTime + r.varint("unplaced from")}
	u.To = u.From + r.varint("unplaced to")
	u.Good = r.uvarint("unplaced good")
	u.Total = r.uvarint("unplaced total")
	return u
}

func (r *partialReader) gap() Gap {
	g := Gap{Agent: r.string("gap agent"), Boot: r.fixed64("gap boot"), FirstSeq: r.uvarint("gap first")}
	g.LastSeq = g.FirstSeq + r.uvarint("gap last")
	g.From = r.varint("gap from")
	g.To = g.From + r.varint("gap to")
	g.Reason = r.string("gap reason")
	return g
}

func (r *partialReader) agent(logTime int64) AgentSeen {
	return AgentSeen{
		Agent: r.string("agent"), Boot: r.fixed64("agent boot"), Host: r.labels("agent host"),
		Frames: r.uvarint("agent frames"), Samples: r.uvarint("agent samples"), Repeats: r.uvarint("agent repeats"),
		LastSeq: r.uvarint("agent sequence"), Newest: logTime + r.varint("agent newest"), Skew: r.varint("agent skew"),
	}
}
