package rules

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/yamlconf"
)

// runsSpec says how unreachable time makes the settled slots.
type runsSpec struct {
	Slot       *yamlconf.Duration `yaml:"slot"`
	AtLeast    *yamlconf.Duration `yaml:"atLeast"`
	LongerThan *yamlconf.Duration `yaml:"longerThan"`
	Alignment  string             `yaml:"alignment"`
	Count      string             `yaml:"count"`
	DownFor    *yamlconf.Duration `yaml:"downForMoreThan"`
}

type zonesSpec struct {
	Rule    string   `yaml:"rule"`
	AtLeast int      `yaml:"atLeast"`
	Label   string   `yaml:"label"`
	Within  []string `yaml:"within"`
}

type termSpec struct {
	Category  string            `yaml:"category"`
	Notice    yamlconf.Duration `yaml:"notice"`
	Allowance yamlconf.Duration `yaml:"allowance"`
}

type recurrenceSpec struct {
	Days []string `yaml:"days"`
	From string   `yaml:"from"`
	To   string   `yaml:"to"`
}

type changesSpec struct {
	Settle string       `yaml:"settle"`
	At     []changeSpec `yaml:"at"`
}

type changeSpec struct {
	From     string                `yaml:"from"`
	Reason   string                `yaml:"reason"`
	Customer string                `yaml:"customer"`
	Fee      *feeSpec              `yaml:"fee"`
	Tiers    map[string][]tierSpec `yaml:"tiers"`
}

type restatementSpec struct {
	Direction string             `yaml:"direction"`
	Cutoff    *yamlconf.Duration `yaml:"cutoff"`
}

type chronicSpec struct {
	Below  string `yaml:"below"`
	Months int    `yaml:"months"`
	Of     int    `yaml:"of"`
}

// runs compiles the rule of an objective; nil where none is declared.
func (c *compiler) runs(d *yamlconf.Doc, at string, s *runsSpec, stream *slo.Stream, loc *time.Location) *sla.Runs {
	if s == nil {
		return nil
	}
	out := &sla.Runs{}
	if rule := stream.Rule.Bad; rule != sla.BadUnreachable && rule != sla.BadAnyFailure {
		c.fail(d, at, nil, "belongs to badWhen: unreachable and any_failure")
	}
	if s.Slot == nil {
		c.fail(d, at+".slot", nil, "is required: the length of the settled slots")
		return nil
	}
	out.Slot = s.Slot.Milliseconds()
	switch {
	case out.Slot < stream.Rule.Length || out.Slot%max(stream.Rule.Length, 1) != 0 || out.Slot > 86_400_000 || 86_400_000%out.Slot != 0:
		c.fail(d, at+".slot", s.Slot, "want a multiple of the slot's length that divides a day")
	case !regular(out.Slot, loc):
		c.fail(d, at+".slot", s.Slot, "slots of this length are not aligned to the clock of %s", loc)
	}
	if s.AtLeast != nil && s.LongerThan != nil {
		c.fail(d, at, nil, "want either atLeast or longerThan")
	}
	for _, run := range []*yamlconf.Duration{s.AtLeast, s.LongerThan} {
		if run != nil {
			out.MinRun = run.Milliseconds()
			if out.MinRun < 0 || out.MinRun > 7*86_400_000 {
				c.fail(d, at, run, "want a run from 0s to 7d")
			}
		}
	}
	out.Longer = s.LongerThan != nil
	c.runCount(d, at, s, out)
	return out
}

func (c *compiler) runCount(d *yamlconf.Doc, at string, s *runsSpec, out *sla.Runs) {
	switch s.Alignment {
	case "", "clock":
	case "run":
		out.RunAligned = true
	default:
		c.fail(d, at+".alignment", s.Alignment, "want clock or run")
	}
	switch s.Count {
	case "", "covered":
	case "touched":
		out.Touched = true
		if out.RunAligned {
			c.fail(d, at+".count", s.Count, "belongs to alignment: clock; slots of a run are counted where it covers them")
		}
	default:
		c.fail(d, at+".count", s.Count, "want covered or touched")
	}
	if s.DownFor == nil {
		return
	}
	out.Over = s.DownFor.Milliseconds()
	if out.Over <= 0 || out.Over >= out.Slot {
		c.fail(d, at+".downForMoreThan", s.DownFor, "want more than 0s and less than the slot")
	}
	if out.RunAligned || s.Count != "" {
		c.fail(d, at+".downForMoreThan", s.DownFor, "takes the place of alignment and count")
	}
}

// regular tells whether slots counted from local midnight stay on the clock: all
// offsets of recent and coming years differ by multiples of the length.
func regular(length int64, loc *time.Location) bool {
	first := int64(0)
	for year := 2020; year < 2040; year++ {
		for month := range 12 {
			_, seconds := time.Date(year, time.Month(month+1), 1, 0, 0, 0, 0, loc).Zone()
			offset := int64(seconds) * 1000
			if year == 2020 && month == 0 {
				first = offset
			}
			// Longer slots begin an hour off after a change of an hour.
			if (offset-first)%min(length, 3_600_000) != 0 {
				return false
			}
		}
	}
	return true
}

