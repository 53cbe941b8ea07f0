package evaluate

import (
	"testing"

	"nines/internal/alert"
	"nines/internal/ledger"
	"nines/internal/slo"
	"nines/internal/telemetry"
)

// TestAnOutageIsKnownAfterARestart: whose it was is read from the alert's labels,
// of which a service may be the group's own or the objective's.
func TestAnOutageIsKnownAfterARestart(t *testing.T) {
	f := func(groupBy []string, labels map[string]string) {
		t.Helper()
		st := probes(1, 1)
		st.GroupBy = groupBy
		o := objective("up", st, &slo.Down{Failures: 3, K: 1, N: 1})
		set := rules(st, o)
		g := &group{Group: ledger.Group{Labels: telemetry.NewLabels(labels)}}
		g.Key.Stream, g.Key.Labels = st.ID(), g.Labels.Hash()
		j := &judged{def: o}
		j.name(g)
		f := newFixture(t, 1, set)
		f.s = New(Config{}, &ledger.Claim{LogTime: epoch}, f.find, f.lookUp)
		resolved := alert.Alert{Status: alert.Resolved, Labels: j.alerts()[atDown].labels, EndsAt: epoch - 60_000}
		if err := f.s.Restore(f.set, nil, []alert.Alert{resolved}, nil); err != nil {
			t.Fatal(err)
		}
		if !f.s.paged(g, alert.Page, 5*minute) || f.s.paged(g, alert.Ticket, 5*minute) || f.s.paged(g, alert.Page, minute) {
			t.Errorf("%v: a page a minute after the outage that was paged is held back, and nothing else", labels)
		}
	}
	f([]string{"target"}, map[string]string{"target": "t"})
	f([]string{"service", "target"}, map[string]string{"service": "pay", "target": "t"})
	f([]string{"service", "target"}, map[string]string{"target": "t"})
	f([]string{"customer", "service"}, map[string]string{"customer": "acme", "service": "demo"})
}
