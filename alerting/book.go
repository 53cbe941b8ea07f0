package alerting

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"

	"nines/internal/alert"
)

const (
	// resolvedShown is how long a resolved alert is still shown.
	resolvedShown = time.Hour
	// forever is how far ahead a firing alert's end lies for Alertmanager, which
	// would otherwise resolve it by itself.
	forever = 50 * 365 * 24 * time.Hour
	// logRetention is the age from which a resolved record of the backlog is of
	// no interest.
	logRetention = 7 * 24 * time.Hour
	// staleAnnotation says since when nothing was heard of the alert's source.
	staleAnnotation = "stale"
)

// book holds the current alerts: the last word on each, as read from
// nines.alerts, and the watchdog's own.
type book struct {
	mu      sync.Mutex
	entries map[string]*entry // by alert.Key
	byPrint map[model.Fingerprint]*entry
	sources map[string]*sourceState
}

// entry is one alert.
type entry struct {
	rec   alert.Alert
	stale string // annotation, "" while its source is heard
	// told is set when the first notification of this firing was measured, or
	// is not to be measured.
	told bool
}

// sourceState is what is known of one publisher.
type sourceState struct {
	// heard is the local time of its last record.
	heard time.Time
	// logTime is the log time it reported last, Unix milliseconds.
	logTime int64
}

func newBook() *book {
	return &book{entries: map[string]*entry{}, byPrint: map[model.Fingerprint]*entry{}, sources: map[string]*sourceState{}}
}

// apply takes a record in and returns the alert to feed to Alertmanager, nil if
// the record changes nothing there. Records of the backlog at start do not count
// as signs of life: they were written by sources that may be gone.
func (b *book) apply(rec alert.Alert, now time.Time, backlog bool) *amalert.Alert {
	b.mu.Lock()
	defer b.mu.Unlock()
	if rec.Source != "" && !backlog {
		s := b.sources[rec.Source]
		if s == nil {
			s = &sourceState{}
			b.sources[rec.Source] = s
		}
		s.heard, s.logTime = now, rec.LogTime
	}
	if rec.Status != alert.Firing && rec.Status != alert.Resolved || len(rec.Labels) == 0 {
		return nil
	}
	if rec.Status == alert.Resolved && now.Sub(time.UnixMilli(rec.EndsAt)) > logRetention {
		return nil // no notification log remembers it
	}
	key := rec.Key()
	e := b.entries[key]
	if e == nil {
		e = &entry{}
		b.entries[key] = e
	}
	if repeats(&rec, &e.rec) {
		return nil
	}
	if e.rec.Status != alert.Firing && rec.Status == alert.Firing {
		e.told = backlog
	}
	e.rec, e.stale = rec, ""
	a := toAlertmanager(e, now)
	b.byPrint[a.Fingerprint()] = e
	return a
}

// repeats tells a record that a source publishes again after a crash from news:
// it accounts for less of the source's input than the last word did, or for as
// much and says the same, and its log time is no later. A source whose input
// began anew has lower offsets, but later times.
func repeats(rec, last *alert.Alert) bool {
	if rec.Source == "" || rec.Source != last.Source || rec.Offset == 0 || rec.LogTime > last.LogTime {
		return false
	}
	return rec.Offset < last.Offset || rec.Offset == last.Offset && rec.Status == last.Status
}

// toAlertmanager returns the alert as Alertmanager's packages know it.
func toAlertmanager(e *entry, now time.Time) *amalert.Alert {
	a := &amalert.Alert{UpdatedAt: now}
	a.Labels = make(model.LabelSet, len(e.rec.Labels))
	for n, v := range e.rec.Labels {
		a.Labels[model.LabelName(n)] = model.LabelValue(v)
	}
	a.Annotations = make(model.LabelSet, len(e.rec.Annotations)+1)
	for n, v := range e.rec.Annotations {
		a.Annotations[model.LabelName(n)] = model.LabelValue(v)
	}
	if e.stale != "" {
		a.Annotations[staleAnnotation] = model.LabelValue(e.stale)
	}
	a.StartsAt = time.UnixMilli(e.rec.StartsAt)
	a.EndsAt = now.Add(forever)
	if e.rec.Status == alert.Resolved {
		// A source whose clock runs ahead has resolved it all the same.
		a.EndsAt = earlier(time.UnixMilli(e.rec.EndsAt), now)
		a.StartsAt = earlier(a.StartsAt, a.EndsAt)
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// markStale flags the firing alerts of sources that were not heard since limit,
// and those whose source is heard again, and returns what to feed anew. Sources
// that were never heard are judged from started on.
func (b *book) markStale(now time.Time, limit time.Duration, started time.Time) []*amalert.Alert {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*amalert.Alert
	for _, e := range b.entries {
		if e.rec.Status != alert.Firing || e.rec.Source == ownSource {
			continue
		}
		heard := started
		if s := b.sources[e.rec.Source]; s != nil {
			heard = s.heard
		}
		want := ""
		if now.Sub(heard) > limit {
			want = cmp.Or(e.stale, e.rec.Source+" has not been heard since "+heard.UTC().Format(time.RFC3339))
		}
		if want != e.stale {
			e.stale = want
			out = append(out, toAlertmanager(e, now))
		}
	}
	return out
}

// forget drops what was resolved long ago.
func (b *book) forget(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	limit := now.Add(-resolvedShown).UnixMilli()
	for k, e := range b.entries {
		if e.rec.Status == alert.Resolved && e.rec.EndsAt < limit {
			delete(b.entries, k)
		}
	}
	maps.DeleteFunc(b.byPrint, func(_ model.Fingerprint, e *entry) bool {
		return e.rec.Status == alert.Resolved && e.rec.EndsAt < limit
	})
}

// firstTold returns the newest sample time of the alert when its first
// notification leaves, once per firing; 0 otherwise or where it is not known.
func (b *book) firstTold(fp model.Fingerprint) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.byPrint[fp]
	if e == nil || e.told || e.rec.Status != alert.Firing {
		return 0
	}
	e.told = true
	return e.rec.SampleAt
}

// evaluators returns what is known of the sources that evaluate.
func (b *book) evaluators() map[string]sourceState {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]sourceState{}
	for name, s := range b.sources {
		if strings.HasPrefix(name, "evaluate/") {
			out[name] = *s
		}
	}
	return out
}

// list returns the entries, firing ones first, newest first.
func (b *book) list() []entry {
	b.mu.Lock()
	out := make([]entry, 0, len(b.entries))
	for _, e := range b.entries {
		out = append(out, *e)
	}
	b.mu.Unlock()
	slices.SortFunc(out, func(x, y entry) int {
		if x.rec.Status != y.rec.Status {
			return cmp.Compare(x.rec.Status, y.rec.Status) // firing sorts before resolved
		}
		return cmp.Or(cmp.Compare(y.rec.StartsAt, x.rec.StartsAt), cmp.Compare(x.rec.Key(), y.rec.Key()))
	})
	return out
}

// get returns the last word on an alert.
func (b *book) get(key string) (alert.Alert, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[key]
	if e == nil {
		return alert.Alert{}, false
	}
	return e.rec, true
}

// firing tells whether the alert is firing.
func (b *book) firing(key string) bool {
	rec, ok := b.get(key)
	return ok && rec.Status == alert.Firing
}
