package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/s2"

	"nines/internal/telemetry"
)

const (
	// maxWrite bounds what a compressed request may grow to.
	maxWrite = 32 << 20
	// staleMarker are the bits of the NaN by which Prometheus ends a series.
	staleMarker = 0x7ff0000000000002
)

// Fields of version 1's WriteRequest and of version 2's Request, which share no
// number at the top.
const (
	writeSeries1  = 1
	writeMeta1    = 3
	writeSymbols2 = 4
	writeSeries2  = 5
)

// Types of metrics in the metadata of version 2.
const (
	metricCounter = 1 + iota
	metricGauge
	metricHistogram
	metricGaugeHistogram
	metricSummary
	metricInfo
	metricStateset
)

// Reset hints of native histograms.
const resetHintGauge = 3

// writes reads remote write requests.
type writes struct {
	err     error // of the request as a whole, to be said once
	buf     []byte
	second  bool // version 2
	request message
	symbols [][]byte
	series  message // the rest of the series being read
	metric  uint64  // its type, in version 2
	refs    []uint64
	labels  []byte // its labels: per label name and value, each after its length
	point   Point
	hist    writeHistogram
	bounds  []float64 // of the point's buckets, where these are custom
	form    form
}

func (w *writes) open(value []byte) {
	w.err, w.request, w.series, w.symbols = nil, message{}, message{}, w.symbols[:0]
	n, err := s2.DecodedLen(value)
	if err == nil && n > maxWrite {
		err = fmt.Errorf("it grows to %d bytes, more than %d", n, maxWrite)
	}
	if err == nil {
		w.buf, err = s2.Decode(w.buf[:cap(w.buf)], value)
	}
	if err != nil {
		w.err = fmt.Errorf("decompress by snappy: %w", err)
		return
	}
	w.second, w.err = w.version()
	w.request = message{b: w.buf}
}

// version tells whether the request is of version 2, and reads its symbols.
func (w *writes) version() (second bool, err error) {
	first := false
	for m := (message{b: w.buf}); ; {
		if !m.next() {
			if first && second {
				err = errors.New("the request has fields of both versions")
			}
			return second, errors.Join(err, m.err())
		}
		switch m.field {
		case writeSeries1, writeMeta1:
			first = true
		case writeSymbols2:
			second = true
			if m.is(writeSymbols2, wireBytes) {
				w.symbols = append(w.symbols, m.bytes)
			}
		case writeSeries2:
			second = true
		}
	}
}

func (w *writes) next() (*Point, error) {
	if err := w.err; err != nil {
		w.err, w.request, w.series = nil, message{}, message{}
		return nil, err
	}
	samples, histograms := uint64(2), uint64(4)
	if w.second {
		histograms = 3
	}
	for {
		for w.series.next() {
			took, err := false, error(nil)
			switch {
			case w.series.is(samples, wireBytes):
				took, err = w.sample(w.series.bytes)
			case w.series.is(histograms, wireBytes):
				took, err = w.histogram(w.series.bytes)
			}
			if err != nil {
				w.series = message{}
				return nil, err
			}
			if took {
				return &w.point, nil
			}
		}
		if w.series.damaged {
			w.series = message{}
			return nil, errMessage
		}
		if more, err := w.nextSeries(); !more || err != nil {
			return nil, err
		}
	}
}

// nextSeries goes to the next series of the request.
func (w *writes) nextSeries() (more bool, err error) {
	field := uint64(writeSeries1)
	if w.second {
		field = writeSeries2
	}
	for w.request.next() {
		if !w.request.is(field, wireBytes) {
			continue
		}
		w.series, w.labels, w.metric = message{b: w.request.bytes}, w.labels[:0], 0
		read := w.labels1
		if w.second {
			read = w.labels2
		}
		if err := read(w.request.bytes); err != nil {
			w.series = message{}
			return true, err
		}
		return true, nil
	}
	err = w.request.err()
	w.request = message{}
	return false, err
}

func (w *writes) text(b []byte) {
	w.labels = append(binary.AppendUvarint(w.labels, uint64(len(b))), b...)
}

func (w *writes) labels1(series []byte) error {
	m := message{b: series}
	for m.next() {
		if !m.is(1, wireBytes) {
			continue
		}
		var name, value []byte
		label := message{b: m.bytes}
		for label.next() {
			if label.is(1, wireBytes) {
				name = label.bytes
			} else if label.is(2, wireBytes) {
				value = label.bytes
			}
		}
		if label.damaged {
			return errMessage
		}
		w.text(name)
		w.text(value)
	}
	return m.err()
}

