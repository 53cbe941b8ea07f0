package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"nines/internal/replay"
	"nines/internal/yamlconf"
)

// bars draw a share between the lowest day and all good.
const bars = "▁▂▃▄▅▆▇█"

// spark draws attainment by day: the lowest day is the lowest bar, a day without
// data a dot. Many days share a bar, the lowest of them.
func spark(s *replay.Standing) string {
	const width = 62
	low := 1.0
	values := make([]float64, len(s.Days))
	for i := range s.Days {
		values[i] = -1
		if a := s.Days[i].Attainment(s.Objective); a.Den > 0 {
			values[i] = float64(a.Num) / float64(a.Den)
			low = min(low, values[i])
		}
	}
	glyphs := []rune(bars)
	var b strings.Builder
	each := (len(values) + width - 1) / width
	for days := range slices.Chunk(values, max(each, 1)) {
		worst := -1.0
		for _, v := range days {
			if v >= 0 && (worst < 0 || v < worst) {
				worst = v
			}
		}
		switch {
		case worst < 0:
			b.WriteRune('·')
		case low >= 1:
			b.WriteRune(glyphs[len(glyphs)-1])
		default:
			b.WriteRune(glyphs[int((worst-low)/(1-low)*float64(len(glyphs)-1))])
		}
	}
	return b.String()
}

// printStandings prints a table for each objective, a line for each group.
func printStandings(out io.Writer, standings []replay.Standing) {
	for len(standings) > 0 {
		o := standings[0].Objective
		n := slices.IndexFunc(standings, func(s replay.Standing) bool { return s.Objective != o })
		if n < 0 {
			n = len(standings)
		}
		fmt.Fprintf(out, "%s: target %s, slots of %s\n", o.Name, o.Target,
			yamlconf.Duration(time.Duration(standings[0].Stream.Rule.Length)*time.Millisecond))
		printGroups(out, standings[:n])
		fmt.Fprintln(out)
		standings = standings[n:]
	}
}

func printGroups(out io.Writer, standings []replay.Standing) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  group\tattained\t\tgood\tbad\tunknown\tby day\tlowest days")
	for i := range standings {
		s := &standings[i]
		var low []string
		for _, d := range s.Lowest(2) {
			low = append(low, d.Start.Format("01-02 ")+d.Attainment(s.Objective).Percent())
		}
		sum := &s.Sum
		fmt.Fprintf(w, "  %s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", groupName(s), cmp.Or(sum.Attainment(s.Objective).Percent(), "-"), verdict(s),
			sum.GoodSlots, sum.BadSlots, sum.UnknownSlots, spark(s), cmp.Or(strings.Join(low, ", "), "-"))
	}
	_ = w.Flush() // a failing standard output is found by its user
}

// groupName is the values of the group's labels.
func groupName(s *replay.Standing) string {
	var values []string
	for _, l := range s.Labels {
		values = append(values, l.Value)
	}
	return cmp.Or(strings.Join(values, " "), "all")
}

// verdict tells whether the group kept its target over all.
func verdict(s *replay.Standing) string {
	switch got := s.Sum.Attainment(s.Objective); {
	case got.Den == 0:
		return "no data"
	case got.Cmp(s.Objective.Target) < 0:
		return "missed"
	}
	return "kept"
}

// printDaily prints a table of attainment by day, a column for each objective,
// for each combination of labels.
func printDaily(out io.Writer, standings []replay.Standing) {
	byLabels := map[string][]*replay.Standing{}
	var order []string
	for i := range standings {
		key := standings[i].Labels.String()
		if byLabels[key] == nil {
			order = append(order, key)
		}
		byLabels[key] = append(byLabels[key], &standings[i])
	}
	slices.Sort(order)
	for _, key := range order {
		if key != "{}" {
			fmt.Fprintln(out, key)
		}
		printDays(out, byLabels[key])
		fmt.Fprintln(out)
	}
}

func printDays(out io.Writer, standings []*replay.Standing) {
	days := map[time.Time][]string{}
	for col, s := range standings {
		for i := range s.Days {
			d := &s.Days[i]
			row := days[d.Start]
			for len(row) < len(standings) {
				row = append(row, "-")
			}
			if a := d.Attainment(s.Objective); a.Den > 0 {
				row[col] = a.Percent()
			}
			days[d.Start] = row
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "day\t")
	for _, s := range standings {
		fmt.Fprint(w, s.Objective.Name, "\t")
	}
	fmt.Fprintln(w)
	order := make([]time.Time, 0, len(days))
	for d := range days {
		order = append(order, d)
	}
	slices.SortFunc(order, time.Time.Compare)
	for _, d := range order {
		fmt.Fprintf(w, "%s\t%s\t\n", d.Format(time.DateOnly), strings.Join(days[d], "\t"))
	}
	fmt.Fprint(w, "all\t")
	for _, s := range standings {
		if a := s.Sum.Attainment(s.Objective); a.Den > 0 {
			fmt.Fprint(w, a.Percent(), "\t")
		} else {
			fmt.Fprint(w, "-\t")
		}
	}
	fmt.Fprintln(w)
	_ = w.Flush() // a failing standard output is found by its user
}
