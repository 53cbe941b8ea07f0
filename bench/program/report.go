package program

import (
	"fmt"
	"os"
	"os/exec"
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

// Report is what was measured, for people.
type Report struct {
	// Title is its heading; Again is the command that makes it anew, and Told where
	// its readers find what is compared: a section of docs/performance.md.
	Title, Again, Told string
	// Args are what the program bench was called with.
	Args []string
	// Versions are those of the programs that were measured.
	Versions []string
	Figures  []Figure
	// Rest writes what follows the figures.
	Rest func(*strings.Builder)
}

// Write writes the report as Markdown.
func (r *Report) Write(path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nWritten by `go run ./bench %s` on %s; `%s` makes it anew.\nWhat is compared, and whom it favours, is told in [docs/performance.md](../docs/performance.md#%s).\n\n",
		r.Title, strings.Join(r.Args, " "), time.Now().UTC().Format("2006-01-02 15:04 UTC"), r.Again, r.Told)
	r.machine(&b)
	b.WriteString("## Figures\n\n| figure | median | min | max | runs | target |\n|---|---|---|---|---|---|\n")
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "| %s, %s | %.3g | %.3g | %.3g | %d | %s |\n", f.Name, f.Unit, f.Median, f.Min, f.Max, f.Runs, f.Target)
	}
	b.WriteString("\n")
	r.Rest(&b)
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// machine says what it ran on.
func (r *Report) machine(b *strings.Builder) {
	cpu, _ := os.ReadFile("/proc/cpuinfo")
	_, model, _ := strings.Cut(string(cpu), "model name")
	model, _, _ = strings.Cut(strings.TrimLeft(model, "\t :"), "\n")
	fmt.Fprintf(b, "## Where\n\n%s, %d processors; load average when this was written: %s.\n\n", model, runtime.NumCPU(), Load())
	for _, v := range r.Versions {
		fmt.Fprintf(b, "- %s\n", v)
	}
	b.WriteString("\n")
}

// Load is the machine's load average, over one, five and fifteen minutes.
func Load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	load := strings.Fields(string(text))
	return strings.Join(load[:min(3, len(load))], " ")
}

// Says returns the first line of what a program says, whatever it ends with.
func Says(dir, name string, args ...string) string {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput() // what it says counts, not how it ends
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// Median is the middle of some values, or the mean of the two in the middle.
func Median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
