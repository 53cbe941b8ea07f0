package web

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"nines/internal/alert"
	"nines/internal/hist"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// scenario is a fleet as the evaluator would leave it in the ledger: two
// regions, two targets probed every second, one with an outage of 20 minutes, a
// blind stretch of 30 and a slow hour; a region that fell silent; an agent that
// was killed once.
type scenario struct {
	t     testing.TB
	l     *ledger.Ledger
	claim *ledger.Claim
	// now is the log time of the end, start the first slot.
	start, now    int64
	rules         *slo.RuleSet
	avail, slow   *slo.Stream
	api, db       []ledger.Group // the availability and the latency group of a target
	offset        int64
	truth         map[wire.GroupKey][]ledger.Slot
	rnd           *rand.Rand
	apiLab, dbLab telemetry.Labels
}

// scenarioNow is Friday 2026-11-20 12:34:30 UTC.
const scenarioNow = int64(1_795_178_070_000)

func openLedger(t testing.TB) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(context.Background(), ledger.Options{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// newScenario fills a ledger with days of history that ends at now.
func newScenario(t testing.TB, now int64, history time.Duration) *scenario {
	t.Helper()
	s := &scenario{t: t, l: openLedger(t), now: now, start: floorTo(now-history.Milliseconds(), minuteMs),
		truth: map[wire.GroupKey][]ledger.Slot{}, rnd: rand.New(rand.NewPCG(1, 2))}
	s.makeRules()
	c, err := s.l.Claim(context.Background(), 0, "test")
	if err != nil {
		t.Fatal(err)
	}
	s.claim = c
	s.apiLab = telemetry.NewLabels(map[string]string{"region": "eu-west", "target": "https://api.example.net/health", "probe": "http"})
	s.dbLab = telemetry.NewLabels(map[string]string{"region": "ap-south", "target": "10.20.0.7:5432", "probe": "tcp"})
	s.api = s.groups(s.apiLab)
	s.db = s.groups(s.dbLab)
	s.commit(&ledger.Batch{RuleSetID: s.rules.ID(), RuleSet: s.rules, Groups: append(append([]ledger.Group{}, s.api...), s.db...)})
	s.writeHistory()
	s.commit(s.news())
	return s
}

func (s *scenario) makeRules() {
	rule := sla.SlotRule{Length: minuteMs, Bad: sla.BadAnyFailure, MaxGap: 5000}
	by := []string{"probe", "region", "target"}
	s.avail = &slo.Stream{Sample: &slo.Selector{Metric: "probe_success"}, Op: slo.GTE, Threshold: 1, GroupBy: by, Vantage: "host", Bin: 1000, Rule: rule}
	s.slow = &slo.Stream{Sample: &slo.Selector{Metric: "probe_latency_seconds"}, Op: slo.LTE, Threshold: 0.1, GroupBy: by, Vantage: "host",
		Histogram: true, Bin: 1000, Rule: sla.SlotRule{Length: minuteMs, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 5, Den: 100}}}
	const month = 30 * dayMs
	s.rules = &slo.RuleSet{
		Streams: map[string]*slo.Stream{s.avail.ID(): s.avail, s.slow.ID(): s.slow},
		Objectives: []*slo.Objective{
			{Name: "probe-availability", DisplayName: "Targets answer", Service: "edge", Description: "Probes of every target, by region",
				StreamID: s.avail.ID(), Target: sla.Ratio{Num: 999, Den: 1000}, Budgeting: budgetingSlots, Window: month,
				Burn: slo.BurnRows(month), Down: &slo.Down{Failures: 3, K: 1}},
			{Name: "probe-latency", DisplayName: "Answers within 100 ms", Service: "edge", StreamID: s.slow.ID(), Target: sla.Ratio{Num: 99, Den: 100},
				Budgeting: "Occurrences", Window: 7 * dayMs, Burn: slo.BurnRows(7 * dayMs)},
			{Name: "monthly/1", Service: "edge", StreamID: s.avail.ID(), Target: sla.Ratio{Num: 99975, Den: 100000}, Budgeting: budgetingSlots,
				Window: month, Calendar: &slo.Calendar{TimeZone: "Asia/Kolkata", Unit: "month"}},
		},
		Contracts: map[string]json.RawMessage{"acme": s.contract()},
	}
}

// contract is the record that package rules writes for a contract file.
func (s *scenario) contract() json.RawMessage {
	raw, err := json.Marshal(slo.ContractRecord{File: "acme.yaml", Text: "kind: SLA", Contract: &sla.Contract{
		Name: "acme", Customer: "acme", Product: "edge", TimeZone: "UTC", Combine: sla.Highest,
		Fee: sla.Fee{Money: sla.Money{Minor: 1_000_000, Currency: "EUR"}},
		Objectives: []sla.Objective{{Name: "availability", Stream: s.avail.ID(), Slot: s.avail.Rule, Unknown: sla.UnknownExclude,
			Denominator: sla.Calendar, Aggregation: sla.Pooled,
			Tiers: []sla.Tier{{Below: sla.Ratio{Num: 99975, Den: 100000}, Credit: sla.Ratio{Num: 10, Den: 100}}}}},
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

func (s *scenario) groups(labels telemetry.Labels) []ledger.Group {
	var out []ledger.Group
	for _, st := range []*slo.Stream{s.avail, s.slow} {
		out = append(out, ledger.Group{Key: wire.GroupKey{Stream: st.ID(), Labels: labels.Hash()}, Labels: labels, FirstSlot: s.start})
	}
	return out
}

func (s *scenario) commit(b *ledger.Batch) {
	s.t.Helper()
	s.offset++
	b.Offset = s.offset
	if b.LogTime == 0 {
		b.LogTime = s.now
	}
	if err := s.l.Commit(context.Background(), s.claim, b); err != nil {
		s.t.Fatal(err)
	}
}

// slotAt is what happened to a target in the slot: minutes before now decide.
func (s *scenario) slotAt(target string, start int64) (avail, slow ledger.Slot, latency []float64) {
	ago := (s.now - start) / minuteMs
	avail = ledger.Slot{Start: start, State: sla.Good, Version: 1, Good: 60, Total: 60}
	slow = avail
	base := 0.020
	if target == "db" {
		base = 0.004
	}
	failed := 0
	switch {
	case target == "api" && ago >= 100 && ago < 120:
		failed = 60
		if ago == 119 {
			failed = 17
		}
	case target == "api" && ago >= 200 && ago < 230:
		avail = ledger.Slot{Start: start, State: sla.Unknown, Version: 1, Blind: 60, Reason: "blind"}
		slow = avail
		return avail, slow, nil
	case target == "api" && ago >= 300 && ago < 360:
		base = 0.095
	case target == "db" && ago == 50:
		avail.Version = 2
	}
	for i := range 60 {
		v := base * math.Exp(s.rnd.NormFloat64()*0.3)
		if i < failed {
			v = math.Inf(1)
		}
		latency = append(latency, v)
		if v > s.slow.Threshold {
			slow.Good--
		}
	}
	if failed > 0 {
		avail.State, avail.Good, avail.Reason = sla.Bad, uint64(60-failed), "timeout"
		avail.Vantages = []sla.Bins{{Vantage: "probe-1", OK: []uint64{0}, Fail: []uint64{1<<60 - 1}}}
	}
	if slow.Good*100 < 95*slow.Total {
		slow.State, slow.Reason = sla.Bad, "ratio"
	}
	return avail, slow, latency
}

func (s *scenario) writeHistory() {
	last := floorTo(s.now, minuteMs)
	b := &ledger.Batch{}
	for t := s.start; t <= last; t += minuteMs {
		s.addSlot(b, "api", s.api, t, t == last)
		s.addSlot(b, "db", s.db, t, t == last)
		if len(b.Slots) > 2000 {
			b.LogTime = t + minuteMs
			s.commit(b)
			b = &ledger.Batch{}
		}
	}
	s.commit(b)
}

func (s *scenario) addSlot(b *ledger.Batch, target string, groups []ledger.Group, t int64, open bool) {
	avail, slow, latency := s.slotAt(target, t)
	for i, sl := range []ledger.Slot{avail, slow} {
		if open {
			sl.State, sl.Version, sl.Reason = sla.Open, 0, ""
			sl.Good, sl.Total = sl.Good/2, sl.Total/2
		}
		b.Slots = append(b.Slots, ledger.SlotChange{Group: groups[i].Key, Slot: sl})
		s.truth[groups[i].Key] = append(s.truth[groups[i].Key], sl)
	}
	if len(latency) > 0 {
		var h hist.Histogram
		for _, v := range latency {
			h.Observe(v)
		}
		b.Sketches = append(b.Sketches, ledger.Sketch{Group: groups[1].Key, Slot: t, Hist: h})
	}
}

// sum adds up the truth over [from, to).
func (s *scenario) sum(key wire.GroupKey, from, to int64) ledger.Totals {
	var t ledger.Totals
	for i := range s.truth[key] {
		if sl := &s.truth[key][i]; sl.Start >= from && sl.Start < to {
			one := totalsOf(sl)
			t.Good, t.Total = t.Good+one.Good, t.Total+one.Total
			t.GoodSlots, t.BadSlots, t.UnknownSlots = t.GoodSlots+one.GoodSlots, t.BadSlots+one.BadSlots, t.UnknownSlots+one.UnknownSlots
		}
	}
	return t
}

// status is the row that evaluate writes for a group of an objective.
func (s *scenario) status(o *slo.Objective, g ledger.Group) ledger.Status {
	from, length := s.now-o.Window, o.Window
	if o.Calendar != nil {
		start, end, err := o.Calendar.Bounds(s.now)
		if err != nil {
			s.t.Fatal(err)
		}
		from, length = start, end-start
	}
	st := ledger.Status{Objective: o.Name, Group: g.Key, LogTime: s.now, Window: s.sum(g.Key, from, s.now+1), State: "up", LastSample: s.now - 700}
	st.Attainment = sla.Ratio{Num: st.Window.Good, Den: st.Window.Total}
	if o.Budgeting == budgetingSlots {
		st.Attainment = sla.Ratio{Num: st.Window.GoodSlots, Den: st.Window.GoodSlots + st.Window.BadSlots}
	}
	age := s.now - max(g.FirstSlot, from)
	st.BudgetLeft = 1 - o.Rate(st.Attainment.Num, st.Attainment.Den, slo.Extent{Length: length, Age: age, Slot: minuteMs}).Burn
	for _, row := range o.Burn {
		long, short := s.burn(o, g, row.Long), s.burn(o, g, row.Short)
		st.Burn = append(st.Burn, ledger.BurnRate{Long: long.Burn, Short: short.Burn, Firing: row.Holds(long, short)})
	}
	return st
}

func (s *scenario) burn(o *slo.Objective, g ledger.Group, length int64) slo.Rate {
	t := s.sum(g.Key, s.now-length, s.now+1)
	e := slo.Extent{Length: length, Age: s.now - g.FirstSlot, Slot: minuteMs}
	if o.Budgeting == budgetingSlots {
		return o.Rate(t.GoodSlots, t.GoodSlots+t.BadSlots, e)
	}
	return o.Rate(t.Good, t.Total, e)
}

func (s *scenario) statuses() (out []ledger.Status) {
	for _, o := range s.rules.Objectives {
		for _, target := range [][]ledger.Group{s.api, s.db} {
			g := target[0]
			if o.StreamID == s.slow.ID() {
				g = target[1]
			}
			out = append(out, s.status(o, g))
		}
	}
	return out
}

// news is the newest commit: statuses, alerts, agents, gaps.
func (s *scenario) news() *ledger.Batch {
	seen := func(agent, host, zone, region string, boot, frames uint64, age int64) wire.AgentSeen {
		return wire.AgentSeen{Agent: agent, Boot: boot, Host: telemetry.NewLabels(map[string]string{"host": host, "zone": zone, "region": region, "rack": "r1"}),
			Frames: frames, Samples: frames * 104, LastSeq: frames, Newest: s.now - age, Skew: 35}
	}
	labels := func(name, severity, kind string, l telemetry.Labels) map[string]string {
		m := l.Map()
		m["alertname"], m["severity"], m["kind"], m["objective"], m["service"] = name, severity, kind, "probe-availability", "edge"
		return m
	}
	burning := labels("ErrorBudgetBurn", alert.Ticket, "burn", s.apiLab)
	burning["window"] = "3d"
	return &ledger.Batch{
		Statuses: s.statuses(),
		Alerts: []alert.Alert{
			{Status: alert.Firing, Labels: burning, StartsAt: s.now - 110*minuteMs, LogTime: s.now, Source: "evaluate/0",
				Annotations: map[string]string{"summary": "https://api.example.net/health (probe-availability) burns its error budget 4.7 times too fast over 3d and 18.7 times over 6h (limit 1.0)"}},
			{Status: alert.Resolved, Labels: labels("ConfirmedDown", alert.Page, "down", s.apiLab), StartsAt: s.now - 119*minuteMs, EndsAt: s.now - 100*minuteMs,
				LogTime: s.now, Source: "evaluate/0", Annotations: map[string]string{"summary": "https://api.example.net/health is down: 3 probes in a row failed from 1 of 1 vantage points (probe-1)"}},
		},
		Agents: []wire.AgentSeen{
			seen("probe-1", "probe-1", "eu-west-1a", "eu-west", 0xa1, 4000, 120_000),
			seen("probe-1", "probe-1", "eu-west-1a", "eu-west", 0xa2, 900, 700),
			seen("probe-2", "probe-2", "ap-south-1b", "ap-south", 0xb1, 5000, 800),
		},
		Gaps: []wire.Gap{{Agent: "probe-1", Boot: 0xa2, FirstSeq: 1, LastSeq: 2, From: s.now - 112*minuteMs, To: s.now - 112*minuteMs + 1800, Reason: wire.ReasonRestart}},
	}
}
