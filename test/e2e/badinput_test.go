package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nines/internal/broker"
	"nines/internal/bus"
	"nines/test/kafka"
	"nines/test/ports"
)

// oneShot runs nines to its end, which must come within half a minute.
func oneShot(t *testing.T, program string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%v did not end by itself:\n%s%s", args, out.String(), errs.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// output collects what a process writes while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// says waits until the process has written the text.
func (o *output) says(t *testing.T, text string) {
	t.Helper()
	eventually(t, time.Minute, "it says "+text, func() error {
		if s := o.String(); !strings.Contains(s, text) {
			return errors.New("it wrote:\n" + tail(s, 30))
		}
		return nil
	})
}

// daemon is a program that runs until the test stops it.
type daemon struct {
	cmd  *exec.Cmd
	out  output
	done chan struct{}
}

func launch(t *testing.T, program string, args ...string) *daemon {
	t.Helper()
	d := &daemon{cmd: exec.Command(program, args...), done: make(chan struct{})}
	d.cmd.Stdout, d.cmd.Stderr = &d.out, &d.out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		d.cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		d.cmd.Process.Kill()
		<-d.done
		if t.Failed() {
			t.Logf("%s wrote:\n%s", filepath.Base(program), tail(d.out.String(), 40))
		}
	})
	return d
}

// interrupt is Ctrl-C; the process must end with code 0 within five seconds.
func (d *daemon) interrupt(t *testing.T) {
	t.Helper()
	d.cmd.Process.Signal(os.Interrupt)
	select {
	case <-d.done:
	case <-time.After(5 * time.Second):
		t.Fatal("it did not stop within 5 s")
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it stopped with code %d:\n%s", code, tail(d.out.String(), 10))
	}
}

func shipped(t *testing.T) (dataDir, conf string) {
	t.Helper()
	dataDir = t.TempDir()
	conf = filepath.Join(dataDir, "config")
	if code, _, errs := oneShot(t, binary, "init", conf); code != 0 {
		t.Fatal(errs)
	}
	return dataDir, conf
}

// replaceIn replaces a text, which must be there, in a file; old "" appends.
func replaceIn(t *testing.T, file, old, with string) (undo func()) {
	t.Helper()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	after := string(before) + with
	if old != "" {
		if !strings.Contains(string(before), old) {
			t.Fatalf("%s does not hold %q", file, old)
		}
		after = strings.Replace(string(before), old, with, 1)
	}
	put := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(after)
	return func() { put(string(before)) }
}

// mistake is one way to break the shipped configuration, and what is to be said
// of it: the place, as file:line:col, and what is wrong.
type mistake struct {
	file, old, with string
	place, reason   string
}

// at returns the place with the number of the line for LINE, given the file as
// shipped.
func (m mistake) at(t *testing.T, conf string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(conf, m.file))
	if err != nil {
		t.Fatal(err)
	}
	before := string(text)
	if m.old != "" {
		before, _, _ = strings.Cut(before, m.old)
	}
	return strings.Replace(m.place, "LINE", strconv.Itoa(1+strings.Count(before, "\n")), 1)
}

