package alerting

import (
	"fmt"
	"time"

	"nines/internal/alert"
)

// ownSource is the publisher of the watchdog's alerts.
const ownSource = "notify"

// Reasons of NinesBlind that notify itself can see.
const (
	reasonStalled = "evaluation_stalled"
	reasonLag     = "lag"
)

// verdict is one thing the watchdog may hold against a source.
type verdict struct {
	source, reason string
	blind          bool
	since          time.Time // last sign of life
	lag            time.Duration
}

// watch judges, by the local clock, whether the evaluators are heard and up to
// date. Without any evaluator it judges the absence of all. A lag must fall to
// half the bound before it counts as over, so that it does not flap.
func watch(sources map[string]sourceState, now, started time.Time, c Config, firing func(source, reason string) bool) []verdict {
	if now.Sub(started) < c.Grace.D() {
		return nil
	}
	var out []verdict
	if len(sources) == 0 {
		out = append(out, verdict{source: "evaluate", reason: reasonStalled, blind: true, since: started})
	} else {
		out = append(out, verdict{source: "evaluate", reason: reasonStalled})
	}
	for name, s := range sources {
		stalled := now.Sub(s.heard) > c.StallAfter.D()
		lag := now.Sub(time.UnixMilli(s.logTime))
		bound := c.MaxLag.D()
		if firing(name, reasonLag) {
			bound /= 2
		}
		out = append(out,
			verdict{source: name, reason: reasonStalled, blind: stalled, since: s.heard},
			// A source that is not heard cannot catch up: one page is enough.
			verdict{source: name, reason: reasonLag, blind: !stalled && lag > bound, since: s.heard, lag: lag})
	}
	return out
}

// record returns the alert record that states the verdict.
func (v verdict) record(now time.Time) alert.Alert {
	a := alert.Alert{
		Status: alert.Resolved,
		Labels: map[string]string{
			"alertname": "NinesBlind", "severity": alert.Page, "kind": "blind",
			"reason": v.reason, "source": v.source,
		},
		StartsAt: now.UnixMilli(), EndsAt: now.UnixMilli(), LogTime: now.UnixMilli(), Source: ownSource,
	}
	if !v.blind {
		return a
	}
	a.Status, a.EndsAt = alert.Firing, 0
	summary := fmt.Sprintf("nines is blind: %s has not been heard since %s; objectives are not judged", v.source, v.since.UTC().Format(time.TimeOnly+" UTC"))
	if v.reason == reasonLag {
		summary = fmt.Sprintf("nines is blind: %s judges what happened %s ago; what happens now pages that much later", v.source, v.lag.Round(time.Second))
	}
	a.Annotations = map[string]string{"summary": summary}
	return a
}
