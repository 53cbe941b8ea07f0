package evaluate

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/internal/ledger"
	"nines/internal/sla"
)

// meters are the role's own metrics.
type meters struct {
	set                *metrics.Set
	applied, repeated  *metrics.Counter
	commits, restated  *metrics.Counter
	good, bad, unknown *metrics.Counter
	commitSeconds      *metrics.PrometheusHistogram
}

func newMeters(set *metrics.Set) *meters {
	if set == nil {
		set = metrics.NewSet()
	}
	slots := func(state string) *metrics.Counter {
		return set.NewCounter(fmt.Sprintf("nines_evaluate_slots_total{state=%q}", state))
	}
	return &meters{set: set,
		applied:       set.NewCounter("nines_evaluate_partials_total"),
		repeated:      set.NewCounter("nines_evaluate_repeated_partials_total"),
		commits:       set.NewCounter("nines_evaluate_commits_total"),
		restated:      set.NewCounter("nines_evaluate_restated_slots_total"),
		good:          slots("good"),
		bad:           slots("bad"),
		unknown:       slots("unknown"),
		commitSeconds: set.NewPrometheusHistogram("nines_evaluate_commit_seconds"),
	}
}

func (m *meters) count(fresh bool) {
	if fresh {
		m.applied.Inc()
	} else {
		m.repeated.Inc()
	}
}

func (m *meters) commit(d time.Duration, b *ledger.Batch) {
	m.commits.Inc()
	m.commitSeconds.Update(d.Seconds())
	for i := range b.Slots {
		sl := &b.Slots[i].Slot
		if sl.Version > 1 {
			m.restated.Inc()
			continue
		}
		switch sl.State {
		case sla.Good:
			m.good.Inc()
		case sla.Bad:
			m.bad.Inc()
		case sla.Unknown:
			m.unknown.Inc()
		}
	}
}