func (c *compiler) zones(d *yamlconf.Doc, at string, s *zonesSpec, stream *slo.Stream) *sla.Zones {
	if s == nil {
		return nil
	}
	out := &sla.Zones{Rule: sla.ZoneRule(s.Rule), AtLeast: s.AtLeast, Label: s.Label, Within: slices.Clone(s.Within)}
	if !slices.Contains([]sla.ZoneRule{sla.AllAny, sla.AllAll, sla.RegionWide}, out.Rule) {
		c.fail(d, at+".rule", s.Rule, "want all+any, all+all or region-wide")
	}
	switch {
	case out.Rule == sla.AllAll && s.AtLeast == 0:
		out.AtLeast = 2
	case out.Rule == sla.AllAll && s.AtLeast < 2:
		c.fail(d, at+".atLeast", s.AtLeast, "want at least 2 zones")
	case out.Rule != sla.AllAll && s.AtLeast != 0:
		c.fail(d, at+".atLeast", s.AtLeast, "belongs to rule: all+all")
	}
	if out.Label == "" {
		out.Label = "zone"
	}
	for _, label := range append([]string{out.Label}, out.Within...) {
		if !slices.Contains(stream.GroupBy, label) {
			c.fail(d, at, label, "want labels among groupBy: instances are told apart by them")
		}
	}
	return out
}

func (c *compiler) terms(d *yamlconf.Doc, specs []termSpec) (out []sla.ExclusionTerm) {
	for i, s := range specs {
		at := "spec.exclusionTerms[" + strconv.Itoa(i) + "]"
		t := sla.ExclusionTerm{Category: s.Category, Notice: s.Notice.Milliseconds(), Allowance: s.Allowance.Milliseconds()}
		switch {
		case t.Category == "":
			c.fail(d, at+".category", nil, "is required")
		case slices.ContainsFunc(out, func(o sla.ExclusionTerm) bool { return o.Category == t.Category }):
			c.fail(d, at+".category", t.Category, "this category already has terms")
		case t.Notice < 0 || t.Allowance < 0 || t.Notice+t.Allowance == 0:
			c.fail(d, at, nil, "want notice or allowance, or both")
		}
		out = append(out, t)
	}
	return out
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (c *compiler) recurrence(d *yamlconf.Doc, at string, s *recurrenceSpec, zone string) *sla.Recurrence {
	out := &sla.Recurrence{TimeZone: zone, From: c.wallTime(d, at+".from", s.From), To: c.wallTime(d, at+".to", s.To)}
	for i, day := range s.Days {
		n := slices.Index(weekdays, day)
		if n < 0 {
			c.fail(d, at+".days["+strconv.Itoa(i)+"]", day, "want %s", strings.Join(weekdays, ", "))
		}
		out.Days = append(out.Days, n)
	}
	return out
}

// wallTime reads 08:30 or 24:00, and returns milliseconds from midnight.
func (c *compiler) wallTime(d *yamlconf.Doc, at, text string) int64 {
	hour, minute, ok := strings.Cut(text, ":")
	h, err1 := strconv.ParseUint(hour, 10, 8)
	m, err2 := strconv.ParseUint(minute, 10, 8)
	if !ok || len(hour) != 2 || len(minute) != 2 || err1 != nil || err2 != nil || m > 59 || h*60+m > 1440 {
		c.fail(d, at, text, "want a time of day such as 08:30, quoted")
		return 0
	}
	return int64(h*60+m) * 60_000
}

func (c *compiler) changes(d *yamlconf.Doc, s *changesSpec, contract *sla.Contract) *sla.Changes {
	if s == nil {
		return nil
	}
	out := &sla.Changes{Apart: s.Settle == "apart"}
	if s.Settle != "apart" && s.Settle != "pooled" {
		c.fail(d, "spec.changes.settle", s.Settle, "want pooled or apart: how the parts of a period are settled")
	}
	for i := range s.At {
		at := "spec.changes.at[" + strconv.Itoa(i) + "]"
		ch := &s.At[i]
		next := sla.Change{From: c.instant(d, at+".from", ch.From), Reason: ch.Reason, Customer: ch.Customer}
		if ch.Reason == "" {
			c.fail(d, at+".reason", nil, "is required")
		}
		if ch.Fee != nil {
			changed := sla.Contract{}
			c.fee(d, at+".fee", ch.Fee, &changed)
			if changed.Fee.Currency != contract.Fee.Currency || changed.Fee.PerResource != contract.Fee.PerResource {
				c.fail(d, at+".fee", nil, "want the contract's currency and per")
			}
			next.Fee = &changed.Fee
		}
		for name, tiers := range ch.Tiers {
			if !slices.ContainsFunc(contract.Objectives, func(o sla.Objective) bool { return o.Name == name }) {
				c.fail(d, at+".tiers."+yamlconf.Key(name), name, "no objective has this name")
			}
			if next.Tiers == nil {
				next.Tiers = map[string][]sla.Tier{}
			}
			next.Tiers[name] = c.tiers(d, at+".tiers."+yamlconf.Key(name), tiers)
		}
		out.At = append(out.At, next)
	}
	return out
}

func (c *compiler) restatement(d *yamlconf.Doc, s *restatementSpec) *sla.Revision {
	const at = "spec.restatement"
	if s == nil {
		return nil
	}
	if s.Direction != "customer-favour" && s.Direction != "both" {
		c.fail(d, at+".direction", s.Direction, "want customer-favour or both")
	}
	if s.Cutoff == nil || s.Cutoff.Milliseconds() <= 0 {
		c.fail(d, at+".cutoff", nil, "is required: for how long after its end a period may be settled again, such as 90d")
		return nil
	}
	return &sla.Revision{CustomerFavour: s.Direction == "customer-favour", Cutoff: s.Cutoff.Milliseconds()}
}

func (c *compiler) chronic(d *yamlconf.Doc, s *chronicSpec) *sla.Chronic {
	if s == nil {
		return nil
	}
	out := &sla.Chronic{Below: c.share(d, "spec.chronic.below", s.Below), Months: s.Months, Of: s.Of}
	if out.Below.Den == 0 || s.Months < 1 || s.Of < s.Months || s.Of > 120 {
		c.fail(d, "spec.chronic", nil, "want below (percent), months and of, with 1 ≤ months ≤ of ≤ 120")
	}
	return out
}
