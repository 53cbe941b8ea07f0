package collector

import (
	"fmt"
	"slices"
	"strings"

	"nines/bench/program"
)

// Measured tells whether there is anything to report.
func (s *Session) Measured() bool { return len(s.order)+len(s.detected)+len(s.detectedFleet) > 0 }

// Report tells what was measured as Markdown, for a report's end.
func (s *Session) Report(b *strings.Builder) {
	b.WriteString("The ratio of each run is of its own two measurements.\n\n")
	if len(s.order) > 0 {
		s.work(b)
	}
	s.detections(b)
	s.fleetDetections(b)
	s.commands(b)
}

// work tells the CPU time and memory of each contestant.
func (s *Session) work(b *strings.Builder) {
	fmt.Fprintf(b, "## CPU time and memory\n\n%d hosts of %d series each, every second; %d seconds of them, or the first %d for the slower ones; %d objectives. CPU seconds (user and system, all processes, from exec on) per million samples; RSS is the sum of the processes' peaks.\n\n",
		s.o.Hosts, s.fleet.series, s.o.Seconds, s.o.Short, len(objectives()))
	b.WriteString("| contestant | what it does | M samples | CPU s a million: median | min | max | RSS MB, median |\n|---|---|---|---|---|---|---|\n")
	for _, c := range s.order {
		ms := s.measured[c.Name]
		per, rss := column(ms, (*Measurement).PerMillion), column(ms, (*Measurement).rss)
		fmt.Fprintf(b, "| %s | %s | %.3g | %.4f | %.4f | %.4f | %.0f |\n", c.Name, c.What, float64(ms[0].Samples)/1e6, program.Median(per), slices.Min(per), slices.Max(per), program.Median(rss))
	}
	b.WriteString("\nBy process, CPU seconds per million samples, median:\n\n| contestant | process | CPU s a million | RSS MB |\n|---|---|---|---|\n")
	for _, c := range s.order {
		ms := s.measured[c.Name]
		for i, p := range ms[0].Processes {
			per := column(ms, func(m *Measurement) float64 { return m.Processes[i].CPU.Seconds() / float64(m.Samples) * 1e6 })
			rss := column(ms, func(m *Measurement) float64 { return float64(m.Processes[i].RSS) / 1e6 })
			fmt.Fprintf(b, "| %s | %s | %.4f | %.0f |\n", c.Name, p.Name, program.Median(per), program.Median(rss))
		}
	}
	b.WriteString("\nEvery run:\n\n| contestant | run | CPU s | M samples | CPU s a million | RSS MB | wall s |\n|---|---|---|---|---|---|---|\n")
	for _, c := range s.order {
		for i, m := range s.measured[c.Name] {
			fmt.Fprintf(b, "| %s | %d | %.2f | %.3g | %.4f | %.0f | %.1f |\n", c.Name, i+1, m.CPU(), float64(m.Samples)/1e6, m.PerMillion(), m.rss(), m.Wall.Seconds())
		}
	}
	b.WriteString("\n")
}

// rss is the processes' peaks together, megabytes.
func (m *Measurement) rss() (mb float64) {
	for _, u := range m.Processes {
		mb += float64(u.RSS) / 1e6
	}
	return mb
}

func column(ms []Measurement, f func(*Measurement) float64) (out []float64) {
	for i := range ms {
		out = append(out, f(&ms[i]))
	}
	return out
}

// commands shows how each contestant was started.
func (s *Session) commands(b *strings.Builder) {
	b.WriteString("## Commands and configurations\n\nRUN is a run's own folder, DIR the session's with the rules, ROOT the repository's, GROUP a run's own consumer group.\n\n")
	fmt.Fprintf(b, "Telegraf is built with `-tags %s`.\n\n", strings.Join(telegrafTags(), ","))
	for _, c := range s.order {
		fmt.Fprintf(b, "### %s\n\n", c.Name)
		for _, text := range s.measured[c.Name][0].Shown {
			fmt.Fprintf(b, "```\n%s```\n\n", text)
		}
	}
	for _, d := range s.detected {
		fmt.Fprintf(b, "### %s\n\n", d.Contestant)
		for _, text := range d.Shown {
			fmt.Fprintf(b, "```\n%s```\n\n", text)
		}
	}
	for _, d := range s.detectedFleet {
		fmt.Fprintf(b, "### %s, fleet\n\n", d.Contestant)
		for _, text := range d.Shown {
			fmt.Fprintf(b, "```\n%s```\n\n", text)
		}
	}
	if len(s.order) == 0 {
		return
	}
	first := objectives()[:1]
	fmt.Fprintf(b, "### The objectives\n\nThe first of %d; the others differ by service, indicator, label and target.\n\n```yaml\n%s```\n\nThe same as recording rules:\n\n```yaml\n%s```\n\nand as alerts, which vmalert alone evaluates:\n\n```yaml\n%s```\n",
		len(objectives()), openSLO(first), recordings(first), alerts(first))
}