// mistakes has one or more for each kind of file.
var mistakes = map[string]mistake{
	"unknown key":            {"nines.yaml", "", "webb: {x: 1}\n", "nines.yaml:", "did you mean web?"},
	"wrong type":             {"nines.yaml", "telemetry_partitions: 2", "telemetry_partitions: two", "nines.yaml:LINE:25: topics.telemetry_partitions", `got "two"`},
	"impossible value":       {"nines.yaml", "lateness: 5s", "lateness: -5s", "evaluate.lateness", "must not be negative"},
	"not YAML":               {"nines.yaml", "", "a: [1\n", "nines.yaml:", "']'"},
	"ruler value":            {"nines.yaml", "  retention: 24h\n  rules", "  retention: 1s\n  rules", "nines.yaml:LINE:14: ruler.retention", "at least 10m"},
	"page address":           {"nines.yaml", "listen: 127.0.0.1:9999", "listen: nonsense", "web.listen", "host:port"},
	"broker address":         {"nines.yaml", "", "broker: {listen: \"0.0.0.0:1\"}\n", "broker.listen", "name one address"},
	"Kafka":                  {"nines.yaml", "", "kafka: {brokers: [x], sasl: {mechanism: y}}\n", "kafka.brokers[0]", "want host:port"},
	"named file is absent":   {"nines.yaml", "contracts: [contracts]", "contracts: [nowhere]", "nines.yaml:LINE:13: contracts[0]", "no such file"},
	"objective's value":      {"objectives/probe-availability.yaml", "target: 0.999", "target: 1.5", "probe-availability.yaml:", "spec.objectives[0].target"},
	"objective's key":        {"objectives/probe-availability.yaml", "budgetingMethod", "budgetMethod", "probe-availability.yaml:", "did you mean budgetingMethod?"},
	"contract":               {"contracts/example.yaml", "", "garbage: 1\n", "example.yaml:", "garbage: unknown field"},
	"rule's expression":      {"rules/host.yml", "expr: ", "expr: )", "host.yml:", "parse error"},
	"routing's key":          {"alerting/alertmanager.yml", "", "foo: 1\n", "alertmanager.yml:LINE:1", "foo"},
	"routing's receiver":     {"alerting/alertmanager.yml", "receiver: console", "receiver: nobody", "alertmanager.yml:LINE:13: route.receiver", "nobody"},
	"agent's key":            {"agent/agent.yaml", "", "intervall: 1s\n", "agent.yaml:", "did you mean interval?"},
	"probe's kind":           {"agent/agent.yaml", "probe: icmp", "probe: icnp", "agent.yaml:LINE:14: probes.jobs[0].probe", "must be one of"},
	"probe's interval":       {"agent/agent.yaml", "  interval: 1s\n  #", "  interval: 1ms\n  #", "agent.yaml:LINE:13: probes.interval", "10ms"},
	"input's field":          {"agent/inputs.toml", "", "[[inputs.cpu]]\n  nope = 1\n", "inputs.toml:", "inputs.cpu"},
	"input that is not one":  {"agent/inputs.toml", "", "[[inputs.nothere]]\n", "inputs.toml:", "nothere"},
	"inputs that are broken": {"agent/inputs.toml", "", "[[inputs.cpu\n", "inputs.toml:", "TOML"},
}

func TestAMistakeInAFileAtStart(t *testing.T) {
	t.Parallel()
	addr := ports.Free(t)
	for name, m := range mistakes {
		t.Run(name, func(t *testing.T) {
			dir, conf := shipped(t)
			m.place = m.at(t, conf)
			replaceIn(t, filepath.Join(conf, m.file), m.old, m.with)
			args := []string{"up", "--data-dir", dir}
			if name != "page address" {
				args = append(args, "--listen", addr)
			}
			code, out, errs := oneShot(t, binary, args...)
			if code != 2 || !strings.Contains(errs, m.place) || !strings.Contains(errs, m.reason) {
				t.Errorf("code %d, want 2 with %q and %q:\n%s", code, m.place, m.reason, errs)
			}
			if out != "" || strings.Contains(errs, "level=") {
				t.Errorf("more than the mistake is told:\n%s%s", out, errs)
			}
			// The checker says the same of that file alone.
			code, _, checked := oneShot(t, binary, "check", conf)
			if code != 2 || !strings.Contains(checked, m.place) || !strings.Contains(checked, m.reason) {
				t.Errorf("check: code %d, want 2 with %q and %q:\n%s", code, m.place, m.reason, checked)
			}
		})
	}
}

func TestTargetsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir, conf := shipped(t)
	file := filepath.Join(conf, "agent", "targets", "example.yml")
	broken := mistake{"agent/targets/example.yml", "", "", "example.yml:LINE:1: ", ""}.at(t, conf)
	undo := replaceIn(t, file, "", "- targets: {a: b\n")
	code, _, errs := oneShot(t, binary, "check", conf)
	if code != 2 || !strings.Contains(errs, broken) {
		t.Errorf("check: code %d:\n%s", code, errs)
	}
	s := &site{dir: dir, listen: ports.Free(t)}
	s.url = "http://" + s.listen
	d := launch(t, binary, "up", "--data-dir", dir, "--listen", s.listen)
	d.out.says(t, broken) // it runs, and tells
	d.out.says(t, "stop      Ctrl-C")
	undo()
	d.out.says(t, "targets are readable again")
	d.interrupt(t)
}

