package agent

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nines/internal/telemetry"
)

// timesOf returns the sample times of a series, by what its label has.
func timesOf(frames []telemetry.Frame, name, label, value string) (times []int64) {
	schemas := map[uint64]*telemetry.Schema{}
	for _, f := range frames {
		for _, b := range f.Blocks {
			if b.Schema != nil {
				schemas[b.Fingerprint] = b.Schema
			}
			s := schemas[b.Fingerprint]
			if s == nil {
				continue
			}
			for i := range s.Series {
				if s.Series[i].Name != name || s.Series[i].Labels.Get(label) != value {
					continue
				}
				for k, t := range b.Times {
					if !b.IsAbsent(i*len(b.Times) + k) {
						times = append(times, t)
					}
				}
			}
		}
	}
	return times
}

// log is text that a logger writes and a test reads.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const reloadYAML = `agent: a
labels: {zone: z1}
interval: 100ms
flush: 100ms
self_interval: 100ms
inputs: |
  [[inputs.mem]]
  [[inputs.cpu]]
`

// An operator edits labels and inputs: the boot, the numbers and the inputs that
// stayed go on, and no tick of any is missing.
func TestReloadKeepsBootNumbersAndTicks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(reloadYAML)
	cfg, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	book := newLogbook(t)
	a, stop := start(t, cfg, book)
	several := func(name, label, value string) func([]telemetry.Frame) bool {
		return func(f []telemetry.Frame) bool { return len(timesOf(f, name, label, value)) >= 5 }
	}
	book.wait("cpu", several("cpu_usage_idle", "cpu", "cpu-total"))
	gathers := a.inputs.Stats()[1].Gathers

	write(strings.Replace(reloadYAML, "z1}", "z2, rack: r7}", 1) + "    [inputs.cpu.tags]\n      v = \"2\"\n  [[inputs.swap]]\n")
	if err := a.ReloadFile(file); err != nil {
		t.Fatal(err)
	}
	book.wait("cpu anew", several("cpu_usage_idle", "v", "2"))
	book.wait("swap", several("swap_total", "", ""))
	book.wait("the added input's figures", several("nines_agent_input_seconds", "input", "swap"))
	if st := a.inputs.Stats(); st[1].Name != "mem" || st[1].Gathers <= gathers {
		t.Errorf("mem began anew: %+v", st)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	last := book.frames[len(book.frames)-1]
	if last.Host.Get("zone") != "z2" || last.Host.Get("rack") != "r7" || book.frames[0].Host.Get("zone") != "z1" {
		t.Errorf("host labels %v, at first %v", last.Host, book.frames[0].Host)
	}
	for i, f := range book.frames {
		if f.Seq != uint64(i+1) || f.Boot != a.Boot() {
			t.Fatalf("frame %d has number %d of boot %x", i+1, f.Seq, f.Boot)
		}
	}
	missed := uint64(0) // by a machine under load
	for _, st := range a.inputs.Stats() {
		missed += st.Missed
	}
	cpu := timesOf(book.frames, "cpu_usage_idle", "cpu", "cpu-total")
	for _, times := range [][]int64{cpu, timesOf(book.frames, "mem_total", "", "")} {
		gaps := uint64(0)
		for i := 1; i < len(times); i++ {
			if times[i] <= times[i-1] {
				t.Errorf("tick %d follows %d", times[i], times[i-1])
			}
			gaps += uint64((times[i]-times[i-1])/100 - 1)
		}
		if gaps > missed {
			t.Errorf("%d ticks are missing, %d could not be measured in time", gaps, missed)
		}
	}
}

// A configuration that is wrong, or that only a new process can take up, is
// refused as a whole; the log and the figures say so until one is right.
func TestBadConfigurationIsKeptOut(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "agent.yaml")
	var log logText
	cfg := Config{Agent: "a", Dir: dir, Interval: 100 * time.Millisecond, Inputs: "[[inputs.mem]]\n"}
	a, err := New(Options{Config: cfg, Sender: newLogbook(t), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	f := func(text, want string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := a.ReloadFile(file)
		if want == "" {
			if err != nil || a.reloaded().err != nil {
				t.Errorf("refused: %v", err)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), file+want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in the log: %s", want, log.String())
		}
		if st := a.inputs.Stats(); len(st) != 1 || st[0].Name != "mem" || a.reloaded().err == nil {
			t.Errorf("inputs %+v, error %v", st, a.reloaded().err)
		}
	}
	f("agent: a\nintervall: 1s\n", ":2:1: intervall")
	f("agent: a\nlabels: {zone: z2}\ninputs: |\n  [[inputs.cpu]]\n    nope = 1\n", ":5:1: inputs.cpu")
	f("agent: a\ninputs: |\n  [[inputs.cpu]]\nprobes:\n  jobs:\n    - {name: x, probe: tcp, targets: [\"h\"]}\n", ":6:")
	f("agent: b\n", ":1:8: agent: takes effect only after a restart")
	f("agent: a\nspool:\n  memory_bytes: 2097152\n", ":3:3: spool: takes effect only after a restart")
	f("agent: a\nlimits: {memory_bytes: 1000, cpus: -1}\n", ":2:")
	f("agent: a\ninputs: |\n  [[inputs.mem]]\n", "")
	if r := a.reloaded(); r.done != 1 || r.failed != 6 {
		t.Errorf("reloads %+v", r)
	}
	if host := a.framer.Host(); host.Get("zone") != "" {
		t.Errorf("a refused configuration left labels: %v", host)
	}
	if err := a.Reload(Config{Agent: "other", Dir: dir}); !errors.Is(err, ErrRestart) {
		t.Errorf("got %v", err)
	}
}
