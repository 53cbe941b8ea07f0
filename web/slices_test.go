package web

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"nines/internal/access"
	"nines/internal/sla"
	"nines/internal/slo"
)

// TestBurndownOfSlicesIsTheirMean: with RatioTimeslices each decided slot weighs
// the same, however many events it has.
func TestBurndownOfSlicesIsTheirMean(t *testing.T) {
	s := newScenario(t, scenarioNow, 30*time.Hour)
	srv := newServer(t, s, nil)
	o := *s.rules.Objectives[1]
	o.Name, o.Window, o.Budgeting = "slices", 20*hourMs, slo.RatioTimeslices
	key := s.api[1].Key
	a := asked{key: key, group: s.api[1], slotMs: minuteMs, from: s.now - 12*hourMs, to: s.now}
	got, err := srv.burndown(t.Context(), &o, a, s.now)
	if err != nil {
		t.Fatal(err)
	}
	slots, err := srv.o.Ledger.GroupSlots(t.Context(), access.Local(), key, s.start, s.now+1)
	if err != nil || len(got.Points) == 0 {
		t.Fatal(len(got.Points), err)
	}
	spent := false
	for _, p := range got.Points {
		sum, n := 0.0, 0.0
		for _, sl := range slots {
			if sl.Start >= p.T-o.Window && sl.Start < p.T && (sl.State == sla.Good || sl.State == sla.Bad) {
				n++
				sum += float64(sl.Good) / float64(max(sl.Total, 1))
			}
		}
		want := 1 - (n-sum)/(20*60)/(1-slo.Float(o.Target)) // of all minutes of the window
		if n > 0 && math.Abs(want-p.BudgetLeft) > 1e-6 {
			t.Errorf("at %d: budget left %v, recomputed %v", p.T, p.BudgetLeft, want)
		}
		spent = spent || p.BudgetLeft < 0.999
	}
	if !spent {
		t.Error("the scenario spends no budget")
	}
}

// TestBurndownOfACompositeNamesItsParts: it has no slots of its own.
func TestBurndownOfACompositeNamesItsParts(t *testing.T) {
	s := newScenario(t, scenarioNow, 2*time.Hour)
	whole := *s.rules.Objectives[1]
	whole.Name = "whole"
	whole.Components = []slo.Component{{Objective: s.rules.Objectives[1].Name, StreamID: whole.StreamID, Weight: 1}}
	s.rules.Objectives = append(s.rules.Objectives, &whole)
	srv := newServer(t, s, nil)
	srv.o.Rules = func() *slo.RuleSet { return s.rules }
	w := request(srv.Handler(), "GET", "/api/nines/v1/burndown?objective=whole&group="+groupID(s.api[1].Key), nil)
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), s.rules.Objectives[1].Name) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
