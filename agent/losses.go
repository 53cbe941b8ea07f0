package agent

import (
	"fmt"
	"log/slog"
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
	// reasonRefused is that of frames which Kafka can never store.
	reasonRefused = "refused"
)

// losses counts what was measured and never sent: samples by series, with the
// bounds of their times. It reads frames only once they are lost. Losses come
// from the frame loop, the sender and the spool's writer.
type losses struct {
	log *slog.Logger
	own func(fingerprint uint64) *telemetry.Schema

	mu      sync.Mutex
	dec     wire.Decoder
	schemas *wire.SchemaCache
	series  lostSeries // since the boot began
	latest  loss       // the last that went on without a minute's pause
	at      time.Time  // when it was added to
	unsaid  loss
	said    time.Time
	schema  *telemetry.Schema // of the series that show them
}

// loss is what was lost for one reason after another.
type loss struct {
	spool.Drop
	reasons []string
	series  lostSeries
}

func newLosses(own func(uint64) *telemetry.Schema, log *slog.Logger) *losses {
	return &losses{log: log, own: own, schemas: wire.NewSchemaCache(1 << 12)}
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
	if now.Sub(l.at) > sayEvery {
		l.latest = loss{}
		l.series.pause()
	}
	l.at = now
	l.latest.merge(d)
	l.unsaid.merge(d)
	l.count(d.Items)
	l.say(now)
}

// count counts the samples of frames. A definition may come in a later frame of
// the same loss, so that all are read for these first.
func (l *losses) count(items []spool.Item) {
	var f telemetry.Frame
	for i := range items {
		_ = l.dec.DecodeFrame(items[i].Bytes, &f, l)
	}
	for i := range items {
		if l.dec.DecodeFrame(items[i].Bytes, &f, l) != nil {
			continue // counted as a frame
		}
		for k := range f.Blocks {
			l.series.count(&f.Blocks[k])
			l.unsaid.series.count(&f.Blocks[k])
		}
	}
}

// merge adds a loss.
func (l *loss) merge(d spool.Drop) {
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
	l.log.Error("measurements were lost; the collector will show a gap", "reason", strings.Join(u.reasons, ","),
		"from", time.UnixMilli(u.From).UTC(), "to", time.UnixMilli(u.To).UTC(), "samples", u.series.samples(), "series", u.series.most(),
		"frames", u.Frames, "bytes", u.Bytes, "boot", fmt.Sprintf("%016x", u.Boot), "first_seq", u.FirstSeq, "last_seq", u.LastSeq)
	l.unsaid, l.said = loss{}, now
}

// round returns the counts as series, and false as long as nothing was lost: of
// each series that lost samples how many, and from when to when the latest loss
// of it was; and the bounds of the latest loss as a whole.
func (l *losses) round(t int64) (telemetry.Round, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest.Frames == 0 {
		return telemetry.Round{}, false
	}
	if l.schema == nil || len(l.schema.Series) != l.series.width()+2 {
		l.schema = telemetry.NewSchema(append([]telemetry.Series{{Name: droppedFrom, Kind: telemetry.Gauge}, {Name: droppedTo, Kind: telemetry.Gauge}},
			l.series.layOut()...))
	}
	values := []float64{float64(l.latest.From) / 1000, float64(l.latest.To) / 1000}
	return telemetry.Round{Schema: l.schema, Time: t, Values: l.series.append(values)}, true
}
