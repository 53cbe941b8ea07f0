// Package e2e runs the real processes: the nines binary with its embedded broker,
// or Apache Kafka in its place, agent, collector and page, against targets and
// receivers of the test.
package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

	"nines/test/kafka"
	"nines/test/ports"
)

// binary is the nines under test; TestMain builds it.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "nines-e2e")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "nines")
	if err := os.Setenv(passwordEnv, secret); err != nil { // t.Setenv is not for parallel tests
		panic(err)
	}
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, "nines/cmd/nines")
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// need skips the test where a program is absent, and fails it under CI.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed: run test/setup", program)
	}
	t.Skipf("%s is not installed: run test/setup", program)
	return ""
}

// target is a web server that notes which probe attempts reached it.
type target struct {
	addr string
	mu   sync.Mutex
	seen map[int64]int // attempts by scheduled time, Unix milliseconds
	srv  *http.Server
}

func newTarget(t *testing.T) *target {
	tg := &target{addr: ports.Free(t), seen: map[int64]int{}}
	tg.start(t)
	t.Cleanup(func() { tg.stop() })
	return tg
}

func (tg *target) start(t *testing.T) {
	t.Helper()
	var l net.Listener
	eventually(t, time.Minute, "listen again on "+tg.addr, func() (err error) {
		l, err = net.Listen("tcp", tg.addr)
		return err
	})
	tg.srv = &http.Server{Handler: tg}
	go tg.srv.Serve(l)
}

// stop refuses connections from now on, and lets answers under way finish.
func (tg *target) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	tg.srv.Shutdown(ctx)
}

func (tg *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, at, _ := strings.Cut(r.Header.Get("Nines-Probe"), "-")
	if ms, err := strconv.ParseInt(at, 10, 64); err == nil {
		tg.mu.Lock()
		tg.seen[ms]++
		tg.mu.Unlock()
	}
	w.Write([]byte("ok"))
}

// attempts returns the scheduled times of the attempts that reached the target.
func (tg *target) attempts() map[int64]int {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	out := make(map[int64]int, len(tg.seen))
	for at, n := range tg.seen {
		out[at] = n
	}
	return out
}

func (tg *target) last() (last int64) {
	for at := range tg.attempts() {
		last = max(last, at)
	}
	return last
}

// receiver is a webhook that keeps what it is sent.
type receiver struct {
	url string
	mu  sync.Mutex
	got []notification
}

// notification is one alert of a webhook's message.
type notification struct {
	At          time.Time         `json:"-"`
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: r}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	r.url = "http://" + l.Addr().String()
	return r
}

func (r *receiver) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	now := time.Now()
	var msg struct{ Alerts []notification }
	if err := json.NewDecoder(req.Body).Decode(&msg); err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range msg.Alerts {
		n.At = now
		r.got = append(r.got, n)
	}
}

// of returns the notifications of an alert in a state.
func (r *receiver) of(alertname, status string) []notification {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []notification
	for _, n := range r.got {
		if n.Labels["alertname"] == alertname && n.Status == status {
			out = append(out, n)
		}
	}
	return out
}

// site is one installation: configuration, data and address, over any number of
// processes one after the other.
type site struct {
	dir, url, listen string
	target           *target
	receiver         *receiver
}

const objectives = `apiVersion: openslo/v1
kind: SLO
metadata: {name: probe-availability-by-target}
spec:
  service: shop
  indicator:
    metadata: {name: shop-up}
    spec:
      thresholdMetric:
        metricSource:
          type: nines
          spec:
            metric: probe_success
            labels: {job: shop}
            groupBy: [target]
            slot: {length: 1s, badWhen: any_failure, maxGap: 0s}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{op: gte, value: 1, target: 0.999}]
`

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), listen: ports.Free(t), target: newTarget(t), receiver: newReceiver(t)}
	s.url = "http://" + s.listen
	conf := filepath.Join(s.dir, "config")
	if out, err := exec.Command(binary, "init", conf).CombinedOutput(); err != nil {
		t.Fatalf("nines init: %v\n%s", err, out)
	}
	if kafka.Apache() {
		replaceIn(t, filepath.Join(conf, "nines.yaml"), "", fmt.Sprintf("kafka: {brokers: [%q]}\n", kafka.Serve(t).Addr))
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, old := range []string{"objectives/llm-ttft.yaml", "objectives/probe-availability.yaml", "objectives/probe-latency.yaml"} {
		if err := os.Remove(filepath.Join(conf, old)); err != nil {
			t.Fatal(err)
		}
	}
	write("objectives/shop.yaml", objectives)
	write("alerting/alertmanager.yml", fmt.Sprintf(`
route: {receiver: hook, group_by: [alertname, target], group_wait: 30s, group_interval: 1m}
receivers:
  - name: hook
    webhook_configs: [{url: %q, send_resolved: true}]
inhibit_rules:
  - source_matchers: [alertname="ConfirmedDown"]
    target_matchers: [alertname="ErrorBudgetBurn"]
    equal: [target]
`, s.receiver.url))
	write("agent/agent.yaml", fmt.Sprintf(`
agent: host-1
labels: {zone: z1, region: r1}
inputs_files: [inputs.toml]
probes:
  jobs:
    - {name: shop, probe: http, targets: ["http://%s/"]}
    - {name: nines, probe: tcp, targets: [%q]}
`, s.target.addr, s.listen))
	return s
}

