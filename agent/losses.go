package agent

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"nines/agent/spool"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

const (
	// sayEvery is the least time between two lines of log about losses.
	sayEvery = time.Minute
	// lossNames bounds the metrics that losses are counted by; the others are
	// counted together as otherMetrics.
	lossNames    = 500
	otherMetrics = "(other)"
	// unknownMetric counts samples of frames whose schema is not known any more.
	unknownMetric = "(unknown)"
	// reasonRefused is that of frames which Kafka can never store.
	reasonRefused = "refused"
)

// losses counts what was measured and never sent: samples by metric name, with
// the bounds of their times. It reads frames only once they are lost. Losses
// come from the frame loop, the sender and the spool's writer.
type losses struct {
	log *slog.Logger
	own func(fingerprint uint64) *telemetry.Schema

	mu      sync.Mutex
	dec     wire.Decoder
	schemas *wire.SchemaCache
	samples map[string]uint64 // since the boot began
	latest  loss              // the last that went on without a minute's pause
	at      time.Time         // when it was added to
	unsaid  loss
	said    time.Time
	schema  *telemetry.Schema // of the series that show samples
}

// loss is what was lost for one reason after another.
type loss struct {
	spool.Drop
	reasons []string
	samples map[string]uint64
}

func newLosses(own func(uint64) *telemetry.Schema, log *slog.Logger) *losses {
	return &losses{log: log, own: own, schemas: wire.NewSchemaCache(1 << 12), samples: map[string]uint64{}}
}

// Lookup implements wire.Schemas: what lost frames define, and what the agent
// itself makes.
func (l *losses) Lookup(fp uint64) *telemetry.Schema {
	if s := l.schemas.Lookup(fp); s != nil {
		return s
	}
	return l.own(fp)
}

// Add implements wire.Schemas.
func (l *losses) Add(s *telemetry.Schema) { l.schemas.Add(s) }

// add counts a loss.
func (l *losses) add(d spool.Drop, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := l.count(d.Items)
	for name, n := range names {
		if l.samples[name] == 0 && len(l.samples) >= lossNames {
			name = otherMetrics
		}
		l.samples[name] += n
	}
	if now.Sub(l.at) > sayEvery {
		l.latest = loss{}
	}
	l.at = now
	l.latest.merge(d, nil)
	l.unsaid.merge(d, names)
	l.say(now)
}

// count returns the samples of frames by metric name. A definition may come in
// a later frame of the same loss, so that all are read for these first.
func (l *losses) count(items []spool.Item) map[string]uint64 {
	names := map[string]uint64{}
	var f telemetry.Frame
	for i := range items {
		_ = l.dec.DecodeFrame(items[i].Bytes, &f, l)
	}
	for i := range items {
		if l.dec.DecodeFrame(items[i].Bytes, &f, l) != nil {
			continue // counted as a frame
		}
		for k := range f.Blocks {
			countBlock(names, &f.Blocks[k])
		}
	}
	return names
}

func countBlock(names map[string]uint64, b *telemetry.Block) {
	if b.Schema == nil {
		names[unknownMetric] += uint64(b.Columns * len(b.Times))
		return
	}
	for i := range b.Schema.Series {
		n := uint64(0)
		for r := range b.Times {
			if !b.IsAbsent(i*len(b.Times) + r) {
				n++
			}
		}
		names[b.Schema.Series[i].Name] += n
	}
}

// merge adds a loss.
func (l *loss) merge(d spool.Drop, names map[string]uint64) {
	if l.Frames == 0 {
		l.Boot, l.FirstSeq, l.From, l.To = d.Boot, d.FirstSeq, d.From, d.To
	}
	l.LastSeq = d.LastSeq
	l.From, l.To = min(l.From, d.From), max(l.To, d.To)
	l.Frames += d.Frames
	l.Bytes += d.Bytes
	if !slices.Contains(l.reasons, d.Reason) {
		l.reasons = append(l.reasons, d.Reason)
	}
	for name, n := range names {
		if l.samples == nil {
			l.samples = map[string]uint64{}
		}
		l.samples[name] += n
	}
}

// report says what was lost since it was said last, if that is long enough ago.
func (l *losses) report(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.say(now)
}

func (l *losses) say(now time.Time) {
	u := &l.unsaid
	if u.Frames == 0 || now.Sub(l.said) < sayEvery && !l.said.IsZero() {
		return
	}
	total := uint64(0)
	for _, n := range u.samples {
		total += n
	}
	l.log.Error("measurements were lost; the collector will show a gap", "reason", strings.Join(u.reasons, ","),
		"from", time.UnixMilli(u.From).UTC(), "to", time.UnixMilli(u.To).UTC(), "samples", total, "series", most(u.samples),
		"frames", u.Frames, "bytes", u.Bytes, "boot", fmt.Sprintf("%016x", u.Boot), "first_seq", u.FirstSeq, "last_seq", u.LastSeq)
	l.unsaid, l.said = loss{}, now
}

// most names the metrics that lost most, and how many others did.
func most(samples map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(samples), func(a, b string) int {
		return cmp.Or(cmp.Compare(samples[b], samples[a]), strings.Compare(a, b))
	})
	var out []string
	for i, n := range names {
		if i == 8 {
			out = append(out, fmt.Sprintf("and %d more", len(names)-i))
			break
		}
		out = append(out, fmt.Sprintf("%s %d", n, samples[n]))
	}
	return strings.Join(out, ", ")
}

// round returns the counts as series, and false as long as nothing was lost:
// nines_agent_dropped_samples_total by metric, and the bounds of the times that
// the latest loss took.
func (l *losses) round(t int64) (telemetry.Round, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest.Frames == 0 {
		return telemetry.Round{}, false
	}
	names := slices.Sorted(maps.Keys(l.samples))
	if l.schema == nil || len(l.schema.Series) != len(names)+2 {
		series := []telemetry.Series{{Name: "nines_agent_dropped_from_seconds", Kind: telemetry.Gauge}}
		for _, n := range names {
			series = append(series, telemetry.Series{Name: "nines_agent_dropped_samples_total", Kind: telemetry.Counter, Fresh: true,
				Labels: telemetry.NewLabels(map[string]string{"metric": n})})
		}
		l.schema = telemetry.NewSchema(append(series, telemetry.Series{Name: "nines_agent_dropped_to_seconds", Kind: telemetry.Gauge}))
	}
	values := []float64{float64(l.latest.From) / 1000}
	for _, n := range names {
		values = append(values, float64(l.samples[n]))
	}
	values = append(values, float64(l.latest.To)/1000)
	return telemetry.Round{Schema: l.schema, Time: t, Values: values}, true
}
