package aggregate

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"hash/crc32"

	"nines/internal/slo"
	"nines/internal/telemetry"
)

// checkpoint is the state between two stretches, at a sketch cut: no bins, no
// sketches, no gaps are pending. Fields only ever join this list.
type checkpoint struct {
	Source      int32
	Incarnation uint64
	Pos         int64
	LogTime     int64
	SketchMark  int64
	Swept       int64
	// LastCRC is the checksum of the record at Pos-1: a log that has another
	// record there is another log.
	LastCRC  uint32
	RuleSet  string
	Streams  []savedStream
	Schemas  []savedSchema
	Boots    []savedBoot    // in checkpoints from before BootBytes
	Counters []savedCounter // in checkpoints from before CounterBytes
	Pairs    []savedPair
	Refusals []savedRefusal
	// BootBytes are the boots as appendBoots writes them; another form of them
	// takes a field of another name.
	BootBytes []byte
	// CounterBytes are the counters as appendCounters writes them; likewise.
	CounterBytes []byte
	// Foreign is what foreign.save writes; likewise.
	Foreign []byte
	// Doubted is until when schemas may be older than they seem.
	Doubted int64
}

type savedStream struct {
	ID          string
	Def         slo.Stream
	From, Until int64
}

type savedSchema struct {
	Series []telemetry.Series
	Used   int64
}

type savedBoot struct {
	Agent         string
	Boot, LastSeq uint64
	Newest, Used  int64
	Current       bool // the agent's newest boot
	Host          telemetry.Labels
	Schemas       []uint64 // that the boot has sent
	Judged        []bool   // of each of them, whether its histograms were judged
}

type savedCounter struct {
	Agent        string
	Boot, Series uint64
	Stream       string
	From         int64
	Role         uint8
	Value        uint64
	Time, Used   int64
	Fresh        bool
}

type savedPair struct {
	Agent         string
	Boot, Set     uint64
	Stream        string
	From          int64
	Bucket, Total uint64
	Time, Used    int64
	Fresh         bool
	Pending       []reading
}

type savedRefusal struct {
	Agent      string
	Boot, Text uint64
}

// CRC is the checksum of a record's value by which a position is recognised.
func CRC(value []byte) uint32 { return crc32.Checksum(value, crc32.MakeTable(crc32.Castagnoli)) }

// Checkpoint returns the state as bytes. It may be called right after an
// outcome with Checkpoint set, and not later; last is the checksum of the
// record that led to it.
func (s *State) Checkpoint(last uint32) ([]byte, error) {
	c := checkpoint{Source: s.source, Incarnation: s.incarnation, Pos: s.pos, LogTime: s.logTime,
		SketchMark: s.sketchMark, Swept: s.swept, LastCRC: last, RuleSet: s.rules.id, Doubted: s.doubted}
	for _, st := range s.rules.streams {
		c.Streams = append(c.Streams, savedStream{st.id, *st.def, st.From, st.Until})
	}
	for _, sc := range s.schemas {
		c.Schemas = append(c.Schemas, savedSchema{sc.def.Series, sc.used})
	}
	boots := make([]savedBoot, 0, len(s.boots))
	for k, b := range s.boots {
		boots = append(boots, savedBoot{k.Agent, k.Boot, b.lastSeq, b.newest, b.used, s.newest[k.Agent] == k, b.host, b.sent(), b.judged()})
	}
	c.BootBytes = appendBoots(make([]byte, 0, bootSize*len(boots)), boots)
	c.CounterBytes = appendCounters(nil, s.allCounters(), s.logTime)
	for k, p := range s.pairs {
		c.Pairs = append(c.Pairs, savedPair{k.agent, k.boot, k.series, k.stream, k.from, p.bucket, p.total, p.time, p.used, p.fresh, p.pending})
	}
	for r := range s.refusals {
		c.Refusals = append(c.Refusals, savedRefusal{r.boot.Agent, r.boot.Boot, r.text})
	}
	c.Foreign = s.foreign.save()
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(&c); err != nil {
		return nil, fmt.Errorf("encode checkpoint of partition %d: %w", s.source, err)
	}
	return buf.Bytes(), nil
}

// sent returns the fingerprints of the schemas that the boot has sent.
func (b *boot) sent() []uint64 {
	out := make([]uint64, len(b.schemas))
	for i := range b.schemas {
		out[i] = b.schemas[i].fingerprint
	}
	return out
}

// judged says of each schema that the boot has sent whether its histograms were
// judged.
func (b *boot) judged() []bool {
	out := make([]bool, len(b.schemas))
	for i := range b.schemas {
		out[i] = b.schemas[i].judged
	}
	return out
}

// Restore returns the state that Checkpoint wrote, and the checksum of the
// record before its position.
func Restore(data []byte, sources int32, rules Rules) (*State, uint32, error) {
	var c checkpoint
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&c); err != nil {
		return nil, 0, fmt.Errorf("decode checkpoint: %w", err)
	}
	s := NewState(c.Source, sources, c.Incarnation, c.Pos, rules)
	s.logTime, s.sketchMark, s.swept, s.doubted = c.LogTime, c.SketchMark, c.Swept, c.Doubted
	s.rules = &ruleSet{id: c.RuleSet}
	for i := range c.Streams {
		sv := &c.Streams[i]
		st, err := compileStream(sv.ID, &sv.Def, span{sv.From, sv.Until})
		if err != nil {
			return nil, 0, fmt.Errorf("restore checkpoint: %w", err)
		}
		s.rules.streams = append(s.rules.streams, st)
	}
	s.rules.index()
	for _, sc := range c.Schemas {
		def := telemetry.NewSchema(sc.Series)
		s.schemas[def.Fingerprint] = &schema{def: def, used: sc.Used}
	}
	if c.BootBytes != nil {
		var err error
		if c.Boots, err = readBoots(c.BootBytes); err != nil {
			return nil, 0, fmt.Errorf("restore checkpoint: %w", err)
		}
	}
	for _, b := range c.Boots {
		k := bootKey{b.Agent, b.Boot}
		known := make([]resolved, len(b.Schemas))
		for i, fp := range b.Schemas {
			known[i].fingerprint = fp
			known[i].judged = i < len(b.Judged) && b.Judged[i]
		}
		s.boots[k] = &boot{key: k, lastSeq: b.LastSeq, newest: b.Newest, used: b.Used, host: b.Host, schemas: known}
		if b.Current {
			s.newest[b.Agent] = k
		}
	}
	if c.CounterBytes != nil {
		if err := readCounters(c.CounterBytes, s.recall); err != nil {
			return nil, 0, fmt.Errorf("restore checkpoint: %w", err)
		}
	}
	for _, n := range c.Counters {
		k := counterKey{n.Agent, n.Boot, n.Series, n.Stream, n.From, role(n.Role)}
		s.recall(k, counter{value: n.Value, time: n.Time, used: n.Used, fresh: n.Fresh})
	}
	for _, p := range c.Pairs {
		k := counterKey{p.Agent, p.Boot, p.Set, p.Stream, p.From, rolePair}
		s.pairs[k] = &pair{bucket: p.Bucket, total: p.Total, time: p.Time, used: p.Used, fresh: p.Fresh, pending: p.Pending}
	}
	for _, r := range c.Refusals {
		s.refusals[refusal{bootKey{r.Agent, r.Boot}, r.Text}] = true
	}
	if c.Foreign != nil {
		if err := s.foreign.load(c.Foreign, s.rules); err != nil {
			return nil, 0, fmt.Errorf("restore checkpoint: %w", err)
		}
	}
	return s, c.LastCRC, nil
}
