package alerting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/api"
	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/config/receiver"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/route"
)

const (
	// gcInterval is how often resolved alerts, ended groups and expired entries
	// are cleared away.
	gcInterval = 15 * time.Minute
	// quiesceLimit is how long a notification may take when the member has to
	// stop: well within the group's session timeout.
	quiesceLimit = 3 * time.Second
	// dispatchMaintenance is how often ended groups are cleared away.
	dispatchMaintenance = 30 * time.Second
)

// session is Alertmanager as one member runs it while it is active. What
// survives a session lies in the store and in nines.alerts.
type session struct {
	cfg      Config
	log      *slog.Logger
	m        *counters
	book     *book
	console  *console
	allPrint bool

	health   *health
	inflight *inflight
	alerts   *mem.Alerts
	silences *silence.Silences
	silencer *silence.Silencer
	saved    *saveSilences
	plog     *notifyLog
	groups   marker.GroupMarker
	api      *api.API
	handler  http.Handler
	pipeline *notify.PipelineBuilder
	dmetrics *dispatch.DispatcherMetrics

	mu         sync.RWMutex
	inhibitor  *inhibit.Inhibitor
	dispatcher *dispatch.Dispatcher
}

// newSession loads the saved state. Nothing is sent before the first apply.
func newSession(ctx context.Context, n *Notify) (*session, error) {
	reg := prometheus.NewRegistry()
	log := n.log.With("part", "alertmanager")
	s := &session{
		cfg: n.cfg, log: log, m: n.m, book: newBook(), console: n.console, allPrint: n.allPrint,
		health: &health{log: n.log, m: n.m}, groups: marker.NewGroupMarker(), inflight: newInflight(),
	}
	nl, err := nflog.New(nflog.Options{Retention: n.cfg.Retention.D(), Logger: log, Metrics: reg})
	if err != nil {
		return nil, fmt.Errorf("make notification log: %w", err)
	}
	s.plog = &notifyLog{inner: nl, store: n.store, retention: n.cfg.Retention.D(), health: s.health, inflight: s.inflight}
	s.silences, err = silence.New(silence.Options{Retention: n.cfg.Retention.D(), Logger: log, Metrics: reg})
	if err != nil {
		return nil, fmt.Errorf("make silences: %w", err)
	}
	if err := s.load(ctx, n.store); err != nil {
		return nil, err
	}
	s.saved = &saveSilences{store: n.store, health: s.health}
	s.silences.SetBroadcast(s.saved.broadcast)
	s.silencer = silence.NewSilencer(s.silences, log, eventrecorder.Recorder{})
	flags := featurecontrol.NoopFlags{}
	s.alerts, err = mem.NewAlerts(context.Background(), gcInterval, 0, s.silencer, log, eventrecorder.Recorder{}, reg, flags)
	if err != nil {
		return nil, fmt.Errorf("make alert store: %w", err)
	}
	s.pipeline = notify.NewPipelineBuilder(reg, flags, eventrecorder.Recorder{})
	s.dmetrics = dispatch.NewDispatcherMetrics(false, reg, flags)
	if err := s.newAPI(reg); err != nil {
		s.alerts.Close()
		return nil, err
	}
	return s, nil
}

// load takes in what is saved; what is newer here stays.
func (s *session) load(ctx context.Context, store Store) error {
	return errors.Join(loadNotified(ctx, store, s.plog.inner, s.log), loadSilences(ctx, store, s.silences, s.log))
}

func (s *session) newAPI(reg *prometheus.Registry) error {
	a, err := api.New(api.Options{
		Alerts: s.alerts, Silences: s.silences, GroupMutedFunc: s.groups.Muted,
		Logger: s.log, Registry: reg,
		RequestDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "alertmanager_http_request_duration_seconds", Help: "Latencies of HTTP requests.",
			Buckets: prometheus.DefBuckets,
		}, []string{"handler", "method", "code"}),
		GroupFunc: func(ctx context.Context, rf func(*dispatch.Route) bool, af func(*amalert.Alert, time.Time) bool) (dispatch.AlertGroups, map[model.Fingerprint][]string, error) {
			s.mu.RLock()
			d := s.dispatcher
			s.mu.RUnlock()
			if d == nil {
				return nil, nil, errStandby
			}
			return d.Groups(ctx, rf, af)
		},
	})
	if err != nil {
		return fmt.Errorf("make alert API: %w", err)
	}
	s.api = a
	s.handler = s.durable(a.Register(route.New(), "/"))
	return nil
}

// built is what a configuration turns into before it takes effect.
type built struct {
	conf      *amconfig.Config
	routes    *dispatch.Route
	receivers map[string][]notify.Integration
	intervals map[string][]timeinterval.TimeInterval
	tmpl      *template.Template
}

