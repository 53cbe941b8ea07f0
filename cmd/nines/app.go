package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/alerting"
	"nines/collector/aggregate"
	"nines/collector/evaluate"
	"nines/collector/forward"
	"nines/collector/notary"
	"nines/collector/ruler"
	"nines/internal/alert"
	"nines/internal/bus"
	"nines/internal/ledger"
	"nines/internal/rulelog"
	"nines/internal/service"
	"nines/internal/slo"
	"nines/internal/wire"
	"nines/rules"
	"nines/web"
)

// The roles, by the names of their folders, flags and metric prefixes.
const (
	roleAggregate = "aggregate"
	roleEvaluate  = "evaluate"
	roleRuler     = "ruler"
	roleForward   = "forward"
	roleNotify    = "notify"
	roleWeb       = "web"
)

var allRoles = []string{roleAggregate, roleEvaluate, roleRuler, roleForward, roleNotify, roleWeb}

// app wires the roles of one process.
type app struct {
	cfg     *Config
	roles   []string
	console io.Writer
	log     *slog.Logger
	owner   string

	client *bus.Client
	ledger *ledger.Ledger
	rules  *rulelog.Log
	set    atomic.Pointer[slo.RuleSet]
	group  *service.Group
	sets   []*metrics.Set
	// agentSet is the local agent's, made before the page asks for all sets.
	agentSet *metrics.Set
	ruler    *ruler.Ruler
	notify   *alerting.Notify
	loads    []func(time.Time) []bus.LoadView // of the roles, as they were built
	haste    *haste
}

func newApp(cfg *Config, roles []string, console io.Writer, log *slog.Logger) *app {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	a := &app{cfg: cfg, roles: roles, console: console, log: log,
		owner: fmt.Sprintf("%s/%d", host, os.Getpid()), group: service.New(service.Options{Log: log})}
	a.agentSet = a.metrics()
	return a
}

func (a *app) has(role string) bool { return slices.Contains(a.roles, role) }

// metrics returns a set of its own for a part; /metrics shows them all.
func (a *app) metrics() *metrics.Set {
	s := metrics.NewSet()
	a.sets = append(a.sets, s)
	return s
}

// prepare does all that comes before the roles run. Being told to stop
// meanwhile, by ctx, is no failure.
func (a *app) prepare(ctx context.Context) error {
	a.haste = newHaste()
	for _, step := range []func(context.Context) error{a.connect, a.open, a.build} {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				return errStopped
			}
			return err
		}
	}
	return nil
}

// errStopped is what prepare returns when it was told to stop; it is no failure.
var errStopped = errors.New("stopped")

// connect reaches Kafka, waiting for it, and creates the topics.
func (a *app) connect(ctx context.Context) error {
	client, err := bus.New(bus.Options{Config: a.cfg.Kafka, Log: a.log, Metrics: a.metrics()})
	if err != nil {
		return err
	}
	a.client = client
	if err := a.awaitKafka(ctx); err != nil {
		return failed(err)
	}
	t := a.cfg.Topics
	topics := []bus.Topic{
		{Name: wire.TopicTelemetry, Partitions: t.TelemetryPartitions, Retention: t.Retention.D()},
		{Name: wire.TopicPartials, Partitions: t.PartialsPartitions, Retention: t.Retention.D(), MaxMessageBytes: 8 << 20},
		{Name: wire.TopicCheckpoints, Compact: true},
		{Name: wire.TopicRules, Compact: true},
		{Name: wire.TopicRoster, Partitions: 16, Compact: true, Retention: 24 * time.Hour, Segment: time.Hour},
		{Name: wire.TopicAlerts, Compact: true},
		{Name: wire.TopicDeadLetter, Retention: 7 * 24 * time.Hour},
	}
	for _, name := range slices.Sorted(maps.Keys(t.Formats)) { // those of other fleets
		topics = append(topics, bus.Topic{Name: name, Partitions: t.TelemetryPartitions, Retention: t.Retention.D()})
	}
	for _, topic := range topics {
		topic.Replication = t.Replication
		if err := a.retry(ctx, "waiting for topics", func() error {
			_, err := client.EnsureTopic(ctx, topic)
			return err
		}); err != nil {
			return failed(err)
		}
	}
	return nil
}

