// Package telemetry is the vocabulary of the data path: series, schemas and
// frames. Agents build frames, wire encodes them, collectors read them.
// It promises that a schema's fingerprint depends on its series alone, so that
// a fleet of equal hosts shares one schema. It does no I/O and reads no clock.
package telemetry

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"nines/internal/hist"
)

// Kind says how the values of a series are to be read.
type Kind uint8

// The kinds of series.
const (
	// Gauge values stand alone: each is the state, or one event, at its time.
	Gauge Kind = 1
	// Counter values are cumulative and non-decreasing until a reset.
	Counter Kind = 2
	// Histogram values are native histograms of what was observed since the
	// series' previous value (delta temporality), never cumulative.
	Histogram Kind = 3
)

// String returns the kind's name as it is printed and written in JSON.
func (k Kind) String() string {
	switch k {
	case Gauge:
		return "gauge"
	case Counter:
		return "counter"
	case Histogram:
		return "histogram"
	}
	return "invalid"
}

// Label is one dimension of a series.
type Label struct{ Name, Value string }

// Labels is a set of labels, sorted by name, names unique, values not empty.
type Labels []Label

// NewLabels returns the labels of m in canonical form: sorted by name, without
// those whose value is empty.
func NewLabels(m map[string]string) Labels {
	ls := make(Labels, 0, len(m))
	for n, v := range m {
		if v != "" {
			ls = append(ls, Label{n, v})
		}
	}
	slices.SortFunc(ls, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	return ls
}

// Get returns the value of the label, or "" where it is absent.
func (ls Labels) Get(name string) string {
	for i := range ls {
		if ls[i].Name == name {
			return ls[i].Value
		}
	}
	return ""
}

// Map returns the labels as a map.
func (ls Labels) Map() map[string]string {
	m := make(map[string]string, len(ls))
	for _, l := range ls {
		m[l.Name] = l.Value
	}
	return m
}

// With returns a canonical copy in which the labels of over replace or join
// those of ls.
func (ls Labels) With(over Labels) Labels {
	m := ls.Map()
	for _, l := range over {
		m[l.Name] = l.Value
	}
	return NewLabels(m)
}

// String returns the labels as {a="1",b="2"}.
func (ls Labels) String() string {
	var b strings.Builder
	b.WriteByte('{')
	for i, l := range ls {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(l.Name)
		b.WriteString(`="`)
		if strings.ContainsAny(l.Value, "\\\"\n") { // hardly ever: making a replacer costs more than all of the rest
			b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(l.Value))
		} else {
			b.WriteString(l.Value)
		}
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

// Hash returns a 64-bit hash of the canonical labels. It is stable across
// processes and releases: it is part of group identities.
func (ls Labels) Hash() uint64 { return xxhash.Sum64(ls.appendCanonical(nil)) }

func (ls Labels) appendCanonical(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(ls)))
	for _, l := range ls {
		b = appendString(b, l.Name)
		b = appendString(b, l.Value)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// Series is one measured quantity of an agent. Host labels are not part of it:
// they travel in the frame's header, so that a fleet shares few schemas.
type Series struct {
	// Name is a Prometheus-style metric name, e.g. cpu_usage_idle.
	Name   string
	Labels Labels
	Kind   Kind
	// Fresh says that a counter started at zero within its agent's boot, so
	// that its first value counts in full. Other counters' first value is only
	// the base of the next increment.
	Fresh bool
}

// Schema is an ordered list of series: the columns of a block.
// NewSchema makes one.
type Schema struct {
	Fingerprint uint64
	Series      []Series
	histograms  int
}

// Histograms returns how many of the series are histograms.
func (s *Schema) Histograms() int { return s.histograms }

// NewSchema returns the schema of the series, in their order. It keeps the
// slice; the caller must not change it afterwards.
func NewSchema(series []Series) *Schema {
	var b []byte
	histograms := 0
	for i := range series {
		s := &series[i]
		if s.Kind == Histogram {
			histograms++
		}
		b = appendString(b, s.Name)
		b = s.Labels.appendCanonical(b)
		fresh := byte(0)
		if s.Fresh {
			fresh = 1
		}
		b = append(b, byte(s.Kind), fresh)
	}
	return &Schema{Fingerprint: xxhash.Sum64(b), Series: series, histograms: histograms}
}

// Frame is one agent's columnar batch: what one Kafka record of
// nines.telemetry carries.
type Frame struct {
	// Agent is the agent's configured name, unique in the fleet.
	Agent string
	// Boot is random per agent process and never zero.
	Boot uint64
	// Seq counts the boot's frames from 1 without holes.
	Seq uint64
	// SendTime is the agent's clock in Unix milliseconds, restamped at each
	// attempt to send.
	SendTime int64
	// Host holds the labels of the host (host, zone, region and what the
	// operator adds); they apply to every series of the frame.
	Host Labels
	// Blocks hold the samples, one block per schema.
	Blocks []Block
}

// Block holds one or more rounds of samples of one schema.
type Block struct {
	// Fingerprint names the schema; Schema is nil where it is not known.
	Fingerprint uint64
	Schema      *Schema
	// Columns is how many series the schema has. Decoders set it, so that it is
	// known where the schema is not; encoders take the schema's word.
	Columns int
	// Times are the rounds' sample times in Unix milliseconds, ascending.
	Times []int64
	// Values are column-major: series i in round r is Values[i*len(Times)+r].
	// Columns of kind Histogram hold zeros here.
	Values []float64
	// Absent marks values that were not measured, same index as Values, one
	// bit each; nil or empty where nothing is absent, see IsAbsent.
	Absent []uint64
	// Unread is how many samples a decoder checked and left out, as nobody needs
	// them; the block has no Values then.
	Unread int
	// Hists holds the histograms of Histogram columns, same index as Values;
	// nil or empty where the schema has none. A nil element is absent.
	Hists []*hist.Histogram
}

// IsAbsent tells whether value i was not measured.
func (b *Block) IsAbsent(i int) bool {
	w := i >> 6
	return w < len(b.Absent) && b.Absent[w]&(1<<(i&63)) != 0
}

// SetAbsent marks value i as not measured.
func (b *Block) SetAbsent(i int) {
	w := i >> 6
	for len(b.Absent) <= w {
		b.Absent = append(b.Absent, 0)
	}
	b.Absent[w] |= 1 << (i & 63)
}

// Samples returns how many values the block has, absent ones not counted.
func (b *Block) Samples() int {
	n := len(b.Values) + b.Unread
	for i, w := range b.Absent {
		if rest := len(b.Values) - i*64; rest < 64 {
			w &= 1<<max(rest, 0) - 1
		}
		n -= bits.OnesCount64(w)
	}
	return n
}

// Round is one measurement of a source: values of one schema at one time. A
// source owns the schema and hands the slices over to the sink.
type Round struct {
	Schema *Schema
	// Time is the sample time in Unix milliseconds by the agent's monotonic
	// clock.
	Time int64
	// Values has one element per series of the schema.
	Values []float64
	// Absent marks values that were not measured, by series index; nil where
	// nothing is absent.
	Absent []uint64
	// Hists has one element per series where the schema has histograms, else it
	// is nil; nil elements are absent.
	Hists []*hist.Histogram
	// Urgent asks the agent to flush at once instead of at the next interval: a
	// probe failed, and somebody is to be woken.
	Urgent bool
}

// Sink takes rounds. It is safe for concurrent use and does not block.
type Sink func(Round)