// build does all of a configuration that can fail.
func (s *session) build(r *routing) (*built, error) {
	conf := *r.conf
	conf.Route = withPages(conf.Route, s.cfg.PageGroupInterval.D())
	b := &built{conf: &conf, routes: dispatch.NewRoute(conf.Route, nil), tmpl: r.tmpl,
		receivers: map[string][]notify.Integration{}, intervals: map[string][]timeinterval.TimeInterval{}}
	for _, rc := range conf.Receivers {
		list, err := receiver.BuildReceiverIntegrations(rc, r.tmpl, s.log)
		if err != nil {
			return nil, fmt.Errorf("%s:1:1: receiver %q: %w", r.file, rc.Name, err)
		}
		b.receivers[rc.Name] = s.measured(list, rc.Name)
	}
	for _, ti := range conf.MuteTimeIntervals {
		b.intervals[ti.Name] = ti.TimeIntervals
	}
	for _, ti := range conf.TimeIntervals {
		b.intervals[ti.Name] = ti.TimeIntervals
	}
	return b, nil
}

// measured wraps a receiver's channels with measurements and adds the console
// to the receiver of that name, or to all.
func (s *session) measured(in []notify.Integration, receiver string) []notify.Integration {
	if s.console != nil && (s.allPrint || receiver == consoleName) {
		in = append(in, s.console.integration(receiver))
	}
	out := make([]notify.Integration, len(in))
	for i := range in {
		c := &channel{inner: &in[i], receiver: receiver, book: s.book, m: s.m, inflight: s.inflight}
		out[i] = notify.NewIntegration(c, &in[i], in[i].Name(), in[i].Index(), receiver)
	}
	return out
}

// channel measures what goes through an integration, and knows what is under
// way.
type channel struct {
	inner    *notify.Integration
	receiver string
	book     *book
	m        *counters
	inflight *inflight
}

// Notify implements notify.Notifier.
func (c *channel) Notify(ctx context.Context, alerts ...*amalert.Alert) (bool, error) {
	group, _ := notify.GroupKey(ctx)
	key := logKey(group, c.receiver, c.inner.Name(), c.inner.Index())
	if !c.inflight.begin(key) {
		return true, errPaused
	}
	now := time.Now()
	for _, a := range alerts {
		if a.Resolved() {
			continue
		}
		if at := c.book.firstTold(a.Fingerprint()); at > 0 {
			c.m.detection.Update(now.Sub(time.UnixMilli(at)).Seconds())
		}
	}
	again, err := c.inner.Notify(ctx, alerts...)
	c.m.sent(c.inner.Name(), err)
	if err != nil {
		c.inflight.end(key) // else the notification log ends it
	}
	return again, err
}

// apply makes the configuration take effect: Alertmanager's own order, so that
// inhibition is known before anything is sent. Groups are made anew; the
// notification log keeps them from repeating themselves.
func (s *session) apply(b *built) {
	s.quiesce()
	s.inflight.open()
	inh := inhibit.NewInhibitor(s.alerts, b.conf.InhibitRules, s.log, eventrecorder.Recorder{})
	stage := s.pipeline.New(b.receivers, func() time.Duration { return 0 }, inh, s.silencer,
		timeinterval.NewIntervener(b.intervals), s.groups, s.plog, nil)
	s.api.Update(b.conf, func(ctx context.Context, ls model.LabelSet) {
		inh.Mutes(ctx, ls)
		s.silencer.Mutes(ctx, ls)
	})
	// A notification may take ten seconds, however short its group's interval.
	timeout := func(d time.Duration) time.Duration { return max(d, notify.MinTimeout) }
	d := dispatch.NewDispatcher(s.alerts, b.routes, stage, s.groups, timeout, dispatchMaintenance, nil, s.log,
		eventrecorder.Recorder{}, s.dmetrics, b.tmpl)
	go inh.Run()
	inh.WaitForLoading()
	go d.Run(time.Now())
	d.WaitForLoading()
	s.mu.Lock()
	s.inhibitor, s.dispatcher = inh, d
	s.mu.Unlock()
}

// quiesce lets notifications under way end, with their entry in the log, starts
// no more, and stops.
func (s *session) quiesce() {
	s.inflight.drain(quiesceLimit)
	s.stopDispatch()
}

func (s *session) stopDispatch() {
	s.mu.Lock()
	inh, d := s.inhibitor, s.dispatcher
	s.inhibitor, s.dispatcher = nil, nil
	s.mu.Unlock()
	inh.Stop()
	d.Stop()
}

// close ends the session.
func (s *session) close() {
	s.quiesce()
	s.alerts.Close()
}

// muted tells whether the labels are silenced or inhibited now.
func (s *session) muted(ls model.LabelSet) (silenced, inhibited bool) {
	s.mu.RLock()
	inh := s.inhibitor
	s.mu.RUnlock()
	ctx := context.Background()
	return s.silencer.Mutes(ctx, ls), inh != nil && inh.Mutes(ctx, ls)
}
