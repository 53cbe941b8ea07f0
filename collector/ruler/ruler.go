// Package ruler keeps the series of a region for a day and judges them by
// Prometheus' rules. It tails every partition of telemetry, other fleets' too, into
// Prometheus' TSDB, answers PromQL over Prometheus' own HTTP API, and publishes
// what rules find to nines.alerts.
//
// What it promises:
//
//   - A restart goes on where the store ends. Frames are taken once by agent,
//     boot and sequence; samples that a crash repeats are recognised by series
//     and time.
//   - Samples land at their own time, however late they come, within the
//     retention.
//   - A series whose agent fell silent ends 15 s after its last sample, by a
//     staleness marker, instead of five minutes later.
//   - Rules are evaluated when the store has caught up with the log. The time an
//     alert has been pending survives a restart; an alert that was published as
//     firing is resolved by an explicit record, also when its condition ended,
//     or its rule was removed, while no ruler ran.
//   - A broken rule file changes nothing: the last good set stays.
//
// Two rulers of one region publish the same alerts under the same keys, as a
// pair of Prometheus servers does.
//
// Goroutines of Run: one per partition owns that partition's agents and series;
// one sends alerts; one saves positions, follows new partitions and reconciles
// alerts; the rule manager has one per group.
package ruler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"

	"nines/collector/decode"
	"nines/collector/promseries"
	"nines/internal/alert"
	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// Options are what New needs.
type Options struct {
	Config Config
	// Client reaches nines.telemetry and nines.alerts.
	Client *bus.Client
	// Formats are the topics that are tailed besides nines.telemetry, and how
	// records without headers are written there: those of other fleets, and of
	// regions' agents with format 0.
	Formats map[string]decode.Format
	// Publish appends one alert record to nines.alerts and returns when it is
	// stored. The ruler calls it again until it succeeds.
	Publish func(context.Context, alert.Alert) error
	Log     *slog.Logger
	// Metrics takes the ruler's own metrics; nil for none.
	Metrics *metrics.Set
}

// Ruler is the role. Its methods are safe for concurrent use.
type Ruler struct {
	cfg     Config
	keep    promseries.Selectors
	topics  []string
	formats map[string]decode.Format
	client  *bus.Client
	log     *slog.Logger
	m       *counters
	loads   *bus.Loads
	box     *outbox

	live  atomic.Pointer[running]
	kinds sync.Map // metric name → telemetry.Kind

	mu    sync.Mutex // guards files and orders reloads
	files []string
}

// running is what exists while Run does.
type running struct {
	db      *tsdb.DB
	engine  *promql.Engine
	rules   *ruleSet
	handler http.Handler
	pos     *positions
	// newest is the newest sample time when the store was opened, Unix
	// milliseconds.
	newest int64
}

