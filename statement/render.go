package statement

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"nines/internal/sla"
)

// WriteJSON writes the settlement as JSON with its fixed keys, indented.
func WriteJSON(w io.Writer, s *sla.Settlement) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return fmt.Errorf("write settlement of %s: %w", s.Contract, err)
	}
	return nil
}

// WriteTable writes the settlement for terminals: the figures, one line an
// objective and resource, then the steps of the calculation.
func WriteTable(w io.Writer, s *sla.Settlement) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Contract %s, %s (%s)\n\n", clean(s.Contract), s.Period, s.TimeZone)
	figuresTable(&b, s)
	fmt.Fprintf(&b, "\nCredit %s %s (%s %% of the fee)", s.Credit.Amount, s.Credit.Currency, s.Credit.Percent)
	if s.Bounds.CreditLow != s.Bounds.CreditHigh {
		fmt.Fprintf(&b, "; between %s with all unknown slots good and %s with all bad", s.Bounds.CreditLow, s.Bounds.CreditHigh)
	}
	b.WriteString("\n\nSteps\n")
	for i, step := range s.Steps {
		fmt.Fprintf(&b, "%3d  %s: %s\n", i+1, clean(step.Clause), clean(step.Formula))
		if values := stepValues(step); values != "" {
			fmt.Fprintf(&b, "     %s\n", values)
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write settlement of %s: %w", s.Contract, err)
	}
	return nil
}

func figuresTable(b *strings.Builder, s *sla.Settlement) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "attainment %\tfrom\tto\tcoverage %\tapplicable\tgood\tbad\tunknown\texcluded\tn/a\tcredit\t  resource")
	row := func(indent, name string, f *sla.Figures) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t  %s%s\n", dash(f.AttainmentPct), dash(f.Bounds.AttainmentLowPct),
			dash(f.Bounds.AttainmentHighPct), dash(f.CoveragePct), f.Slots.Applicable, f.Slots.Good, f.Slots.Bad, f.Slots.Unknown,
			f.Slots.Excluded, f.Slots.NotApplicable, f.Credit.Amount, indent, clean(name))
	}
	for i := range s.Objectives {
		o := &s.Objectives[i]
		row("", o.Name, &o.Figures)
		for j := range o.Resources {
			row("  ", o.Resources[j].Name, &o.Resources[j].Figures)
		}
	}
	_ = t.Flush() // a strings.Builder does not fail
}

func stepValues(step sla.Step) string {
	var keys []string
	for k, v := range step.Values {
		if v != "" {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for i, k := range keys {
		keys[i] = k + " " + step.Values[k]
	}
	return clean(strings.Join(keys, ", "))
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// clean takes control characters out of text that users write: a label value
// must not move the cursor of the terminal that shows it.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
