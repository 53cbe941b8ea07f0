package aggregate

import (
	"encoding/binary"
	"errors"
	"math"

	"nines/collector/decode"
	"nines/internal/telemetry"
)

// save writes what a checkpoint keeps of other fleets: what is needed to judge
// repeats, order and increments as this owner would.
func (f *foreignState) save() []byte {
	dst := binary.AppendVarint(make([]byte, 0, 1024+160*len(f.series)), f.began)
	dst = binary.AppendUvarint(dst, uint64(len(f.series)))
	for _, sr := range f.series {
		dst = sr.save(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(f.pairs)))
	for k, p := range f.pairs {
		dst = binary.LittleEndian.AppendUint64(dst, k.set)
		dst = binary.AppendVarint(appendText(dst, k.stream), k.from)
		dst = p.save(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(f.tallies)))
	for k, t := range f.tallies {
		dst = binary.LittleEndian.AppendUint64(dst, k.set)
		dst = binary.AppendVarint(appendText(dst, k.stream), k.from)
		dst = t.save(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(f.said)))
	for r := range f.said {
		dst = binary.LittleEndian.AppendUint64(appendText(dst, r.boot.Agent), r.text)
	}
	return dst
}

func (sr *foreignSeries) save(dst []byte) []byte {
	dst = appendText(appendText(append(dst, byte(sr.kind)), sr.id), sr.name)
	dst = binary.AppendUvarint(dst, uint64(len(sr.labels)))
	for _, l := range sr.labels {
		dst = appendText(appendText(dst, l.Name), l.Value)
	}
	dst = binary.LittleEndian.AppendUint64(dst, sr.key)
	dst = binary.AppendVarint(dst, sr.used)
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(sr.rest))
	dst = saveTimes(dst, &sr.times)
	c := &sr.counted
	if c.who == nil {
		dst = binary.AppendUvarint(dst, uint64(len(c.apart)))
		for i := range c.apart {
			dst = saveReading(dst, c.apart[i].reader, &c.apart[i].counter)
		}
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.who.list)))
	for _, r := range c.who.list {
		dst = saveReading(dst, r, &c.counter)
	}
	return dst
}

func saveReading(dst []byte, r reader, c *counter) []byte {
	return binary.AppendVarint(binary.AppendUvarint(appendReader(dst, r), c.value), c.time)
}

func (p *foreignPair) save(dst []byte) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, p.bucket), p.total)
	dst = appendTruth(binary.AppendVarint(binary.AppendVarint(dst, p.time), p.used), p.fresh)
	dst = binary.AppendUvarint(dst, uint64(len(p.pending)))
	for _, r := range p.pending {
		dst = binary.AppendUvarint(binary.AppendUvarint(binary.AppendVarint(dst, r.Time), r.Bucket), r.Total)
		dst = appendTruth(appendTruth(dst, r.HasBucket), r.HasTotal)
	}
	return dst
}

func (t *foreignTally) save(dst []byte) []byte {
	dst = binary.AppendVarint(appendText(appendText(dst, t.metric), t.host), t.since)
	for _, v := range []bool{t.judged, t.bucket, t.total, t.native, t.gauges} {
		dst = appendTruth(dst, v)
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.bounds)))
	for _, b := range t.bounds {
		dst = appendText(dst, b)
	}
	return dst
}

// load reads what save wrote. Streams are those of the rules in force.
func (f *foreignState) load(b []byte, rules *ruleSet) error {
	r := &bootReader{b: b}
	f.began = r.varint()
	for range r.length() {
		sr := loadSeries(r)
		f.series[sr.id] = sr
	}
	for range r.length() {
		k := foreignPairKey{set: r.fixed(), stream: r.text(), from: r.varint()}
		f.pairs[k] = loadPair(r)
	}
	for range r.length() {
		k := tallyKey{set: r.fixed(), stream: r.text(), from: r.varint()}
		t := loadTally(r)
		if t.stream, t.set = rules.find(k.stream, k.from), k.set; t.stream != nil {
			f.tallies[k] = t
		}
	}
	for range r.length() {
		f.said[refusal{bootKey{Agent: r.text()}, r.fixed()}] = true
	}
	if r.bad || len(r.b) > 0 {
		return errors.New("what is known of other fleets is damaged")
	}
	return nil
}

func loadSeries(r *bootReader) *foreignSeries {
	sr := &foreignSeries{}
	if b := r.take(1); b != nil {
		sr.kind = decode.Kind(b[0])
	}
	sr.id, sr.name = r.text(), r.text()
	for range r.length() {
		sr.labels = append(sr.labels, telemetry.Label{Name: r.text(), Value: r.text()})
	}
	sr.key, sr.used, sr.rest = r.fixed(), r.varint(), math.Float64frombits(r.fixed())
	sr.times = loadTimes(r)
	for range r.length() {
		c := apart{reader: reader{stream: r.text(), from: r.varint()}}
		if b := r.take(1); b != nil {
			c.role = role(b[0])
		}
		c.value, c.time = r.uvarint(), r.varint()
		sr.counted.apart = append(sr.counted.apart, c)
	}
	return sr
}

func saveTimes(dst []byte, ts *decode.Times) []byte {
	dst = appendTruth(dst, ts.Some)
	dst = binary.AppendVarint(dst, ts.Floor)
	dst = binary.AppendUvarint(dst, uint64(len(ts.Runs)))
	for _, r := range ts.Runs {
		dst = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(dst, r.Last), r.Step), r.N)
	}
	return dst
}

func loadTimes(r *bootReader) (ts decode.Times) {
	ts.Some, ts.Floor = r.uvarint() == 1, r.varint()
	for range r.length() {
		ts.Runs = append(ts.Runs, decode.Run{Last: r.varint(), Step: r.varint(), N: r.varint()})
	}
	return ts
}

func loadPair(r *bootReader) *foreignPair {
	p := &foreignPair{pair{bucket: r.uvarint(), total: r.uvarint(), time: r.varint(), used: r.varint(), fresh: r.uvarint() == 1}}
	for range r.length() {
		p.pending = append(p.pending, reading{Time: r.varint(), Bucket: r.uvarint(), Total: r.uvarint(), HasBucket: r.uvarint() == 1, HasTotal: r.uvarint() == 1})
	}
	return p
}

func loadTally(r *bootReader) *foreignTally {
	t := &foreignTally{}
	t.metric, t.host, t.since = r.text(), r.text(), r.varint()
	t.judged, t.bucket, t.total, t.native, t.gauges = r.uvarint() == 1, r.uvarint() == 1, r.uvarint() == 1, r.uvarint() == 1, r.uvarint() == 1
	for range r.length() {
		t.bounds = append(t.bounds, r.text())
	}
	return t
}
