// Package truth keeps what a simulated fleet measured, as lines of JSON, and
// holds a ledger against it. It promises that a judge of judges knows nothing of
// how the collectors count: it reads objectives by their documented words, counts
// samples one by one, and names every slot whose counts differ. `nines sim`
// writes what `nines sim verify` reads; docs/sim.md describes the lines.
package truth

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"

	"nines/internal/telemetry"
)

// Format names the form of the lines.
const Format = "nines/truth/v1"

// Head is the first line: what was played.
type Head struct {
	Truth string `json:"truth"` // Format
	// Start is the time of the first measurement, Unix milliseconds.
	Start int64  `json:"start"`
	Seed  uint64 `json:"seed"`
	// Shard is I/N, the part of the fleet that this file tells of.
	Shard string `json:"shard"`
	Hosts int    `json:"hosts"`
}

// Fault is a line that says what went wrong from From until Until, Unix
// milliseconds.
type Fault struct {
	Fault string `json:"fault"` // its kind
	Name  string `json:"name"`
	// On is the zone, region, host or path that it strikes.
	On    string `json:"on"`
	From  int64  `json:"from"`
	Until int64  `json:"until"`
}

// End is the last line: up to when it was played, Unix milliseconds, and whether
// all frames were acknowledged.
type End struct {
	End      int64  `json:"end"`
	Frames   uint64 `json:"frames"`
	Complete bool   `json:"complete"`
}

// series is the line that introduces a series of one host, by a number.
type series struct {
	Series int               `json:"series"`
	Host   string            `json:"host"`
	Name   string            `json:"name"`
	Kind   string            `json:"kind"`   // gauge or counter
	Labels map[string]string `json:"labels"` // of the series, else of its host
}

type key struct {
	host   string
	series *telemetry.Series
}

// Writer writes lines. It belongs to one goroutine. The first error stays and is
// returned by Close.
type Writer struct {
	out  *bufio.Writer
	seen map[key]int
	buf  []byte
	err  error
}

// NewWriter writes the head.
func NewWriter(out io.Writer, h Head) *Writer {
	w := &Writer{out: bufio.NewWriterSize(out, 1<<16), seen: map[key]int{}}
	h.Truth = Format
	w.line(h)
	return w
}

func (w *Writer) line(v any) {
	data, err := json.Marshal(v)
	if err == nil {
		_, err = w.out.Write(append(data, '\n'))
	}
	w.fail(err)
}

func (w *Writer) fail(err error) {
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("write truth: %w", err)
	}
}

// Fault writes what goes wrong.
func (w *Writer) Fault(f Fault) { w.line(f) }

// Sample writes one measurement at a time in Unix milliseconds: the sample of a
// gauge, or by how much a counter grew. s must stay the same for one series.
func (w *Writer) Sample(at int64, host string, of telemetry.Labels, s *telemetry.Series, v float64) {
	k := key{host, s}
	n, ok := w.seen[k]
	if !ok {
		n = len(w.seen)
		w.seen[k] = n
		kind := "gauge"
		if s.Kind == telemetry.Counter {
			kind = "counter"
		}
		w.line(series{n, host, s.Name, kind, of.With(s.Labels).Map()})
	}
	b := append(w.buf[:0], `{"s":`...)
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, `,"t":`...)
	b = strconv.AppendInt(b, at, 10)
	b = append(b, `,"v":`...)
	if math.IsInf(v, 0) || math.IsNaN(v) {
		b = strconv.AppendQuote(b, strconv.FormatFloat(v, 'g', -1, 64))
	} else {
		b = strconv.AppendFloat(b, v, 'g', -1, 64)
	}
	b = append(b, '}', '\n')
	_, err := w.out.Write(b)
	w.fail(err)
	w.buf = b
}

// Close writes the last line and everything that is buffered.
func (w *Writer) Close(e End) error {
	w.line(e)
	w.fail(w.out.Flush())
	return w.err
}
