package torture

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nines/internal/broker"
	"nines/internal/bus"
	"nines/internal/ledger"
	"nines/internal/wire"
	brokers "nines/test/kafka"
	"nines/test/ports"
	"nines/test/postgres"
)

// kafka is the broker under torture: the embedded one, or one or three nodes of
// Apache Kafka, as the environment asks.
type kafka struct {
	// addrs are where its nodes listen, always the same.
	addrs []string
	// nodes are the processes that the plan kills, stops and starts: none where a
	// test does that by itself.
	nodes []*process
}

// site is the installation.
type site struct {
	t          *testing.T
	dir        string
	epoch      int64
	kafka      kafka
	shape      shape
	agents     []*agentSite
	collectors []*process
	links      []*link // of the agents, then of the collectors
	ledgerOf   ledger.Options
	rules      int // the variant in force
	partitions int
	client     *bus.Client // the harness's own, without a link
	timeline   []string
}

type agentSite struct {
	*process
	conf agentConf
}

// shape is what the seed decides about a site.
type shape struct {
	Postgres           bool
	Agents, Collectors int
}

// newSite prepares a site on the broker that the environment asks for.
func newSite(t *testing.T, seed uint64, sh shape) *site {
	s := emptySite(t, sh)
	if s.kafka = s.embedded(); brokers.Apache() {
		s.kafka = s.apache()
	}
	s.link(sh.Agents + sh.Collectors)
	s.people(seed)
	return s
}

