package replay

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"nines/internal/rows"
	"nines/internal/slo"
	"nines/internal/telemetry"
)

// Unfed returns why objectives would see nothing of what the mapping makes: one
// line for each metric that they count and it does not make, or makes as another
// kind.
func Unfed(set *slo.RuleSet, m *rows.Mapping) []string {
	made, more := m.Makes()
	var out []string
	for _, o := range set.Objectives {
		st := set.Streams[o.StreamID]
		if st == nil {
			continue
		}
		for _, sel := range []*slo.Selector{st.Sample, st.Good, st.Bad, st.Total} {
			if sel == nil {
				continue
			}
			kind, ok := made[sel.Metric]
			want := telemetry.Counter
			if st.Sample != nil || st.Gauge {
				want = telemetry.Gauge
			}
			switch {
			case !ok && st.Sample != nil && made[sel.Metric+"_bucket"] == telemetry.Counter:
				// a classic histogram
			case !ok && !more:
				out = append(out, fmt.Sprintf("objective %s counts %s, which the mapping does not make; it makes %s",
					o.Name, sel.Metric, strings.Join(slices.Sorted(maps.Keys(made)), ", ")))
			case ok && kind != want:
				out = append(out, fmt.Sprintf("objective %s counts %s as a %s, the mapping makes a %s of it: see kind there, and counter in the objective",
					o.Name, sel.Metric, want, kind))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
