package forward

import (
	"log/slog"
	"time"
)

// sayEvery is how often the log tells what the receiver refused: one line for all
// since the last, however many samples that are.
const sayEvery = 10 * time.Second

// refusals are samples of one partition that the receiver refused for good. It is
// for one goroutine.
type refusals struct {
	log  *slog.Logger // says topic and partition
	said time.Time

	samples     int
	first, last int64 // offsets of the records that they came in
	example     string
	at          time.Time // of the example
	code        int
	words       string
}

// add notes that all of the samples but those written were refused. Which these
// are, only the receiver's words tell.
func (r *refusals) add(a *answer, samples []sample, written int) {
	if len(samples) == written {
		return
	}
	if r.samples == 0 {
		r.first, r.last = samples[0].offset, samples[0].offset
	}
	r.samples += len(samples) - written
	for i := range samples {
		r.first, r.last = min(r.first, samples[i].offset), max(r.last, samples[i].offset)
	}
	r.example, r.at = samples[0].series.labels.String(), time.UnixMilli(samples[0].time).UTC()
	r.code, r.words = a.code, a.words
}

// say tells what was refused, at most once in sayEvery.
func (r *refusals) say(now time.Time) {
	if r.samples == 0 || now.Sub(r.said) < sayEvery {
		return
	}
	r.log.Warn("the receiver refused samples; they are dropped and counted", "samples", r.samples, "offset_first", r.first, "offset_last", r.last,
		"status", r.code, "says", r.words, "among", r.example, "time", r.at)
	r.said, r.samples = now, 0
}