// awaitKafka tries until a broker answers: a collector that starts before its
// broker waits for it, and says so.
func (a *app) awaitKafka(ctx context.Context) error {
	return a.retry(ctx, "waiting for Kafka", func() error { return a.client.Ping(ctx) })
}

// retry calls f until it succeeds, its error is one that time does not mend, or
// the context ends. It says what it waits for whenever the reason changes.
func (a *app) retry(ctx context.Context, what string, f func() error) error {
	for said := ""; ; {
		err := f()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil || !bus.Temporary(err) {
			return err
		}
		if text := err.Error(); text != said {
			said = text
			a.log.Warn(what, "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// open opens the ledger and makes the configured rules the current ones.
func (a *app) open(ctx context.Context) error {
	o, err := a.cfg.ledgerOptions()
	if err != nil {
		return failed(err)
	}
	o.Log, o.Metrics = a.log, a.metrics()
	led, err := ledger.Open(ctx, o)
	if err != nil {
		return failed(err)
	}
	a.ledger = led
	a.rules = rulelog.New(a.client)
	if err := a.retry(ctx, "waiting for rule sets", func() error { return a.rules.Load(ctx) }); err != nil {
		return failed(err)
	}
	return a.publishRules(ctx)
}

func ledgerPath(dataDir string) string { return filepath.Join(dataDir, "ledger") }

// publishRules reads the objectives and contracts and publishes them if they
// are new. On an error the set in force stays.
func (a *app) publishRules(ctx context.Context) error {
	set, err := rules.Load(slices.Concat(a.cfg.Objectives, a.cfg.Contracts))
	if err != nil {
		return err
	}
	for _, w := range set.Warnings {
		a.log.Warn(w.Error())
	}
	for _, w := range undeclared(set.Contracts, a.cfg.Ledger.People) {
		a.log.Warn(w)
	}
	before := a.rules.Current()
	id, err := a.rules.Publish(ctx, set.RuleSet)
	if err != nil {
		return failed(err)
	}
	if before != "" && before != id {
		a.log.Info("another rule set was in force; this process's configuration replaces it for all collectors", "before", before, "now", id)
	}
	a.set.Store(set.RuleSet)
	a.log.Info("rules in force", "rule_set", id, "objectives", len(set.RuleSet.Objectives), "contracts", len(set.Contracts))
	return nil
}

// build makes the roles and adds them to the group, in the order of the data.
func (a *app) build(context.Context) error {
	a.group.Add(service.Part{Name: "configuration", Run: untilDone, CheckReload: a.checkProcess})
	a.group.Add(service.Part{Name: "rules", Run: a.rules.Run, Reload: a.publishRules,
		CheckReload: func(context.Context) error { return checkRules(a.cfg) }})
	a.group.Add(service.Part{Name: "ledger", Run: a.ledger.Run})
	for _, role := range []struct {
		name string
		make func() (service.Part, error)
	}{{roleNotify, a.notifyPart}, {roleRuler, a.rulerPart}, {roleForward, a.forwardPart}, {roleEvaluate, a.evaluatePart}, {roleAggregate, a.aggregatePart}, {roleWeb, a.webPart}} {
		if !a.has(role.name) {
			continue
		}
		part, err := role.make()
		if err != nil {
			return err
		}
		part.Name = role.name
		a.group.Add(part)
	}
	if a.has(roleEvaluate) {
		part, err := a.notaryPart()
		if err != nil {
			return err
		}
		part.Name = "notary"
		a.group.Add(part)
	}
	if a.haste.loads = a.loads; len(a.loads) > 0 {
		a.group.Add(service.Part{Name: "haste", Run: a.haste.Run})
	} else {
		a.haste.end()
	}
	return nil
}

func (a *app) aggregatePart() (service.Part, error) {
	formats, _ := aggregate.ParseFormats(a.cfg.Topics.Formats) // what is wrong was told when the file was read
	r, err := aggregate.New(aggregate.Options{Client: a.client, Rules: a.rules, Owner: a.owner, Formats: formats, Log: a.log.With("role", roleAggregate), Metrics: a.metrics()})
	if err != nil {
		return service.Part{}, err
	}
	a.loads = append(a.loads, r.Loads)
	return service.Part{Run: r.Run, Health: r.Health}, nil
}

func (a *app) evaluatePart() (service.Part, error) {
	r, err := evaluate.NewRole(evaluate.Options{Config: a.cfg.Evaluate.state(), Client: a.client, Ledger: a.ledger, Rules: a.rules,
		Owner: a.owner, Log: a.log.With("role", roleEvaluate), Metrics: a.metrics()})
	if err != nil {
		return service.Part{}, err
	}
	a.loads = append(a.loads, r.Loads)
	return service.Part{Run: r.Run, Health: r.Health}, nil
}

func (a *app) rulerPart() (service.Part, error) {
	formats, _ := aggregate.ParseFormats(a.cfg.Topics.Formats) // what is wrong was told when the file was read
	r, err := ruler.New(ruler.Options{Config: a.cfg.Ruler, Client: a.client, Formats: formats, Log: a.log.With("role", roleRuler), Metrics: a.metrics(),
		Publish: a.publisher()})
	if err != nil {
		return service.Part{}, err
	}
	a.ruler = r
	a.loads = append(a.loads, r.Loads)
	return service.Part{Run: r.Run, CheckReload: r.CheckReload, Reload: r.Reload, Health: r.Ready}, nil
}

func (a *app) forwardPart() (service.Part, error) {
	formats, _ := aggregate.ParseFormats(a.cfg.Topics.Formats) // what is wrong was told when the file was read
	f, err := forward.New(forward.Options{Config: a.cfg.Forward, Client: a.client, Formats: formats, Log: a.log.With("role", roleForward), Metrics: a.metrics()})
	if err != nil {
		return service.Part{}, failed(err)
	}
	return service.Part{Run: f.Run}, nil
}

// publisher returns what puts an alert on nines.alerts.
func (a *app) publisher() func(context.Context, alert.Alert) error {
	alerts := a.client.Producer(wire.TopicAlerts, 0)
	return func(ctx context.Context, al alert.Alert) error {
		key, value, err := wire.EncodeAlert(&al)
		if err != nil {
			return err
		}
		_, err = alerts.Produce(ctx, []bus.Record{{Key: key, Value: value,
			Headers: []bus.Header{{Key: wire.HeaderType, Value: []byte(wire.TypeAlert)}}}})
		return err
	}
}

// notaryPart signs the ledger's log, beside the role that writes it.
func (a *app) notaryPart() (service.Part, error) {
	c := a.cfg.Ledger.Checkpoints
	key, made, err := notary.OpenKey(c.Key, c.Name)
	if err != nil {
		return service.Part{}, failed(err)
	}
	if made {
		a.log.Info("made a key that signs the ledger's checkpoints; give its public key to who is to verify them", "file", c.Key, "public", key.Public)
	}
	o := notary.Options{Ledger: a.ledger, Key: key, Dir: c.Dir, Log: a.log.With("role", "notary"), Metrics: a.metrics()}
	if c.Alert {
		o.Publish = a.publisher()
	}
	n, err := notary.New(o)
	if err != nil {
		return service.Part{}, err
	}
	return service.Part{Run: n.Run}, nil
}

func (a *app) notifyPart() (service.Part, error) {
	n, err := alerting.New(alerting.Options{Config: a.cfg.Alerting, Client: a.client, Store: stateStore{a.ledger},
		Log: a.log.With("role", roleNotify), Metrics: a.metrics(), Console: a.console})
	if err != nil {
		return service.Part{}, err
	}
	a.notify = n
	a.loads = append(a.loads, n.Loads)
	return service.Part{Run: n.Run, CheckReload: n.CheckReload, Reload: n.Reload}, nil
}

func (a *app) webPart() (service.Part, error) {
	o := web.Options{Config: a.cfg.Web, Ledger: a.ledger, Rules: a.set.Load, Health: a.group.Health, Reload: a.group.Reload,
		Metrics: a.metrics(), Version: version, DataDir: a.cfg.DataDir, Log: a.log.With("role", roleWeb)}
	if len(a.loads) > 0 {
		slices.Reverse(a.loads) // roles are built from the end of the data to its beginning
		o.Pipeline = (&pipeline{client: a.client, loads: a.loads}).view
	}
	if a.ruler != nil {
		o.Prometheus = a.ruler.Handler()
	}
	if a.notify != nil {
		o.Alertmanager = a.notify.Handler()
		o.Alerts = func() []web.Alert {
			var out []web.Alert
			for _, v := range a.notify.Alerts() {
				out = append(out, web.Alert{Labels: v.Labels, Annotations: v.Annotations, Firing: v.Status == alert.Firing,
					StartsAt: v.StartsAt, EndsAt: v.EndsAt, Silenced: v.Silenced})
			}
			return out
		}
	}
	o.Sets = a.sets
	w, err := web.New(o)
	if err != nil {
		return service.Part{}, err
	}
	// The address is taken before nines says that the page is there.
	if _, err := w.Listen(); err != nil {
		return service.Part{}, failed(err)
	}
	return service.Part{Run: w.Run}, nil
}

// close releases what the app opened.
func (a *app) close() error {
	var err error
	if a.haste != nil {
		a.haste.end()
	}
	if a.ledger != nil {
		err = a.ledger.Close()
	}
	if a.client != nil {
		a.client.Close()
	}
	return err
}

// stateStore lets the notifier keep its state in the ledger's database.
type stateStore struct{ *ledger.Ledger }

func (s stateStore) List(ctx context.Context, kind string) (map[string][]byte, error) {
	entries, err := s.StateList(ctx, kind)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]byte, len(entries))
	for _, e := range entries {
		out[e.Key] = e.Blob
	}
	return out, nil
}

func (s stateStore) Put(ctx context.Context, kind, key string, blob []byte) error {
	return s.StatePut(ctx, kind, key, blob)
}

func (s stateStore) Delete(ctx context.Context, kind, key string) error {
	return s.StateDelete(ctx, kind, key)
}

// checkFiles reads every file that the configuration names, as a start would,
// and returns all that is wrong with them.
func checkFiles(cfg *Config) error {
	var errs []error
	errs = append(errs, checkRules(cfg))
	errs = append(errs, ruler.CheckPatterns(cfg.Ruler.Rules))
	if cfg.Alerting.AlertmanagerFile != "" {
		errs = append(errs, alerting.CheckConfig(cfg.Alerting.AlertmanagerFile))
	}
	return errors.Join(errs...)
}

func checkRules(cfg *Config) error {
	_, err := rules.Load(slices.Concat(cfg.Objectives, cfg.Contracts))
	return err
}

// checkProcess reads the process's own file again. What it says takes effect at
// the next start; a mistake is told now.
func (a *app) checkProcess(context.Context) error {
	c, err := loadConfig(a.cfg.file)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(c.read, a.cfg.read) {
		a.log.Warn("the file has changed; what it says takes effect at the next start", "file", a.cfg.file)
	}
	return nil
}

// writable creates the data directory and tells whether files can be written
// there.
func writable(dir string) error {
	err := os.MkdirAll(dir, 0o755)
	var f *os.File
	if err == nil {
		f, err = os.CreateTemp(dir, ".write-*")
	}
	if err == nil {
		_, err = f.WriteString("nines\n")
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return fmt.Errorf("write to data directory %s: %w; make it writable for this user, or choose another with --data-dir", dir, reason(err))
	}
	return nil
}

// portFree fails early, with what to do, where another process listens.
func portFree(addr, flag string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; stop the process that uses it, or choose another address with %s", addr, reason(err), flag)
	}
	return l.Close()
}
