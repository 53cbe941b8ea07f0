package collector

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Figure is one benchmark's result.
type Figure struct {
	Name, Unit       string
	Min, Median, Max float64
	Runs             int
	Target           string // what was promised, and whether it was kept
}

// Report writes what was measured as Markdown; args are what the program was
// called with.
func (s *Session) Report(path string, figures []Figure, args []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# nines side by side\n\nWritten by `go run ./bench %s` on %s; `make compare` makes it anew.\nWhat is compared, and whom it favours, is told in [docs/performance.md](../docs/performance.md#side-by-side).\n\n",
		strings.Join(args, " "), time.Now().UTC().Format("2006-01-02 15:04 UTC"))
	s.machine(&b)
	b.WriteString("## Figures\n\n| figure | median | min | max | runs | target |\n|---|---|---|---|---|---|\n")
	for _, f := range figures {
		fmt.Fprintf(&b, "| %s, %s | %.3g | %.3g | %.3g | %d | %s |\n", f.Name, f.Unit, f.Median, f.Min, f.Max, f.Runs, f.Target)
	}
	b.WriteString("\nThe ratio of each run is of its own two measurements.\n\n")
	if len(s.order) > 0 {
		s.work(&b)
	}
	s.detections(&b)
	s.fleetDetections(&b)
	s.commands(&b)
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// machine says what it ran on.
func (s *Session) machine(b *strings.Builder) {
	cpu, _ := os.ReadFile("/proc/cpuinfo")
	_, model, _ := strings.Cut(string(cpu), "model name")
	model, _, _ = strings.Cut(strings.TrimLeft(model, "\t :"), "\n")
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(b, "## Where\n\n%s, %d processors; load average when this was written: %s.\n\n", model, runtime.NumCPU(), strings.TrimSpace(string(load)))
	versions := s.tools.versions(context.Background(), s.o.Root)
	if s.cluster != nil {
		versions = append(versions, s.cluster.Version()+", one node")
	}
	for _, v := range versions {
		fmt.Fprintf(b, "- %s\n", v)
	}
	b.WriteString("\n")
}

// work tells the CPU time and memory of each contestant.
func (s *Session) work(b *strings.Builder) {
	fmt.Fprintf(b, "## CPU time and memory\n\n%d hosts of %d series each, every second; %d seconds of them, or the first %d for the slower ones; %d objectives. CPU seconds (user and system, all processes, from exec on) per million samples; RSS is the sum of the processes' peaks.\n\n",
		s.o.Hosts, s.fleet.series, s.o.Seconds, s.o.Short, len(objectives()))
	b.WriteString("| contestant | what it does | M samples | CPU s a million: median | min | max | RSS MB, median |\n|---|---|---|---|---|---|---|\n")
	for _, c := range s.order {
		ms := s.measured[c.Name]
		per, rss := column(ms, (*Measurement).PerMillion), column(ms, (*Measurement).rss)
		fmt.Fprintf(b, "| %s | %s | %.3g | %.4f | %.4f | %.4f | %.0f |\n", c.Name, c.What, float64(ms[0].Samples)/1e6, median(per), slices.Min(per), slices.Max(per), median(rss))
	}
	b.WriteString("\nBy process, CPU seconds per million samples, median:\n\n| contestant | process | CPU s a million | RSS MB |\n|---|---|---|---|\n")
	for _, c := range s.order {
		ms := s.measured[c.Name]
		for i, p := range ms[0].Processes {
			per := column(ms, func(m *Measurement) float64 { return m.Processes[i].CPU.Seconds() / float64(m.Samples) * 1e6 })
			rss := column(ms, func(m *Measurement) float64 { return float64(m.Processes[i].RSS) / 1e6 })
			fmt.Fprintf(b, "| %s | %s | %.4f | %.0f |\n", c.Name, p.Name, median(per), median(rss))
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

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// commands shows how each contestant was started.
func (s *Session) commands(b *strings.Builder) {
	b.WriteString("## Commands and configurations\n\nRUN is a run's own folder, DIR the session's with the rules, GROUP a run's own consumer group.\n\n")
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
