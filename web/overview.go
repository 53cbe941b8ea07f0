package web

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"

	"nines/internal/ledger"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// overviewGroups is how many groups of an objective the overview shows, worst
// first: it is pushed to every page once a second.
const overviewGroups = 50

func (s *Server) getOverview(r *http.Request) (any, error) { return s.overview(r.Context()) }

func (s *Server) overview(ctx context.Context) (*overviewView, error) {
	logTime, err := s.o.Ledger.LogTime(ctx)
	if err != nil {
		return nil, err
	}
	objectives, err := s.objectives(ctx, overviewGroups)
	if err != nil {
		return nil, err
	}
	alerts, err := s.alerts(ctx)
	if err != nil {
		return nil, err
	}
	regions, err := s.regions(ctx, logTime, alerts)
	if err != nil {
		return nil, err
	}
	v := &overviewView{Now: s.now().UnixMilli(), LogTime: logTime, Version: s.o.Version, DataDir: s.o.DataDir,
		Regions: regions, Objectives: objectives}
	for _, a := range alerts {
		if a.Status == statusFiring && !a.Silenced {
			v.Alerts.add(a.Labels["severity"])
		}
	}
	return v, nil
}

// add counts an alert; severities of foreign rule files count as the one that
// they mean.
func (c *alertCounts) add(severity string) {
	switch severity {
	case "page", "critical":
		c.Page++
	case "ticket", "warning":
		c.Ticket++
	default:
		c.Advisory++
	}
}

func (s *Server) getObjectives(r *http.Request) (any, error) {
	return s.objectives(r.Context(), math.MaxInt)
}

func (s *Server) getObjective(r *http.Request) (any, error) {
	name := r.PathValue("name")
	all, err := s.objectives(r.Context(), math.MaxInt)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Name == name {
			return all[i], nil
		}
	}
	return nil, notFound("there is no objective %s; GET /api/nines/v1/objectives lists them", quoteShort(name))
}

// rules returns the rule set in force; an empty one before the first.
func (s *Server) rules(ctx context.Context) (*slo.RuleSet, error) {
	if s.o.Rules != nil {
		if rs := s.o.Rules(); rs != nil {
			return rs, nil
		}
	}
	rs, _, err := s.o.Ledger.CurrentRuleSet(ctx)
	if errors.Is(err, ledger.ErrNotFound) {
		return &slo.RuleSet{}, nil
	}
	return rs, err
}

// objectives sums up every objective, with at most limit groups of each.
func (s *Server) objectives(ctx context.Context, limit int) ([]objectiveView, error) {
	rs, err := s.rules(ctx)
	if err != nil {
		return nil, err
	}
	statuses, err := s.o.Ledger.Statuses(ctx, s.who)
	if err != nil {
		return nil, err
	}
	groups, err := s.o.Ledger.Groups(ctx, s.who, ledger.GroupFilter{})
	if err != nil {
		return nil, err
	}
	labels := make(map[wire.GroupKey]telemetry.Labels, len(groups))
	for i := range groups {
		labels[groups[i].Key] = groups[i].Labels
	}
	byName := map[string][]*ledger.Status{}
	for i := range statuses {
		if _, live := labels[statuses[i].Group]; live {
			byName[statuses[i].Objective] = append(byName[statuses[i].Objective], &statuses[i])
		}
	}
	out := make([]objectiveView, 0, len(rs.Objectives))
	for _, o := range rs.Objectives {
		out = append(out, objectiveOf(o, rs.Streams[o.StreamID], byName[o.Name], labels, limit))
	}
	return out, nil
}

