package ruler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"
)

// lookback is how long a sample without a successor counts: Prometheus' own
// default, because rules and dashboards are written for it. Staleness markers
// end series that are known to have ended much sooner.
const lookback = 5 * time.Minute

func newEngine(c Config, log *slog.Logger, reg prometheus.Registerer) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		Logger:                   log,
		Reg:                      reg,
		MaxSamples:               c.MaxSamples,
		Timeout:                  c.QueryTimeout.D(),
		LookbackDelta:            lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return c.EvaluationInterval.Milliseconds() },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		Parser:                   newParser(),
	})
}

// ruleSet runs the rule groups. It starts evaluating at start, when the store
// has caught up with the log: rules that ask for absence must not see the gap of
// a restart.
type ruleSet struct {
	cfg     Config
	manager *rules.Manager
	source  string
	box     *outbox

	once sync.Once
	done chan struct{}
}

func newRuleSet(ctx context.Context, c Config, db *tsdb.DB, eng *promql.Engine, box *outbox, log *slog.Logger, reg prometheus.Registerer) *ruleSet {
	s := &ruleSet{cfg: c, source: source(c), box: box, done: make(chan struct{})}
	ext, err := url.Parse(c.ExternalURL)
	if err != nil {
		ext = &url.URL{}
	}
	s.manager = rules.NewManager(&rules.ManagerOptions{
		ExternalURL: ext,
		QueryFunc:   rules.EngineQueryFunc(eng, db),
		NotifyFunc:  s.notify,
		Context:     ctx,
		Appendable:  db,
		Queryable:   db,
		Logger:      log,
		Registerer:  reg,
		// The state of "for" is taken up again after an outage of up to an
		// hour, and for rules that hold longer than five seconds.
		OutageTolerance: time.Hour,
		ForGracePeriod:  5 * time.Second,
		ResendDelay:     resendEvery,
		Parser:          newParser(),
	})
	return s
}

func source(c Config) string { return "ruler/" + c.ID }

func (s *ruleSet) notify(_ context.Context, _ string, alerts ...*rules.Alert) {
	now := time.Now().UnixMilli()
	for _, a := range alerts {
		s.box.put(fromRule(a, s.source, now))
	}
}

// load replaces the rules by those of the files; on error the old ones stay.
func (s *ruleSet) load(files []string) error {
	if err := CheckRules(files); err != nil {
		return err
	}
	err := s.manager.Update(s.cfg.EvaluationInterval.D(), files, labels.EmptyLabels(), s.cfg.ExternalURL, nil)
	if err != nil {
		return fmt.Errorf("load rules: %w", err)
	}
	return nil
}

// start begins to evaluate. It may be called more than once.
func (s *ruleSet) start() {
	s.once.Do(func() {
		go func() {
			defer close(s.done)
			s.manager.Run()
		}()
	})
}

// stop ends evaluation and waits for it. Groups wait for start before they can
// end.
func (s *ruleSet) stop() {
	s.start()
	s.manager.Stop()
	<-s.done
}

// reconcile resolves what only this ruler could resolve and no rule accounts
// for, once every group was evaluated.
func (s *ruleSet) reconcile(now int64) {
	for _, g := range s.manager.RuleGroups() {
		if g.GetLastEvaluation().IsZero() {
			return
		}
	}
	for _, a := range orphans(s.box.stillFiring(), s.manager.AlertingRules(), s.source, now) {
		s.box.put(a)
	}
}

// Sample is one value of an instant query.
type Sample struct {
	Labels map[string]string
	// Value is the sample's value; for a native histogram, its count.
	Value float64
	// Time is Unix milliseconds.
	Time int64
}

// errNotRunning is what queries get before the store is open.
var errNotRunning = errors.New("ruler is not running yet: try again in a few seconds")

func instant(ctx context.Context, eng *promql.Engine, db *tsdb.DB, expr string, ts time.Time) ([]Sample, error) {
	q, err := eng.NewInstantQuery(ctx, db, nil, expr, ts)
	if err != nil {
		return nil, fmt.Errorf("parse query %q: %w", expr, err)
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, fmt.Errorf("run query %q: %w", expr, res.Err)
	}
	switch v := res.Value.(type) {
	case promql.Scalar:
		return []Sample{{Value: v.V, Time: v.T}}, nil
	case promql.Vector:
		out := make([]Sample, len(v))
		for i, s := range v {
			out[i] = Sample{Labels: s.Metric.Map(), Value: s.F, Time: s.T}
			if s.H != nil {
				out[i].Value = s.H.Count
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("run query %q: must give a vector or a scalar, got a %s", expr, res.Value.Type())
}