func (w *writes) labels2(series []byte) error {
	m := message{b: series}
	refs := 0
	for m.next() {
		switch m.field {
		case 1:
			w.refs = m.numbers(w.refs[:0], wireVarint)
			for _, ref := range w.refs {
				if ref >= uint64(len(w.symbols)) {
					return fmt.Errorf("a label refers to symbol %d of %d", ref, len(w.symbols))
				}
				w.text(w.symbols[ref])
				refs++
			}
		case 5:
			meta := message{b: m.bytes}
			for meta.next() {
				if meta.is(1, wireVarint) {
					w.metric = meta.num
				}
			}
			if meta.damaged {
				return errMessage
			}
		}
	}
	if refs%2 != 0 {
		return errors.New("a label has a name and no value")
	}
	return m.err()
}

// form tells keys of samples and of histograms apart.
type form byte

const (
	formSample form = iota
	formNative
	formCustom // then the number of bounds and these
)

// begin sets what points of the series share.
func (w *writes) begin(time, start int64, f form) {
	p := &w.point
	p.Key = append(p.Key[:0], byte(f), byte(w.metric), byte(w.hist.hint))
	if w.bounds = w.bounds[:0]; f == formCustom {
		p.Key = binary.AppendUvarint(p.Key, uint64(len(w.hist.bounds)))
		for _, bits := range w.hist.bounds {
			p.Key = binary.LittleEndian.AppendUint64(p.Key, bits)
			w.bounds = append(w.bounds, math.Float64frombits(bits))
		}
	}
	p.Key = append(p.Key, w.labels...)
	p.Time, p.Timed, p.Start = nanoseconds(time), true, 0
	if start != 0 {
		p.Start = nanoseconds(start)
	}
	p.Values, w.form = p.Values[:0], f
}

// nanoseconds turns milliseconds into nanoseconds, as far as these go.
func nanoseconds(ms int64) int64 {
	const most = math.MaxInt64 / 1_000_000
	return min(max(ms, -most), most) * 1_000_000
}

func (w *writes) sample(b []byte) (took bool, err error) {
	var v float64
	var time, start int64
	m := message{b: b}
	for m.next() {
		switch {
		case m.is(1, wireFixed64):
			v = m.float()
		case m.is(2, wireVarint):
			time = int64(m.num)
		case w.second && m.is(3, wireVarint):
			start = int64(m.num)
		}
	}
	if m.damaged {
		return false, errMessage
	}
	if math.Float64bits(v) == staleMarker {
		return false, nil
	}
	w.hist.hint = 0
	w.begin(time, start, formSample)
	w.point.Values = append(w.point.Values, Value{Form: Float, Num: v})
	return true, nil
}

// describe reads the labels of the series that was read last.
func (w *writes) describe() (*Set, error) {
	labels := map[string]string{}
	for rest := w.labels; len(rest) > 0; {
		var name, value string
		name, rest = cutText(rest)
		value, rest = cutText(rest)
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, errors.New("a label is no UTF-8")
		}
		if _, twice := labels[name]; twice {
			return nil, fmt.Errorf("label %q is there twice", name)
		}
		labels[name] = value
	}
	metric := labels["__name__"]
	if metric == "" {
		return nil, errors.New("a series has no label __name__")
	}
	delete(labels, "__name__")
	ls := telemetry.NewLabels(labels)
	switch w.form {
	case formNative:
		return &Set{Labels: ls, Columns: []Column{{Name: metric, Labels: ls, Kind: w.hist.kind(Native)}}}, nil
	case formCustom:
		return classic(metric, ls, w.bounds, w.hist.kind(Counter)), nil
	}
	return &Set{Labels: ls, Columns: []Column{{Name: metric, Labels: ls, Kind: kindOf(w.metric, metric)}}}, nil
}

func cutText(b []byte) (text string, rest []byte) {
	n, size := binary.Uvarint(b)
	b = b[size:]
	return string(b[:n]), b[n:]
}

// kindOf returns the kind of a series by the type of its metric.
func kindOf(metric uint64, name string) Kind {
	switch metric {
	case metricCounter:
		return Counter
	case metricGauge, metricGaugeHistogram, metricInfo, metricStateset:
		return Gauge
	case metricHistogram, metricSummary:
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if strings.HasSuffix(name, suffix) {
				return Counter
			}
		}
		return Gauge
	}
	return Untyped
}
