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
	"maps"
	"math"
	"slices"
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
	// Begin is when the play began by the clock of log time, Unix milliseconds, and
	// Speed how many times as fast as it the fleet's time went.
	Begin int64   `json:"begin"`
	Speed float64 `json:"speed"`
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

// Frame is the line after the samples of one frame: which it was, and whether it
// was lost before it left its host.
type Frame struct {
	Frame uint64 `json:"frame"` // its number in the boot, 0 for none
	Host  string `json:"host"`
	Boot  uint64 `json:"boot,string"`
	Lost  bool   `json:"lost,omitempty"`
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

// desk is what a host has measured and not sent.
type desk struct {
	open   []byte // samples of no frame yet
	frames []made
}

type made struct {
	boot, seq uint64
	samples   []byte
}

// Writer writes lines: samples when it is known what became of their frame. It
// belongs to one goroutine. The first error stays and is returned by Close.
type Writer struct {
	out   *bufio.Writer
	seen  map[key]int
	desks map[string]*desk
	err   error
}

// NewWriter writes the head.
func NewWriter(out io.Writer, h Head) *Writer {
	w := &Writer{out: bufio.NewWriterSize(out, 1<<16), seen: map[key]int{}, desks: map[string]*desk{}}
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

func (w *Writer) desk(host string) *desk {
	d := w.desks[host]
	if d == nil {
		d = &desk{}
		w.desks[host] = d
	}
	return d
}

// Sample notes one measurement at a time in Unix milliseconds: the sample of a
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
	d := w.desk(host)
	d.open = appendSample(d.open, n, at, v)
}

func appendSample(b []byte, n int, at int64, v float64) []byte {
	b = append(b, `{"s":`...)
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, `,"t":`...)
	b = strconv.AppendInt(b, at, 10)
	b = append(b, `,"v":`...)
	if math.IsInf(v, 0) || math.IsNaN(v) {
		b = strconv.AppendQuote(b, strconv.FormatFloat(v, 'g', -1, 64))
	} else {
		b = strconv.AppendFloat(b, v, 'g', -1, 64)
	}
	return append(b, '}', '\n')
}

// Framed says that what the host has measured since its frame before is in this
// one.
func (w *Writer) Framed(host string, boot, seq uint64) {
	d := w.desk(host)
	d.frames = append(d.frames, made{boot, seq, d.open})
	d.open = nil
}

// Sent says that the frame left its host.
func (w *Writer) Sent(host string, boot, seq uint64) { w.leave(host, boot, seq, false) }

// Lost says that it never will.
func (w *Writer) Lost(host string, boot, seq uint64) { w.leave(host, boot, seq, true) }

func (w *Writer) leave(host string, boot, seq uint64, lost bool) {
	d := w.desk(host)
	for i := range d.frames {
		m := &d.frames[i]
		if m.boot != boot || m.seq != seq {
			continue
		}
		w.frame(host, m, lost)
		spare := m.samples[:0]
		if d.frames = slices.Delete(d.frames, i, i+1); d.open == nil {
			d.open = spare
		}
		return
	}
	w.fail(fmt.Errorf("frame %d of %s was never made", seq, host))
}

func (w *Writer) frame(host string, m *made, lost bool) {
	if len(m.samples) == 0 {
		return
	}
	_, err := w.out.Write(m.samples)
	w.fail(err)
	w.line(Frame{m.seq, host, m.boot, lost})
}

// Close writes what never left its hosts, the last line, and everything that is
// buffered.
func (w *Writer) Close(e End) error {
	for _, host := range slices.Sorted(maps.Keys(w.desks)) {
		d := w.desks[host]
		for i := range d.frames {
			w.frame(host, &d.frames[i], true)
		}
		w.frame(host, &made{samples: d.open}, true)
	}
	w.line(e)
	w.fail(w.out.Flush())
	return w.err
}