func objectiveOf(o *slo.Objective, st *slo.Stream, statuses []*ledger.Status, labels map[wire.GroupKey]telemetry.Labels, limit int) objectiveView {
	v := objectiveView{
		Name: o.Name, DisplayName: o.DisplayName, Service: o.Service, Description: o.Description,
		Target: o.Target, TargetPct: strings.TrimSuffix(o.Target.String(), " %"), Budgeting: o.Budgeting,
		WindowMs: o.Window, Calendar: o.Calendar, Stream: o.StreamID, Groups: []groupView{},
	}
	v.describe(st)
	all := make([]standing, 0, len(statuses))
	for _, status := range statuses {
		if status.Group.Stream != o.StreamID {
			continue // of an earlier definition of the objective
		}
		v.GroupsTotal++
		if status.Attainment.Den > 0 {
			v.GroupsDecided++
			if status.Attainment.Cmp(o.Target) >= 0 {
				v.GroupsMet++
			}
		}
		all = append(all, standing{status, labels[status.Group].String()})
	}
	slices.SortStableFunc(all, worstFirst)
	for _, s := range all[:min(limit, len(all))] {
		v.Groups = append(v.Groups, groupOf(o, s.Status, labels[s.Group]))
	}
	return v
}

// standing is a group's status with its labels as text. Groups are ordered before
// they are shown: an objective has thousands of which fifty are.
type standing struct {
	*ledger.Status
	text string
}

// describe says what the stream counts.
func (v *objectiveView) describe(st *slo.Stream) {
	if st == nil {
		return
	}
	v.SlotMs = st.Rule.Length
	switch {
	case st.Total != nil:
		v.Kind, v.Metric = "ratio", st.Total.Metric
	case st.Sample != nil:
		v.Kind, v.Metric = kindOf(st), st.Sample.Metric
		if t := st.Threshold; v.Kind != "availability" && !math.IsInf(t, 0) && !math.IsNaN(t) {
			v.Threshold = &t
		}
	}
}

// kindOf tells the SLI of a gauge: 1 or 0 is availability, a duration below a
// threshold latency; any other comparison makes a ratio of good samples.
func kindOf(st *slo.Stream) string {
	name := st.Sample.Metric
	switch {
	case (st.Op == slo.GTE || st.Op == slo.GT) && st.Threshold <= 1:
		return "availability"
	case (st.Op == slo.LTE || st.Op == slo.LT) && (strings.Contains(name, "seconds") || strings.Contains(name, "latency")):
		return "latency"
	}
	return "ratio"
}

func groupOf(o *slo.Objective, s *ledger.Status, labels telemetry.Labels) groupView {
	g := groupView{
		ID: groupID(s.Group), Labels: labels.Map(), State: s.State, Down: s.Down,
		Attainment: s.Attainment, AttainmentPct: s.Attainment.Percent(), BudgetLeft: finite(s.BudgetLeft), Burn: []burnView{},
		Good: s.Window.Good, Total: s.Window.Total,
		GoodSlots: s.Window.GoodSlots, BadSlots: s.Window.BadSlots, UnknownSlots: s.Window.UnknownSlots,
		LastSample: s.LastSample, LogTime: s.LogTime,
	}
	for i, row := range o.Burn {
		b := burnView{Severity: row.Severity, LongMs: row.Long, ShortMs: row.Short, Factor: row.Factor}
		if i < len(s.Burn) {
			b.Long, b.Short, b.Firing = finite(s.Burn[i].Long), finite(s.Burn[i].Short), s.Burn[i].Firing
		}
		g.Burn = append(g.Burn, b)
	}
	return g
}

// finite keeps what JSON cannot say out of the answers.
func finite(v float64) float64 {
	switch {
	case math.IsNaN(v):
		return 0
	case math.IsInf(v, 1):
		return math.MaxFloat64
	case math.IsInf(v, -1):
		return -math.MaxFloat64
	}
	return v
}

// worstFirst orders groups by what needs a person first: down, failing, silent,
// the rest; then by the budget left, then by name.
func worstFirst(a, b standing) int {
	return cmp.Or(
		cmp.Compare(a.rank(), b.rank()),
		cmp.Compare(finite(a.BudgetLeft), finite(b.BudgetLeft)),
		strings.Compare(a.text, b.text),
	)
}

func (s *standing) rank() int {
	switch {
	case s.Down == "down" || s.State == "down":
		return 0
	case s.State == "failing" || s.Down == "advisory":
		return 1
	case s.State == "silent":
		return 2
	}
	return 3
}