// New checks the configuration and the rule files and starts nothing.
func New(o Options) (*Ruler, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Client == nil || o.Publish == nil {
		return nil, errors.New("start ruler: needs a Kafka client and a way to publish alerts")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	cfg := o.Config.withDefaults()
	keep, err := promseries.ParseSelectors("ruler.select", cfg.Select)
	if err != nil {
		return nil, err
	}
	files, err := expandRules(cfg.Rules)
	if err != nil {
		return nil, err
	}
	if err := CheckRules(files); err != nil {
		return nil, err
	}
	m := newCounters(o.Metrics)
	r := &Ruler{cfg: cfg, keep: keep, topics: decode.Topics(o.Formats), formats: o.Formats, client: o.Client, log: o.Log, m: m, files: files,
		loads: bus.NewLoads("ruler", wire.TopicTelemetry, o.Metrics)}
	r.box = newOutbox(o.Publish, o.Log, m)
	r.registerGauges(o.Metrics)
	return r, nil
}

// Run opens the store and works until ctx ends. It may be called once.
func (r *Ruler) Run(ctx context.Context) error {
	reg := prometheus.NewRegistry()
	db, err := openStore(r.cfg.Dir, r.cfg.Retention.D(), quieter(r.log.With("part", "tsdb")), reg)
	if err != nil {
		return err
	}
	defer func() {
		if err := db.Close(); err != nil {
			r.log.Error("close series store failed", "err", err)
		}
	}()
	pos, err := loadPositions(r.cfg.Dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	run := &running{db: db, engine: newEngine(r.cfg, r.log, reg), pos: pos, newest: newestSample(db)}
	run.rules = newRuleSet(ctx, r.cfg, db, run.engine, r.box, quieter(r.log.With("part", "rules")), reg)
	run.handler = newAPI(r.cfg, db, run.engine, run.rules.manager, r.metricKinds, time.Now(), r.log, reg)
	if err := r.goLive(run); err != nil {
		return err
	}
	defer r.live.Store(nil)
	var wg sync.WaitGroup
	wg.Go(func() { r.box.run(ctx) })
	wg.Go(func() { r.follow(ctx, run) })
	<-ctx.Done()
	run.rules.stop()
	wg.Wait()
	return pos.save()
}

func (r *Ruler) goLive(run *running) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := run.rules.load(r.files); err != nil {
		return err
	}
	r.live.Store(run)
	return nil
}

// CheckReload tells what Reload would refuse, and changes nothing.
func (r *Ruler) CheckReload(context.Context) error {
	return CheckPatterns(r.cfg.Rules)
}

// Reload reads the rule files again. On error the last good set stays, and the
// error names every mistake as file:line:col.
func (r *Ruler) Reload(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m.reloads.Inc()
	files, err := expandRules(r.cfg.Rules)
	if err == nil {
		if run := r.live.Load(); run != nil {
			err = run.rules.load(files)
		} else {
			err = CheckRules(files)
		}
	}
	if err != nil {
		r.m.reloadFailures.Inc()
		return fmt.Errorf("reload rules (the last good set stays): %w", err)
	}
	r.files = files
	return nil
}

// Handler serves Prometheus' HTTP API under /api/v1/. It answers 503 while the
// store is not open.
func (r *Ruler) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		run := r.live.Load()
		if run == nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, `{"status":"error","errorType":"unavailable","error":%q}`, errNotRunning.Error())
			return
		}
		run.handler.ServeHTTP(w, req)
	})
}

// Query evaluates a PromQL expression at ts, Unix milliseconds.
func (r *Ruler) Query(ctx context.Context, expr string, ts int64) ([]Sample, error) {
	run := r.live.Load()
	if run == nil {
		return nil, errNotRunning
	}
	return instant(ctx, run.engine, run.db, expr, time.UnixMilli(ts))
}

// Loads returns how the loops of the partitions stand at a time.
func (r *Ruler) Loads(now time.Time) []bus.LoadView { return r.loads.View(now) }

// Ready tells whether queries are answered.
func (r *Ruler) Ready() error {
	if r.live.Load() == nil {
		return errNotRunning
	}
	return nil
}

func (r *Ruler) note(name string, k telemetry.Kind) {
	if _, ok := r.kinds.Load(name); !ok {
		r.kinds.Store(promseries.Valid(name), k)
	}
}

func (r *Ruler) metricKinds() map[string]telemetry.Kind {
	out := map[string]telemetry.Kind{}
	r.kinds.Range(func(k, v any) bool {
		out[k.(string)] = v.(telemetry.Kind)
		return true
	})
	return out
}

func (r *Ruler) registerGauges(set *metrics.Set) {
	set.NewGauge("nines_ruler_series", func() float64 {
		if run := r.live.Load(); run != nil {
			return float64(run.db.Head().NumSeries())
		}
		return 0
	})
	set.NewGauge("nines_ruler_alerts_firing", func() float64 { return float64(len(r.box.stillFiring())) })
}

// newestSample returns the newest sample time of the store in Unix
// milliseconds, 0 where it is empty.
func newestSample(db *tsdb.DB) int64 {
	newest := int64(0)
	if db.Head().NumSeries() > 0 {
		newest = max(newest, db.Head().MaxTime())
	}
	for _, b := range db.Blocks() {
		newest = max(newest, b.MaxTime())
	}
	return newest
}