// process is one run of nines.
type process struct {
	cmd  *exec.Cmd
	log  *output
	done chan struct{}
	err  error
}

func (s *site) start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{log: &output{}, done: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"up", "--data-dir", s.dir, "--listen", s.listen}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGCONT)
		p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("nines %d wrote:\n%s", p.cmd.Process.Pid, tail(p.log.String(), 60))
		}
	})
	return p
}

// ready waits until the process serves and every part is well.
func (s *site) ready(t *testing.T, p *process) {
	t.Helper()
	eventually(t, time.Minute, "nines is ready", func() error {
		select {
		case <-p.done:
			t.Fatalf("nines ended: %v\n%s", p.err, tail(p.log.String(), 40))
		default:
		}
		return s.get("/-/ready", nil)
	})
}

// stop is Ctrl-C; it fails the test unless the process ends well within 5 s.
func (p *process) stop(t *testing.T) {
	t.Helper()
	start := time.Now()
	p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		t.Fatalf("nines did not stop within 5 s")
	}
	if p.err != nil {
		t.Errorf("nines stopped with %v", p.err)
	}
	t.Logf("stopped after %s", time.Since(start).Round(time.Millisecond))
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// get reads a JSON document of the API.
func (s *site) get(path string, into any) error {
	body, err := s.text(path)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal([]byte(body), into)
}

// text reads a page.
func (s *site) text(path string) (string, error) {
	c := http.Client{Timeout: 5 * time.Second}
	resp, err := c.Get(s.url + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, resp.Status, body)
	}
	return string(body), err
}

type overview struct {
	LogTime    int64 `json:"log_time"`
	Objectives []struct {
		Name   string
		Groups []groupStatus
	}
}

type groupStatus struct {
	ID          string
	Labels      map[string]string
	State, Down string
	Good, Total uint64
}

// group returns the status of the target's group.
func (s *site) group() (groupStatus, int64, error) {
	var o overview
	if err := s.get("/api/nines/v1/overview", &o); err != nil {
		return groupStatus{}, 0, err
	}
	for _, obj := range o.Objectives {
		for _, g := range obj.Groups {
			if g.Labels["target"] == "http://"+s.target.addr+"/" {
				return g, o.LogTime, nil
			}
		}
	}
	return groupStatus{}, o.LogTime, errors.New("the target is not on the page yet")
}

// inState waits until the page shows the target in the state.
func (s *site) inState(t *testing.T, state string) {
	t.Helper()
	eventually(t, time.Minute, "the page shows the target "+state, func() error {
		g, _, err := s.group()
		if err == nil && g.State != state {
			err = fmt.Errorf("it shows %q", g.State)
		}
		return err
	})
}

type slot struct {
	T           int64
	S           string
	Good, Total uint64
}

// slots waits until every slot before end is closed, and returns those from
// start on.
func (s *site) slots(t *testing.T, start, end int64) []slot {
	t.Helper()
	var doc struct{ Slots []slot }
	eventually(t, 90*time.Second, "all slots are closed", func() error {
		g, _, err := s.group()
		if err != nil {
			return err
		}
		if err := s.get(fmt.Sprintf("/api/nines/v1/slots?group=%s&from=%d&to=%d", g.ID, start, end), &doc); err != nil {
			return err
		}
		for _, sl := range doc.Slots {
			if sl.S == "open" {
				return fmt.Errorf("the slot at %d is open", sl.T)
			}
		}
		if n := len(doc.Slots); n == 0 || doc.Slots[n-1].T < end-1000 {
			return fmt.Errorf("%d slots, not up to %d", n, end)
		}
		return nil
	})
	return doc.Slots
}

type gap struct {
	From, To int64
	Reason   string
}

func (s *site) gaps(t *testing.T) []gap {
	t.Helper()
	var out []gap
	if err := s.get(fmt.Sprintf("/api/nines/v1/gaps?from=%d", time.Now().Add(-time.Hour).UnixMilli()), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func eventually(t *testing.T, limit time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.After(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s: %v", limit, what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func tail(s string, lines int) string {
	all := strings.Split(s, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