// TestAMistakeOnReload breaks each file of a running nines: it is told, whether
// the reload comes by HTTP or by signal, and nothing changes, not even what
// could be read.
func TestAMistakeOnReload(t *testing.T) {
	t.Parallel()
	dir, conf := shipped(t)
	s := &site{dir: dir, listen: ports.Free(t)}
	s.url = "http://" + s.listen
	d := launch(t, binary, "up", "--data-dir", dir, "--listen", s.listen)
	s.healthy(t)
	before := s.objectiveNames(t)
	extra := filepath.Join(conf, "objectives", "more.yaml")
	text := strings.ReplaceAll(objectives, "probe-availability-by-target}", "one-more}")
	for name, m := range mistakes {
		m.place = m.at(t, conf)
		undo := replaceIn(t, filepath.Join(conf, m.file), m.old, m.with)
		if err := os.WriteFile(extra, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		status, body := s.reload(t)
		if status != http.StatusUnprocessableEntity || !strings.Contains(body, m.place) || !strings.Contains(body, m.reason) {
			t.Errorf("%s: reload answers %d %s; want %q and %q", name, status, body, m.place, m.reason)
		}
		if got := s.objectiveNames(t); got != before {
			t.Errorf("%s: a refused reload changed the objectives to %s", name, got)
		}
		undo()
		os.Remove(extra)
	}
	undo := replaceIn(t, filepath.Join(conf, "rules", "host.yml"), "expr: ", "expr: )")
	d.cmd.Process.Signal(syscall.SIGHUP)
	d.out.says(t, "not reloaded, the old configuration stays")
	undo()

	// What is right takes effect: objectives, and the agent's own file.
	if err := os.WriteFile(extra, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	replaceIn(t, filepath.Join(conf, "agent", "agent.yaml"), "probe: icmp", "probe: tcp\n      targets: [\""+s.listen+"\"]\n      labels: {new: \"yes\"}")
	replaceIn(t, filepath.Join(conf, "nines.yaml"), "lateness: 5s", "lateness: 4s")
	if status, body := s.reload(t); status != http.StatusOK {
		t.Fatalf("reload answers %d %s", status, body)
	}
	eventually(t, time.Minute, "the new objective is in force", func() error {
		if got := s.objectiveNames(t); !strings.Contains(got, "one-more") {
			return errors.New(got)
		}
		return nil
	})
	eventually(t, time.Minute, "the agent probes the new target", func() error {
		var doc struct{ Data struct{ Result []any } }
		if err := s.get("/api/v1/query?query=probe_success%7Bnew%3D%22yes%22%7D", &doc); err != nil || len(doc.Data.Result) == 0 {
			return fmt.Errorf("%v, %v", doc, err)
		}
		return nil
	})
	d.out.says(t, "takes effect at the next start") // nines.yaml itself
	d.interrupt(t)
}

func (s *site) healthy(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, "nines is ready", func() error { return s.get("/-/ready", nil) })
}

func (s *site) reload(t *testing.T) (int, string) {
	t.Helper()
	resp, err := http.Post(s.url+"/-/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc struct{ Status, Error string }
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, doc.Status + doc.Error
}

func (s *site) objectiveNames(t *testing.T) string {
	t.Helper()
	var o overview
	if err := s.get("/api/nines/v1/overview", &o); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, obj := range o.Objectives {
		names = append(names, obj.Name)
	}
	return strings.Join(names, " ")
}

// TestWhatIsInUseOrUnusable: addresses, folders and commands that cannot work
// are told at once, with their names.
func TestWhatIsInUseOrUnusable(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	inUse, free := taken.Addr().String(), ports.Free(t)
	dir, conf := shipped(t)
	config := filepath.Join(conf, "nines.yaml")
	f := func(code int, words string, args ...string) {
		t.Helper()
		got, _, errs := oneShot(t, binary, args...)
		if got != code || !strings.Contains(errs, words) {
			t.Errorf("%v: code %d, want %d with %q in:\n%s", args, got, code, words, errs)
		}
	}
	f(1, "listen on "+inUse+": address already in use", "up", "--data-dir", dir, "--listen", inUse)
	f(2, "--listen: must be host:port", "up", "--data-dir", dir, "--listen", "nonsense")
	f(2, "--listen: must end in a port", "up", "--data-dir", dir, "--listen", ":99999")
	f(2, "nowhere.yaml: no such file", "up", "--config", "nowhere.yaml")
	f(2, "unknown command", "upp")
	f(2, "unknown flag", "up", "--nope")
	f(2, "--config", "collector")
	f(2, "kafka.brokers", "collector", "--config", config)
	f(2, "no role \"x\"", "collector", "--config", config, "--roles", "x")
	f(1, "nothing runs on data directory", "status", "--data-dir", dir)
	f(1, "nothing runs on data directory", "cat", "nines.alerts", "--data-dir", dir)
	f(1, "connection refused; is it running?", "status", "--url", "http://"+free)
	f(1, "connect to Kafka at "+free, "cat", "nines.alerts", "--brokers", free)
	f(1, "no ledger at", "statement", "--data-dir", dir, "--contract", "x", "--month", "2026-11")
	f(2, "--format", "statement", "--data-dir", dir, "--format", "pdf")

	file := filepath.Join(dir, "file")
	os.WriteFile(file, nil, 0o644)
	f(1, file+": not a directory", "up", "--data-dir", file, "--config", config, "--listen", free)

	undo := replaceIn(t, config, "", "broker: {listen: \""+inUse+"\"}\n")
	f(1, "broker: listen on "+inUse+": address already in use", "up", "--data-dir", dir, "--listen", free)
	undo()

	damaged := filepath.Join(t.TempDir(), "d")
	os.MkdirAll(filepath.Join(damaged, "ledger"), 0o755)
	os.WriteFile(filepath.Join(damaged, "ledger", "ledger.db"), bytes.Repeat([]byte("no ledger "), 1000), 0o644)
	f(1, "damaged", "up", "--data-dir", damaged, "--config", config, "--listen", free)
}

// TestASecondProcessOnTheSameData fails fast and harms nothing; what a killed
// one left behind is in nobody's way.
func TestASecondProcessOnTheSameData(t *testing.T) {
	t.Parallel()
	dir, _ := shipped(t)
	s := &site{dir: dir, listen: ports.Free(t)}
	s.url = "http://" + s.listen
	d := launch(t, binary, "up", "--data-dir", dir, "--listen", s.listen)
	s.healthy(t)
	code, out, errs := oneShot(t, binary, "up", "--data-dir", dir, "--listen", ports.Free(t))
	if code != 1 || out != "" || !strings.Contains(errs, fmt.Sprintf("%s is in use by process %d", filepath.Join(dir, "broker"), d.cmd.Process.Pid)) {
		t.Errorf("code %d:\n%s%s", code, out, errs)
	}
	if code, _, errs := oneShot(t, binary, "status", "--data-dir", dir); code != 0 {
		t.Errorf("status of the first: code %d:\n%s", code, errs)
	}
	d.cmd.Process.Kill()
	<-d.done
	if code, _, errs := oneShot(t, binary, "status", "--data-dir", dir); code != 1 || !strings.Contains(errs, "of the last run is gone") {
		t.Errorf("status after a kill: code %d:\n%s", code, errs)
	}
	again := launch(t, binary, "up", "--data-dir", dir, "--listen", s.listen)
	s.healthy(t)
	again.interrupt(t)
}

// TestGarbageInTheLog: what is not a record of nines goes to the dead letters
// with its reason, and everything else goes on.
func TestGarbageInTheLog(t *testing.T) {
	t.Parallel()
	dir, _ := shipped(t)
	s := &site{dir: dir, listen: ports.Free(t)}
	s.url = "http://" + s.listen
	kafka := ports.Free(t)
	replaceIn(t, filepath.Join(dir, "config", "nines.yaml"), "", "broker: {listen: \""+kafka+"\"}\n")
	d := launch(t, binary, "up", "--data-dir", dir, "--listen", s.listen)
	s.healthy(t)
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{kafka}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	garbage := []bus.Record{
		{Value: []byte("garbage without a type")},
		{Value: []byte(`{"a": "tick of somebody else"}`), Headers: []bus.Header{{Key: "nines-type", Value: []byte("t")}}},
		{Key: []byte("k"), Value: bytes.Repeat([]byte{0xff, 0}, 300_000)},
		{Value: []byte("a frame that is none"), Headers: []bus.Header{{Key: "nines-type", Value: []byte("f")}}},
	}
	for _, topic := range []string{"nines.telemetry", "nines.partials", "nines.checkpoints", "nines.rules", "nines.alerts"} {
		if _, err := client.Producer(topic, 0).Produce(t.Context(), garbage); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, time.Minute, "the dead letters can be read", func() error {
		code, out, errs := oneShot(t, binary, "cat", "nines.deadletter", "--data-dir", dir)
		if n := strings.Count(out, "dead letter nines.telemetry/0 offset="); code != 0 || n < len(garbage) || strings.Count(out, "reason=") < n {
			return fmt.Errorf("code %d, %d dead letters: %s %s", code, n, out, errs)
		}
		return nil
	})
	s.goesOn(t)
	d.interrupt(t)
	d = launch(t, binary, "up", "--data-dir", dir, "--listen", s.listen)
	s.goesOn(t) // the garbage is read again, and is no more trouble than before
	d.interrupt(t)
}

// goesOn waits until evaluation has moved on by three seconds and all is well.
func (s *site) goesOn(t *testing.T) {
	t.Helper()
	s.healthy(t)
	var o overview
	if err := s.get("/api/nines/v1/overview", &o); err != nil {
		t.Fatal(err)
	}
	start := o.LogTime
	eventually(t, time.Minute, "evaluation goes on", func() error {
		if err := s.get("/api/nines/v1/overview", &o); err != nil {
			return err
		}
		if o.LogTime < start+3000 {
			return fmt.Errorf("log time is %d, was %d", o.LogTime, start)
		}
		return s.get("/-/ready", nil)
	})
}

// TestAStoppedProcessGoesOn halts the process for twenty seconds, as a suspended
// machine does.
func TestAStoppedProcessGoesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(t)
	s.ready(t, p)
	s.inState(t, "up")
	<-time.After(2 * time.Second)
	p.cmd.Process.Signal(syscall.SIGSTOP)
	<-time.After(20 * time.Second)
	p.cmd.Process.Signal(syscall.SIGCONT)
	s.goesOn(t)
	s.settle(t, func(int64) bool { return false })
	p.stop(t)
}

// TestAFullDisk fills the volume of the data directory under a running nines.
// What was acknowledged stays, what could not be written comes later from the
// agent, and when there is space again everything goes on by itself.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	small := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=30m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(small, syscall.MNT_DETACH) })
	if err := os.CopyFS(filepath.Join(small, "config"), os.DirFS(filepath.Join(s.dir, "config"))); err != nil {
		t.Fatal(err)
	}
	s.dir = small
	d := launch(t, binary, "up", "--data-dir", s.dir, "--listen", s.listen)
	t.Cleanup(func() { d.cmd.Process.Kill(); <-d.done }) // before the volume goes
	s.healthy(t)
	s.inState(t, "up")
	fill(t, filepath.Join(small, "filler"))
	d.out.says(t, "no space left on device")
	eventually(t, time.Minute, "health names the folder", func() error {
		err := s.get("/-/ready", nil)
		if err == nil || !strings.Contains(err.Error(), small) || !strings.Contains(err.Error(), "no space left on device") {
			return fmt.Errorf("it says %v", err)
		}
		return nil
	})
	<-time.After(10 * time.Second)
	if n := strings.Count(d.out.String(), "the broker cannot write"); n != 1 {
		t.Errorf("the log says %d times that the broker cannot write", n)
	}
	if n := strings.Count(d.out.String(), "no space left on device"); n > 15 {
		t.Errorf("the log says %d times that the disk is full:\n%s", n, tail(d.out.String(), 30))
	}
	os.Remove(filepath.Join(small, "filler"))
	eventually(t, time.Minute, "it is well again", func() error { return s.get("/-/ready", nil) })
	s.goesOn(t)
	s.settle(t, func(int64) bool { return false })

	// Killed with a full disk, it says so at the next start, and starts when
	// there is space.
	fill(t, filepath.Join(small, "filler"))
	<-time.After(2 * time.Second)
	d.cmd.Process.Kill()
	<-d.done
	fill(t, filepath.Join(small, "filler2"))
	killed := time.Now().UnixMilli()
	code, _, errs := oneShot(t, binary, "up", "--data-dir", s.dir, "--listen", s.listen)
	if code != 1 || !strings.Contains(errs, small) || !strings.Contains(errs, "no space left on device") {
		t.Errorf("start on a full disk: code %d:\n%s", code, errs)
	}
	os.Remove(filepath.Join(small, "filler"))
	os.Remove(filepath.Join(small, "filler2"))
	d = launch(t, binary, "up", "--data-dir", s.dir, "--listen", s.listen)
	s.healthy(t)
	s.settle(t, func(at int64) bool { return at <= killed && at > killed-5000 })
	d.interrupt(t)
}

