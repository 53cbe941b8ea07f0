// Package alerting is the notify role: it takes the alerts that evaluate and
// ruler publish on nines.alerts and tells people, by Alertmanager's routes,
// grouping, silences, inhibition, templates and channels, configured by a
// standard alertmanager.yml.
//
// What it promises:
//
//   - A page is never held: not by group_wait, and at most one second by the
//     group it joins. See withPages.
//   - Only an explicit record resolves an alert. A source that falls silent
//     makes its alerts stale, which is shown, and nothing else.
//   - After a crash nothing is notified again and no silence is lost: both are
//     in the ledger's database before anyone is told that they hold. Between a
//     notification's arrival and its entry there a crash repeats it, once.
//   - It pages by itself when the evaluators are not heard, or lag behind the
//     clock, also while Kafka is unreachable; and while all is well it feeds a
//     dead man's switch that somebody outside watches.
//
// One member of the consumer group is active, the others stand by. The active
// one reads the whole compacted topic first, so no state of alerts is kept
// elsewhere. It stays active until another is assigned: losing Kafka does not
// silence the watchdog.
//
// Goroutines of an active member: intake reads nines.alerts; a clock judges
// sources and clears away; one feeds the dead man's switch; Alertmanager has one
// per alert group and a few of its own.
package alerting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/prometheus/common/model"

	"nines/internal/alert"
	"nines/internal/bus"
	"nines/internal/wire"
)

// Options are what New needs.
type Options struct {
	Config Config
	// Client reaches nines.alerts.
	Client *bus.Client
	// Store keeps the notification log and silences; the ledger implements it.
	Store Store
	Log   *slog.Logger
	// Metrics takes the role's own metrics; nil for none.
	Metrics *metrics.Set
	// Console gets a line for every alert that is notified, whatever its
	// receiver. Nil: only the receiver named "console" prints, to the log.
	Console io.Writer
}

// Notify is the role. Its methods are safe for concurrent use.
type Notify struct {
	cfg      Config
	client   *bus.Client
	store    Store
	log      *slog.Logger
	m        *counters
	loads    *bus.Loads
	console  *console
	allPrint bool
	// orphanAfter is the constant of that name, but for tests.
	orphanAfter time.Duration

	// life orders starts, pauses, ends and reloads. It is taken before mu.
	life   sync.Mutex
	orphan *time.Timer // runs while paused

	mu      sync.Mutex
	routing *routing // the last good configuration
	active  *active  // nil on standby
}

// New checks the configuration and starts nothing.
func New(o Options) (*Notify, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Client == nil || o.Store == nil {
		return nil, errors.New("start notify: needs a Kafka client and a store")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	n := &Notify{cfg: o.Config.withDefaults(), client: o.Client, store: o.Store, log: o.Log,
		m: newCounters(o.Metrics), allPrint: o.Console != nil, orphanAfter: orphanAfter,
		loads: bus.NewLoads("notify", wire.TopicAlerts, o.Metrics)}
	if o.Console == nil {
		o.Console = logWriter{o.Log}
	}
	n.console = newConsole(o.Console)
	r, err := loadRouting(n.cfg.AlertmanagerFile, n.cfg.ExternalURL)
	if err != nil {
		return nil, err
	}
	n.routing = r
	o.Metrics.NewGauge("nines_notify_active", func() float64 {
		if n.current() != nil {
			return 1
		}
		return 0
	})
	o.Metrics.NewGauge("nines_notify_alerts_firing", func() float64 {
		firing := 0
		for _, a := range n.entries() {
			if a.rec.Status == alert.Firing {
				firing++
			}
		}
		return float64(firing)
	})
	return n, nil
}

// Loads returns how the loop that reads nines.alerts stands at a time.
func (n *Notify) Loads(now time.Time) []bus.LoadView { return n.loads.View(now) }

// orphanAfter is how long a member that was active waits for the group's next
// word before it goes on alone: a rebalance is over by then, so it is Kafka that
// is away, and that is what the watchdog is there to tell.
const orphanAfter = 10 * time.Second

// Run takes part in the group until ctx ends.
func (n *Notify) Run(ctx context.Context) error {
	defer n.deactivate()
	err := n.client.Group(bus.GroupOptions{
		ID:     n.cfg.Group,
		Topics: []string{wire.TopicAlerts},
		OnGeneration: func(gctx context.Context, g *bus.Generation) error {
			if !slices.Contains(g.Assigned[wire.TopicAlerts], 0) {
				n.deactivate()
			} else if err := n.activate(ctx, gctx); err != nil {
				return err
			}
			<-gctx.Done()
			n.pause(ctx)
			return nil
		},
	}).Run(ctx)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("run notify: %w", err)
	}
	return nil
}

// activate makes this member the active one, or lets it go on. It lives on when
// the generation ends; begin bounds only the start.
func (n *Notify) activate(ctx, begin context.Context) error {
	n.life.Lock()
	defer n.life.Unlock()
	if a := n.current(); a != nil {
		return n.resume(begin, a)
	}
	a, err := n.start(ctx, begin)
	if err != nil {
		if begin.Err() == nil {
			n.log.Error("become active failed; trying again", "err", err)
		}
		return err
	}
	n.log.Info("notify is active")
	n.mu.Lock()
	n.active = a
	n.mu.Unlock()
	return nil
}

