package agent

import (
	"fmt"
	"slices"
	"strings"

	"nines/bench/program"
)

// Report tells the windows as Markdown, for a report's end.
func (s *Session) Report(b *strings.Builder) {
	b.WriteString("The ratio of each window is of its own two measurements: nines-agent's over Telegraf's.\n\n")
	for _, interval := range s.order {
		ws := s.windows[interval]
		fmt.Fprintf(b, "## Each %s\n\n%d windows of %.0f s; both programs ran through all of them.\n\n", interval, len(ws), ws[0].Length.Seconds())
		b.WriteString("| program | CPU s an hour: median | min | max | RSS MB: median | min | max | peak MB | bytes a sample: median | min | max | series | samples a second | own |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
		side(b, "nines-agent", ws, func(w *Window) *Side { return &w.Nines })
		side(b, "Telegraf", ws, func(w *Window) *Side { return &w.Telegraf })
		b.WriteString("\n| window | CPU s an hour: nines | Telegraf | ratio | RSS MB: nines | Telegraf | ratio | bytes a sample: nines | Telegraf | ratio | load |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
		for i := range ws {
			w := &ws[i]
			n, t := &w.Nines, &w.Telegraf
			fmt.Fprintf(b, "| %d | %.2f | %.2f | %.3f | %.1f | %.1f | %.3f | %.2f | %.2f | %.3f | %s |\n", i+1, w.CPU(n), w.CPU(t), w.CPU(n)/w.CPU(t),
				mb(n.RSS), mb(t.RSS), float64(n.RSS)/float64(t.RSS), n.PerSample(), t.PerSample(), n.PerSample()/t.PerSample(), w.Load)
		}
		b.WriteString("\n")
	}
	s.tell(b)
}

// side writes one program's row of an interval.
func side(b *strings.Builder, name string, ws []Window, of func(*Window) *Side) {
	three := func(f func(*Window) float64) string {
		var v []float64
		for i := range ws {
			v = append(v, f(&ws[i]))
		}
		return fmt.Sprintf("%.2f | %.2f | %.2f", program.Median(v), slices.Min(v), slices.Max(v))
	}
	last := &ws[len(ws)-1]
	s := of(last)
	fmt.Fprintf(b, "| %s | %s | %s | %.1f | %s | %d | %.1f | %.1f |\n", name,
		three(func(w *Window) float64 { return w.CPU(of(w)) }), three(func(w *Window) float64 { return mb(of(w).RSS) }), mb(s.Peak),
		three(func(w *Window) float64 { return of(w).PerSample() }), s.Series, float64(s.Samples)/last.Length.Seconds(), float64(s.Own)/last.Length.Seconds())
}

// tell says what was run.
func (s *Session) tell(b *strings.Builder) {
	fmt.Fprintf(b, "## Commands and configurations\n\nRUN is a run's own folder. Telegraf is built with `-tags %s`.\n", strings.Join(tags(), ","))
	if len(s.left) > 0 {
		fmt.Fprintf(b, "This host lacks what these inputs measure, and neither program runs them: %s.\n", strings.Join(s.left, ", "))
	}
	for _, text := range s.shown {
		fmt.Fprintf(b, "\n```\n%s```\n", text)
	}
	b.WriteString("\nInputs of configs/agent/inputs.toml that neither runs here:\n\n")
	for _, name := range blocks(s.inputs) {
		if !slices.Contains(compared(), name) {
			fmt.Fprintf(b, "- %s: %s\n", name, apart(name))
		}
	}
}
