package rules

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"nines/internal/slo"
)

// isComposite tells whether the objectives of an SLO are parts of one: they have
// indicators of their own, or weights.
func isComposite(s *document[sloSpec]) bool {
	if len(s.Spec.Objectives) < 2 {
		return false
	}
	return slices.ContainsFunc(s.Spec.Objectives, func(o objectiveSpec) bool {
		return o.Indicator != nil || o.IndicatorRef != "" || !o.CompositeWeight.IsZero()
	})
}

// compose adds the objective that the parts make together. It alone alerts on
// the budget; the parts show where it goes.
func (c *compiler) compose(s *document[sloSpec], parts []*slo.Objective, a alerts) {
	d := s.doc
	first := parts[0]
	out := &slo.Objective{Name: s.Metadata.Name, DisplayName: s.Metadata.DisplayName, Service: s.Spec.Service, Description: s.Spec.Description,
		StreamID: first.StreamID, Target: first.Target, Budgeting: s.Spec.BudgetingMethod, Window: first.Window, Calendar: first.Calendar,
		Source: fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line("spec.objectives"))}
	groupBy := c.set.RuleSet.Streams[first.StreamID].GroupBy
	var worst []slo.Part
	for i, p := range parts {
		weight, ok := c.weight(s, i)
		if !ok {
			return
		}
		if !slices.Equal(c.set.RuleSet.Streams[p.StreamID].GroupBy, groupBy) {
			c.fail(d, objectivePath(i), nil, "the parts of a composite are summed up by group: its groupBy %v differs from that of the first, %v",
				c.set.RuleSet.Streams[p.StreamID].GroupBy, groupBy)
			return
		}
		if p.Target.Cmp(out.Target) < 0 {
			out.Target = p.Target
		}
		out.Components = append(out.Components, slo.Component{Objective: p.Name, StreamID: p.StreamID, Weight: weight})
		worst = append(worst, slo.Part{Weight: weight, Value: slo.Burn(0, 1, p.Target)})
	}
	c.alerting(a, c.bases[first.Name], out)
	c.reachable(d, "spec.objectives", out, slo.Composite(worst))
	c.set.RuleSet.Objectives = append(c.set.RuleSet.Objectives, out)
}

// weight reads compositeWeight, which is 1 unless declared.
func (c *compiler) weight(s *document[sloSpec], i int) (float64, bool) {
	raw := s.Spec.Objectives[i].CompositeWeight
	if raw.IsZero() {
		return 1, true
	}
	text, _ := raw.Text()
	w, err := strconv.ParseFloat(text, 64)
	if err != nil || !(w > 0) || math.IsInf(w, 0) {
		c.fail(s.doc, objectivePath(i)+".compositeWeight", text, "want a finite number above 0")
		return 0, false
	}
	return w, true
}