// pause stops what goes out when a generation ends. The group's next one does
// not begin before this returns, so the successor finds in the store all that
// was sent.
func (n *Notify) pause(ctx context.Context) {
	n.life.Lock()
	defer n.life.Unlock()
	a := n.current()
	if a == nil || a.paused {
		return
	}
	a.quiesce()
	a.paused = true
	n.orphan = time.AfterFunc(n.orphanAfter, func() {
		n.life.Lock()
		defer n.life.Unlock()
		if n.current() == a && a.paused && ctx.Err() == nil {
			n.log.Warn("the consumer group does not answer; notify goes on alone")
			if err := n.resume(ctx, a); err != nil {
				n.log.Error("go on alone failed", "err", err)
			}
		}
	})
}

// resume lets a paused member send again. Another may have been active since, so
// what it saved is read first; an unreadable store is no reason to be silent.
func (n *Notify) resume(ctx context.Context, a *active) error {
	if n.orphan != nil {
		n.orphan.Stop()
	}
	if !a.paused {
		return nil
	}
	if err := a.load(ctx, n.store); err != nil {
		n.log.Error("read alert state failed; notifications may repeat", "err", err)
	}
	b, err := a.build(n.good())
	if err != nil {
		return err
	}
	a.apply(b)
	a.paused = false
	return nil
}

func (n *Notify) deactivate() {
	n.life.Lock()
	defer n.life.Unlock()
	if n.orphan != nil {
		n.orphan.Stop()
	}
	n.mu.Lock()
	a := n.active
	n.active = nil
	n.mu.Unlock()
	if a != nil {
		a.close()
		n.log.Info("notify stands by")
	}
}

// good returns the last good configuration.
func (n *Notify) good() *routing {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.routing
}

func (n *Notify) current() *active {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.active
}

// CheckReload tells what Reload would refuse, and changes nothing.
func (n *Notify) CheckReload(context.Context) error {
	_, err := loadRouting(n.cfg.AlertmanagerFile, n.cfg.ExternalURL)
	return err
}

// Reload reads alertmanager.yml and its templates again. On error the last good
// configuration stays in force.
func (n *Notify) Reload(context.Context) error {
	n.m.reloads.Inc()
	err := n.reload()
	if err != nil {
		n.m.reloadFailures.Inc()
		return fmt.Errorf("reload alert routing (the last good configuration stays): %w", err)
	}
	return nil
}

func (n *Notify) reload() error {
	r, err := loadRouting(n.cfg.AlertmanagerFile, n.cfg.ExternalURL)
	if err != nil {
		return err
	}
	n.life.Lock()
	defer n.life.Unlock()
	if a := n.current(); a != nil {
		b, err := a.build(r)
		if err != nil {
			return err
		}
		if !a.paused {
			a.apply(b)
		}
	}
	n.mu.Lock()
	n.routing = r
	n.mu.Unlock()
	return nil
}

// errStandby is what a member answers that is not the active one.
var errStandby = errors.New("this process is not the active notifier (another one is, or none yet): ask that one")

// Handler serves Alertmanager's API under /api/v2/. A member on standby answers
// 503.
func (n *Notify) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := n.current()
		if a == nil {
			http.Error(w, errStandby.Error(), http.StatusServiceUnavailable)
			return
		}
		a.handler.ServeHTTP(w, r)
	})
}

// Active tells whether this member is the one that notifies.
func (n *Notify) Active() bool { return n.current() != nil }

// AlertView is an alert as the API and the UI show it.
type AlertView struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	// Status is firing or resolved.
	Status alert.Status `json:"status"`
	// StartsAt and EndsAt are Unix milliseconds; EndsAt is 0 while firing.
	StartsAt int64 `json:"starts_at"`
	EndsAt   int64 `json:"ends_at"`
	Silenced bool  `json:"silenced"`
	// Inhibited says that another alert keeps this one quiet.
	Inhibited bool `json:"inhibited"`
	// Stale says, if not empty, since when nothing was heard of the source.
	Stale string `json:"stale,omitempty"`
	// Source is who raised it.
	Source string `json:"source"`
}

// Alerts returns the current alerts, firing ones first, and those resolved
// within the last hour. A member on standby knows none.
func (n *Notify) Alerts() []AlertView {
	a := n.current()
	out := []AlertView{}
	if a == nil {
		return out
	}
	for _, e := range a.book.list() {
		ls := make(model.LabelSet, len(e.rec.Labels))
		for k, v := range e.rec.Labels {
			ls[model.LabelName(k)] = model.LabelValue(v)
		}
		v := AlertView{Labels: e.rec.Labels, Annotations: e.rec.Annotations, Status: e.rec.Status,
			StartsAt: e.rec.StartsAt, EndsAt: e.rec.EndsAt, Stale: e.stale, Source: e.rec.Source}
		if e.rec.Status == alert.Firing {
			v.Silenced, v.Inhibited = a.muted(ls)
		}
		out = append(out, v)
	}
	return out
}

func (n *Notify) entries() []entry {
	if a := n.current(); a != nil {
		return a.book.list()
	}
	return nil
}

// logWriter prints console lines to the log.
type logWriter struct{ log *slog.Logger }

func (l logWriter) Write(b []byte) (int, error) {
	l.log.Info("alert", "line", string(b[:max(len(b)-1, 0)]))
	return len(b), nil
}
