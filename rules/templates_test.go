package rules

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/internal/sla"
	"nines/internal/sla/clauses"
)

// november is the month in which the templates are settled; those over rolling
// days go back from its end.
func november(c *sla.Contract) sla.Period {
	p := sla.Period{Name: "2026-11", Start: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), End: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC).UnixMilli()}
	if c.RollingDays > 0 {
		p.Start = p.End - int64(c.RollingDays)*86_400_000
	}
	return p
}

// factsFile writes facts in which exactly the first n slots of the objective are
// bad, and one is unknown if asked for.
func factsFile(p sla.Period, o *sla.Objective, n int64, unknown bool) string {
	var b strings.Builder
	b.WriteString("resource,zone,start,end,state,value\n")
	row := func(resource, zone string, start, end int64, state, value string) {
		if end > start {
			at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
			fmt.Fprintf(&b, "%s,%s,%s,%s,%s,%s\n", resource, zone, at(start), at(end), state, value)
		}
	}
	length := o.Length()
	instances := [][2]string{{"i-1", ""}}
	if o.Zones != nil {
		instances = [][2]string{{"i-1", "a"}, {"i-2", "b"}}
	}
	for _, i := range instances {
		end := p.Start + n*length
		switch {
		case o.Slot.Bad == sla.BadRatio || o.Slot.Bad == sla.BadAllFailed:
			row(i[0], i[1], p.Start, end, "requests", "100:100")
			row(i[0], i[1], end, p.End, "requests", "100:0")
		case o.Runs != nil && o.Runs.Over > 0:
			for k := range n {
				row(i[0], i[1], p.Start+k*length, p.Start+k*length+o.Runs.Over+1000, "down", "")
			}
			row(i[0], i[1], end, end+o.Runs.Over, "down", "") // not more than the limit
		case o.Runs != nil && o.Runs.Longer && n > 0:
			row(i[0], i[1], p.Start, end+1000, "down", "")
		default:
			row(i[0], i[1], p.Start, end, "down", "")
		}
		if unknown {
			at := p.Start + 5000*length/int64(max(1, int(length/60_000)))
			at -= (at - p.Start) % length
			until := at + length
			if o.Runs != nil && o.Runs.Longer {
				until += 1000 // else it is too short to matter
			}
			row(i[0], i[1], at, until, "unknown", "")
		}
		row(i[0], i[1], p.End, p.End+1000, "down", "") // mentions it, after the period
	}
	return b.String()
}

// TestTemplates settles each shipped contract at its edges: of each tier the last
// bad slot that does not reach it and the first that does, then with one of these
// excluded and another slot unknown.
func TestTemplates(t *testing.T) {
	files, err := filepath.Glob("../configs/contracts/templates/*.yaml")
	if err != nil || len(files) < 24 {
		t.Fatal(len(files), err)
	}
	var out, reading strings.Builder
	for _, file := range files {
		set, err := Load([]string{file})
		if err != nil {
			t.Fatal(err)
		}
		c := set.Contracts[0]
		if len(set.Contracts) != 1 || c.Name+".yaml" != filepath.Base(file) || len(set.Warnings) > 0 {
			t.Errorf("%s holds %d contracts, the first is %s; warnings %v", file, len(set.Contracts), c.Name, set.Warnings)
		}
		reading.WriteString(Describe(c))
		fmt.Fprintf(&out, "%s\n", c.Name)
		for i := range c.Objectives {
			template(t, &out, c, i)
		}
	}
	golden(t, "testdata/templates.txt", out.String())
	golden(t, "testdata/templates-reading.txt", reading.String())
}

func template(t *testing.T, out *strings.Builder, whole *sla.Contract, i int) {
	c := *whole
	c.Objectives = c.Objectives[i : i+1]
	o := &c.Objectives[0]
	p := november(&c)
	settle := func(n int64, unknown bool, x ...sla.Exclusion) sla.Settlement {
		t.Helper()
		in, err := ReadFacts("facts.csv", []byte(factsFile(p, o, n, unknown)), &c)
		if err != nil {
			t.Fatal(err)
		}
		with := c
		with.Exclusions = x
		s := clauses.Settle(&with, p, time.UTC, in)
		if want := uint64(n) - uint64(len(x)); s.Slots.Bad != want {
			t.Errorf("%s: %d bad slots, want %d", c.Name, s.Slots.Bad, want)
		}
		return s
	}
	slots := uint64(p.Slots(o.Length()))
	before := "0"
	for _, tier := range o.Tiers {
		// More than this share of the slots is bad: below the bound.
		last := int64(slots * (tier.Below.Den - tier.Below.Num) / tier.Below.Den)
		kept, missed := settle(last, false), settle(last+1, false)
		want := strings.TrimSuffix(tier.Credit.String(), " %")
		if tier.Lost {
			want = missed.Credit.Percent
		}
		if kept.Credit.Percent != before || missed.Credit.Percent != want || missed.Credit.Minor <= kept.Credit.Minor {
			t.Errorf("%s below %s: %d bad slots pay %s %%, %d pay %s %%; want %s, then %s", c.Name, tier.Below, last, kept.Credit.Percent, last+1, missed.Credit.Percent, before, want)
		}
		before = missed.Credit.Percent
		fmt.Fprintf(out, "  %s below %s: %d bad of %d (%s %%) pay %s, %d (%s %%) pay %s\n", o.Name, tier.Below,
			last, slots, kept.AttainmentPct, kept.Credit.Amount, last+1, missed.AttainmentPct, missed.Credit.Amount)
	}
	first := int64(slots*(o.Tiers[0].Below.Den-o.Tiers[0].Below.Num)/o.Tiers[0].Below.Den) + 1
	s := settle(first, true, sla.Exclusion{Start: p.Start, End: p.Start + o.Length(), Effect: sla.Removed, Category: "maintenance", Reason: "test", Author: "lee", ApprovedBy: "kim",
		Announced: p.Start - 30*86_400_000})
	if s.Slots.Unknown != 1 || s.Slots.Excluded != 1 {
		t.Errorf("%s: %+v, want 1 unknown and 1 excluded", c.Name, s.Slots)
	}
	fmt.Fprintf(out, "  %s, %d bad, 1 of them excluded, 1 unknown: %s %% (%s to %s) pay %s (%s to %s)\n", o.Name, first, s.AttainmentPct,
		s.Bounds.AttainmentLowPct, s.Bounds.AttainmentHighPct, s.Credit.Amount, s.Bounds.CreditLow, s.Bounds.CreditHigh)
}
