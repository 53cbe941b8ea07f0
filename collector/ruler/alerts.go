package ruler

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/prometheus/rules"

	"nines/internal/alert"
)

// resendEvery is how often a firing alert is published again, so that whoever
// lost the record hears of it.
const resendEvery = time.Minute

// outbox holds the newest word on each alert until it is published. A rule
// evaluation never waits for Kafka; what is overtaken before it could be sent
// is not sent.
type outbox struct {
	publish func(context.Context, alert.Alert) error
	log     *slog.Logger
	m       *counters

	mu      sync.Mutex
	pending map[string]alert.Alert
	order   []string
	// firing are the alerts last published as firing, this ruler's record of
	// what it must resolve one day.
	firing map[string]alert.Alert
	wake   chan struct{}
}

func newOutbox(publish func(context.Context, alert.Alert) error, log *slog.Logger, m *counters) *outbox {
	return &outbox{
		publish: publish, log: log, m: m,
		pending: map[string]alert.Alert{}, firing: map[string]alert.Alert{}, wake: make(chan struct{}, 1),
	}
}

// put queues the alert.
func (o *outbox) put(a alert.Alert) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := a.Key()
	if _, ok := o.pending[k]; !ok {
		o.order = append(o.order, k)
	}
	o.pending[k] = a
	if a.Status == alert.Firing {
		o.firing[k] = a
	} else {
		delete(o.firing, k)
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// adopt takes over a record of an earlier life: an alert this ruler still has
// to resolve, unless the last word was that it is.
func (o *outbox) adopt(a alert.Alert) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a.Status == alert.Firing {
		o.firing[a.Key()] = a
	} else {
		delete(o.firing, a.Key())
	}
}

// stillFiring returns what is published as firing.
func (o *outbox) stillFiring() map[string]alert.Alert {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.firing)
}

func (o *outbox) next() (string, alert.Alert, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.order) == 0 {
		return "", alert.Alert{}, false
	}
	return o.order[0], o.pending[o.order[0]], true
}

// done removes the alert unless newer word came in meanwhile.
func (o *outbox) done(k string, sent alert.Alert) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := o.pending[k]; now.Status == sent.Status && now.LogTime == sent.LogTime {
		delete(o.pending, k)
		o.order = o.order[1:]
	}
}

// run publishes until ctx ends, in order, each until it is acknowledged.
func (o *outbox) run(ctx context.Context) {
	wait := 100 * time.Millisecond
	for {
		k, a, ok := o.next()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-o.wake:
			}
			continue
		}
		err := o.publish(ctx, a)
		if err == nil {
			o.m.published.Inc()
			o.done(k, a)
			wait = 100 * time.Millisecond
			continue
		}
		if ctx.Err() != nil {
			return
		}
		o.m.publishFailures.Inc()
		o.log.Error("publish alert failed; trying again", "alertname", a.Labels["alertname"], "err", err, "wait", wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// fromRule turns a rule's alert into the record of nines.alerts. A rule that
// sets no severity makes tickets: nobody is woken by accident.
func fromRule(a *rules.Alert, source string, now int64) alert.Alert {
	out := alert.Alert{
		Status:      alert.Firing,
		Labels:      a.Labels.Map(),
		Annotations: a.Annotations.Map(),
		StartsAt:    a.FiredAt.UnixMilli(),
		LogTime:     now,
		Source:      source,
	}
	if out.Labels["severity"] == "" {
		out.Labels["severity"] = alert.Ticket
	}
	if a.FiredAt.IsZero() {
		out.StartsAt = a.ActiveAt.UnixMilli()
	}
	if !a.ResolvedAt.IsZero() {
		out.Status, out.EndsAt = alert.Resolved, a.ResolvedAt.UnixMilli()
	}
	return out
}

// orphans returns the resolved records for what is published as firing and is
// neither firing nor pending in the rules any more: its rule was removed, or
// the condition ended while no ruler ran.
func orphans(published map[string]alert.Alert, active []*rules.AlertingRule, source string, now int64) []alert.Alert {
	if len(published) == 0 {
		return nil
	}
	alive := map[string]bool{}
	for _, r := range active {
		for _, a := range r.ActiveAlerts() {
			rec := fromRule(a, source, now)
			alive[rec.Key()] = true
		}
	}
	var out []alert.Alert
	for k, a := range published {
		if !alive[k] {
			a.Status, a.EndsAt, a.LogTime, a.Source = alert.Resolved, now, now, source
			out = append(out, a)
		}
	}
	return out
}

// parseAlert reads a record of nines.alerts; records that are not ours to judge
// give false.
func parseAlert(b []byte, source string) (alert.Alert, bool) {
	var a alert.Alert
	if err := json.Unmarshal(b, &a); err != nil || a.Source != source || a.Status == alert.Heartbeat {
		return alert.Alert{}, false
	}
	return a, true
}