func emptySite(t *testing.T, sh shape) *site {
	s := &site{t: t, dir: t.TempDir(), epoch: time.Now().UnixMilli(), partitions: 2, shape: sh}
	for _, d := range []string{"truth", "logs", "objectives"} {
		if err := os.Mkdir(filepath.Join(s.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.ledgerOf = ledger.Options{Path: filepath.Join(s.dir, "c0", "ledger")}
	if sh.Postgres {
		s.ledgerOf = ledger.Options{Postgres: postgres.Ledger(t)}
	}
	s.writeRules(0)
	return s
}

// link gives each of n clients a way of its own to the broker.
func (s *site) link(n int) {
	for range n {
		s.links = append(s.links, newLink(s.t, s.kafka.addrs))
	}
}

// way is where the i-th client finds the broker: the agents, then the collectors.
func (s *site) way(i int) []string {
	if len(s.links) == 0 {
		return s.kafka.addrs
	}
	return s.links[i].addrs()
}

// people prepares agents and collectors.
func (s *site) people(seed uint64) {
	for i := range s.shape.Agents {
		a := &agentSite{conf: agentConf{Name: fmt.Sprintf("a%d", i), Zone: fmt.Sprintf("z%d", i%2), Brokers: s.way(i),
			Dir: filepath.Join(s.dir, "truth"), Epoch: s.epoch, Reset: s.epoch, Seed: seed + uint64(i)}}
		if i == 0 {
			a.conf.Bulk = 3000
		}
		if i%2 == 1 {
			a.conf.Spool = filepath.Join(s.dir, "spool-"+a.conf.Name)
		}
		a.process = s.process(a.conf.Name, func() *exec.Cmd { a.conf.Seed += 1000; return child("agent", a.conf) })
		s.agents = append(s.agents, a)
	}
	for i := range s.shape.Collectors {
		s.collectors = append(s.collectors, s.collector(i, s.way(s.shape.Agents+i)))
	}
}

func (s *site) process(name string, make func() *exec.Cmd) *process {
	p := &process{name: name, make: make, log: filepath.Join(s.dir, "logs", name)}
	p.clean(s.t)
	return p
}

func child(kind string, conf any) *exec.Cmd {
	b, err := json.Marshal(conf)
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+kind, confEnv+"="+string(b))
	return cmd
}

func (s *site) embedded() kafka {
	c := broker.Config{DataDir: filepath.Join(s.dir, "broker"), Listen: ports.Free(s.t), RetentionBytes: 4 << 30}
	return kafka{[]string{c.Listen}, []*process{s.process("broker", func() *exec.Cmd { return child("broker", c) })}}
}

func (s *site) apache() kafka {
	c := brokers.Start(s.t, brokers.Options{Idle: true, Nodes: brokers.Nodes()})
	k := kafka{addrs: c.Addrs()}
	for i := range c.Nodes() {
		k.nodes = append(k.nodes, s.process(fmt.Sprint("broker", i), c.Node(i).Command))
	}
	return k
}

// collector is nines itself. Only the first evaluates into a ledger on SQLite.
func (s *site) collector(i int, way []string) *process {
	name, roles, led, partials := fmt.Sprintf("c%d", i), "aggregate,evaluate", "", 1
	if s.shape.Postgres {
		led, partials = fmt.Sprintf("ledger: {postgres: %q}\n", s.ledgerOf.Postgres), 2
	} else if i > 0 {
		roles = "aggregate"
	}
	file := filepath.Join(s.dir, name+".yaml")
	s.write(file, fmt.Sprintf(`data_dir: %s
kafka: {brokers: [%s], dial_timeout: 1s, request_timeout: 3s}
topics: {telemetry_partitions: %d, partials_partitions: %d}
objectives: [objectives/*.yaml]
evaluate: {lateness: 2s, hard_bound: 15s}
%s`, name, `"`+strings.Join(way, `", "`)+`"`, s.partitions, partials, led))
	return s.process(name, func() *exec.Cmd {
		return exec.Command(nines, "collector", "--config", file, "--roles", roles)
	})
}

func (s *site) write(file, text string) {
	tmp := file + ".tmp"
	err := os.WriteFile(tmp, []byte(text), 0o644)
	if err == nil {
		err = os.Rename(tmp, file)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// ruleVariants are the parts of the objectives that change.
var ruleVariants = []struct {
	probes, app, group string
	host               bool
}{
	{"5s", "5%", "app", true},
	{"10s", "10%", "app", true},
	{"5s", "5%", "app, zone", false},
}

// writeRules puts a variant of the objectives where all collectors read it.
func (s *site) writeRules(variant int) {
	s.rules = variant
	v := ruleVariants[variant]
	docs := []string{objective("probes", fmt.Sprintf(`thresholdMetric: {metricSource: {type: nines, spec: {metric: probe_success,
        groupBy: [target], slot: {length: %s, badWhen: any_failure, maxGap: 0s}}}}`, v.probes), "op: gte, value: 1, "),
		objective("app", ratio("app_failed_total", "app_requests_total", v.group, "5s", v.app), "")}
	if v.host {
		docs = append(docs, objective("host", ratio("host_drops_total", "host_packets_total", "host", "10s", "2%"), ""))
	}
	s.write(filepath.Join(s.dir, "objectives", "all.yaml"), strings.Join(docs, "---\n"))
}

func ratio(bad, total, group, length, limit string) string {
	return fmt.Sprintf(`ratioMetric:
        counter: true
        bad: {metricSource: {type: nines, spec: {metric: %s}}}
        total: {metricSource: {type: nines, spec: {metric: %s, groupBy: [%s], slot: {length: %s, badWhen: ratio, maxRatio: %s}}}}`,
		bad, total, group, length, limit)
}

func objective(name, indicator, condition string) string {
	return fmt.Sprintf(`apiVersion: openslo/v1
kind: SLO
metadata: {name: %s}
spec:
  service: torture
  indicator:
    metadata: {name: %s-sli}
    spec:
      %s
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{%starget: 0.99}]
`, name, name, indicator, condition)
}

// startAll starts everything and waits until the broker serves.
func (s *site) startAll() {
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	for _, n := range s.kafka.nodes {
		must(n.start())
	}
	var err error
	s.client, err = bus.New(bus.Options{Config: bus.Config{Brokers: s.kafka.addrs}})
	must(err)
	s.t.Cleanup(s.client.Close)
	s.eventually(60*time.Second, "the broker serves", s.client.Ping)
	for _, c := range s.collectors {
		must(c.start())
	}
	for _, a := range s.agents {
		must(a.start())
	}
}

// eventually calls f until it succeeds; after limit the test ends.
func (s *site) eventually(limit time.Duration, what string, f func(context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("not within %s: %s: %v", limit, what, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// tick appends a tick as a collector does whose clock is ahead.
func (s *site) tick(partition int32, ahead time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := s.client.Producer(wire.TopicTelemetry, partition).Produce(ctx, []bus.Record{tickOf(time.Now().Add(ahead))})
	return err
}

// harness owns the ticks that no collector wrote.
const harness = "torture"

func tickOf(at time.Time) bus.Record {
	t := wire.Tick{Clock: at.UnixMilli(), Owner: harness}
	return bus.Record{Value: wire.AppendTick(nil, &t), Headers: []bus.Header{{Key: wire.HeaderType, Value: []byte(wire.TypeTick)}}}
}

// grow gives nines.telemetry one more partition, as an operator does: Kafka's
// request 37, version 0.
func (s *site) grow() (err error) {
	var conn net.Conn
	for _, at := range s.kafka.addrs {
		if conn, err = net.DialTimeout("tcp", at, time.Second); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * time.Second))
	str := func(b []byte, v string) []byte { return append(binary.BigEndian.AppendUint16(b, uint16(len(v))), v...) }
	b := str([]byte{0, 37, 0, 0, 0, 0, 0, 1}, "torture")
	b = str(binary.BigEndian.AppendUint32(b, 1), wire.TopicTelemetry)
	b = binary.BigEndian.AppendUint32(b, uint32(s.partitions+1))
	b = append(b, 0xff, 0xff, 0xff, 0xff) // assigned as the broker likes
	b = append(binary.BigEndian.AppendUint32(b, 2000), 0)
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
		return err
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	answer = make([]byte, binary.BigEndian.Uint32(answer))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	// correlation id, throttle time, one topic, its name, the error.
	at := 4 + 4 + 4 + 2 + len(wire.TopicTelemetry)
	if len(answer) < at+2 {
		return errors.New("add a partition: the answer is too short")
	}
	if code := binary.BigEndian.Uint16(answer[at:]); code != 0 {
		return fmt.Errorf("add a partition: error %d", code)
	}
	s.partitions++
	return nil
}

// heal continues and starts whatever does not run.
func (s *site) heal() {
	for _, p := range s.all() {
		p.signal(syscall.SIGCONT)
		if p.ended() {
			if err := p.start(); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

func (s *site) all() []*process {
	out := append([]*process(nil), s.kafka.nodes...)
	out = append(out, s.collectors...)
	for _, a := range s.agents {
		out = append(out, a.process)
	}
	return out
}

func (s *site) wait(d time.Duration) { <-time.After(d) }