// fill writes until its volume is full.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

func TestAReadOnlyDataDirectory(t *testing.T) {
	t.Parallel()
	_, conf := shipped(t)
	ro := filepath.Join(t.TempDir(), "ro")
	if err := os.Mkdir(ro, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", ro, "tmpfs", syscall.MS_RDONLY, "size=1m"); err != nil {
		t.Skipf("cannot mount a read-only file system: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(ro, syscall.MNT_DETACH) })
	for _, args := range [][]string{
		{"up", "--data-dir", ro},
		{"up", "--data-dir", filepath.Join(ro, "new"), "--config", filepath.Join(conf, "nines.yaml")},
		{"init", filepath.Join(ro, "new")},
	} {
		if args[0] == "up" {
			args = append(args, "--listen", ports.Free(t))
		}
		code, out, errs := oneShot(t, binary, args...)
		if code != 1 || out != "" || !strings.Contains(errs, ro) || !strings.Contains(errs, "read-only file system") {
			t.Errorf("%v: code %d:\n%s%s", args, code, out, errs)
		}
	}
}

// TestKafkaComesLater starts the collector and the agent before their broker:
// both say what they wait for, once, and work when it is there.
func TestKafkaComesLater(t *testing.T) {
	t.Parallel()
	agentProgram := buildAgent(t)
	addr, startBroker := laterBroker(t)
	dir, conf := shipped(t)
	replaceIn(t, filepath.Join(conf, "nines.yaml"), "", "kafka: {brokers: [\""+addr+"\"]}\n")
	agentConfig := filepath.Join(conf, "agent", "agent.yaml")
	replaceIn(t, agentConfig, "127.0.0.1:9092", addr)
	replaceIn(t, agentConfig, "# agent: web-17", "agent: far-away")
	s := &site{dir: dir, listen: ports.Free(t)}
	s.url = "http://" + s.listen
	col := launch(t, binary, "collector", "--config", filepath.Join(conf, "nines.yaml"), "--data-dir", dir, "--listen", s.listen)
	ag := launch(t, agentProgram, "--config", agentConfig)
	col.out.says(t, "connect to Kafka at "+addr+": connection refused")
	ag.out.says(t, "connect to Kafka at "+addr+": connection refused")
	<-time.After(3 * time.Second)
	for name, d := range map[string]*daemon{"collector": col, "agent": ag} {
		if n := strings.Count(d.out.String(), "connection refused"); n > 2 {
			t.Errorf("the %s says %d times that there is no broker:\n%s", name, n, d.out.String())
		}
	}

	// Stopped while it waits, it is no failure.
	waiting := launch(t, binary, "collector", "--config", filepath.Join(conf, "nines.yaml"), "--data-dir", t.TempDir(), "--listen", ports.Free(t))
	waiting.out.says(t, "waiting for Kafka")
	waiting.interrupt(t)

	startBroker()
	s.healthy(t)
	eventually(t, time.Minute, "the agent's host is seen", func() error {
		var hosts []struct{ Host string }
		if err := s.get("/api/nines/v1/hosts", &hosts); err != nil {
			return err
		}
		for _, h := range hosts {
			if h.Host == "far-away" {
				return nil
			}
		}
		return fmt.Errorf("hosts are %v", hosts)
	})
	ag.interrupt(t)
	col.interrupt(t)
}

func buildAgent(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "nines-agent")
	if out, err := exec.Command("go", "build", "-o", program, "nines/cmd/nines-agent").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// laterBroker returns where a broker will be once start is called.
func laterBroker(t *testing.T) (addr string, start func()) {
	t.Helper()
	if kafka.Apache() {
		n := kafka.Start(t, kafka.Options{Idle: true}).Node(0)
		return n.Addr(), func() {
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	addr = ports.Free(t)
	return addr, func() { startEmbedded(t, addr) }
}

func startEmbedded(t *testing.T, addr string) {
	t.Helper()
	b, err := broker.New(broker.Options{Config: broker.Config{DataDir: t.TempDir(), Listen: addr}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-b.Ready():
	case <-time.After(5 * time.Second):
		t.Fatal("the broker does not start")
	}
}

// TestTheFirstLines: what a person reads first is where the page is, what is
// measured, where the data lies and how to stop; after that the log is calm.
func TestTheFirstLines(t *testing.T) {
	t.Parallel()
	dir, _ := shipped(t)
	s := &site{dir: dir, listen: ports.Free(t)}
	s.url = "http://" + s.listen
	d := launch(t, binary, "up", "--data-dir", dir, "--listen", s.listen)
	s.healthy(t)
	var lines []string
	for _, l := range strings.Split(d.out.String(), "\n") {
		// A library tells, before main begins, that this kernel has no pressure
		// figures.
		if !strings.Contains(l, "disable exposing PSI metrics") {
			lines = append(lines, l)
		}
	}
	words := []string{"nines ", "page      " + s.url, "measures  ", "", "data      " + dir, "config    " + dir, "stop      Ctrl-C"}
	i := 0
	for _, l := range lines {
		if strings.Contains(l, "level=") {
			break
		}
		for i < len(words) && strings.Contains(l, words[i]) {
			i++
			break
		}
	}
	if i != len(words) {
		t.Errorf("the first lines lack %q:\n%s", words[i], strings.Join(lines, "\n"))
	}
	<-time.After(5 * time.Second)
	settled := strings.Count(d.out.String(), "\n")
	<-time.After(10 * time.Second)
	if n := strings.Count(d.out.String(), "\n"); n > settled {
		t.Errorf("%d lines in ten quiet seconds:\n%s", n-settled, tail(d.out.String(), n-settled+1))
	}
	d.interrupt(t)
}

func TestHelp(t *testing.T) {
	t.Parallel()
	code, out, _ := oneShot(t, binary, "--help")
	if code != 0 || !strings.Contains(out, "Exit codes") {
		t.Errorf("--help: code %d:\n%s", code, out)
	}
	for _, command := range []string{"up", "collector", "init", "check", "cat", "status", "statement", "sim"} {
		if !strings.Contains(out, "\n  "+command+" ") {
			t.Errorf("--help does not list %s:\n%s", command, out)
		}
		code, help, _ := oneShot(t, binary, command, "--help")
		if code != 0 || !strings.Contains(help, "Examples:\n  nines "+command) || !strings.Contains(help, "Usage:") {
			t.Errorf("%s --help: code %d:\n%s", command, code, help)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, script, errs := oneShot(t, binary, "completion", shell); code != 0 || !strings.Contains(script, "nines") {
			t.Errorf("completion %s: code %d: %s", shell, code, errs)
		}
	}
	if code, out, _ := oneShot(t, binary, "__complete", "cat", "nines.dead"); code != 0 || !strings.Contains(out, "nines.deadletter") {
		t.Errorf("completion of topics: code %d:\n%s", code, out)
	}
	if code, out, _ := oneShot(t, binary, "--version"); code != 0 || !strings.HasPrefix(out, "nines ") {
		t.Errorf("--version: code %d: %s", code, out)
	}
}
