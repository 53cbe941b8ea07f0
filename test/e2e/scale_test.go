package e2e

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nines/internal/access"
	"nines/internal/bus"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/wire"
	"nines/test/kafka"
	"nines/test/postgres"
)

var (
	scaleHosts = flag.Int("scale-hosts", 92, "hosts of TestScaleOut")
	scaleSpan  = flag.Duration("scale-span", 5*time.Minute, "how much of their time it plays, at 30 times its speed")
)

// scalePartitions are those of nines.telemetry and nines.partials: one for each
// collector where there are most.
const scalePartitions = 4

// TestScaleOut plays a fleet with a fault of every kind to one collector, whose
// ledger is held against the truth, and gives the frames that were sent to 2 and
// 4 collectors that share the partitions, and the whole log, ticks included, to
// four of which two aggregate and two evaluate: these read it from its beginning
// while one after the other joins. Every ledger has the same slots with the same
// states and counts.
func TestScaleOut(t *testing.T) {
	t.Parallel()
	server, err := postgres.Start()
	if errors.Is(err, postgres.ErrAbsent) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	both := "aggregate,evaluate"
	one := newRegion(t, server, both)
	from, until := one.play(t)
	one.stop(t)
	want := one.slots(t, from, until)
	if len(want) < 500 { // of 150 groups
		t.Fatalf("only %d slots to compare", len(want))
	}
	t.Logf("1 collector: %d slots, as measured", len(want))
	for _, c := range []struct {
		name  string
		ticks bool
		roles []string
	}{
		{"2", false, []string{both, both}},
		{"4", false, []string{both, both, both, both}},
		{"2 and 2", true, []string{"aggregate", "aggregate", "evaluate", "evaluate"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin := time.Now()
			r := &region{}
			if c.ticks {
				r.serve(t, server)
				copyTelemetry(t, one, r, true)
				r.join(t, c.roles...)
			} else {
				r = newRegion(t, server, c.roles...)
				r.shared(t)
				copyTelemetry(t, one, r, false)
			}
			eventually(t, 60*time.Second, "the ledger has the slots of one collector", func() error {
				return differ(want, r.slots(t, from, until))
			})
			r.shared(t)
			r.stop(t)
			if err := differ(want, r.slots(t, from, until)); err != nil {
				t.Errorf("after the collectors have stopped: %v", err)
			}
			t.Logf("equal after %s", time.Since(begin).Round(time.Second))
		})
	}
}

// region is a broker with collectors and their ledger.
type region struct {
	dir, url   string
	client     *bus.Client
	led        *ledger.Ledger
	roles      []string
	collectors []*daemon
}

func newRegion(t *testing.T, server *postgres.Server, roles ...string) *region {
	t.Helper()
	r := &region{}
	r.serve(t, server)
	r.join(t, roles...)
	return r
}

// serve starts the broker, with its topics, and makes an empty ledger.
func (r *region) serve(t *testing.T, server *postgres.Server) {
	t.Helper()
	r.dir = t.TempDir()
	var err error
	if r.url, err = server.Schema(); err != nil {
		t.Fatal(err)
	}
	addr := kafka.Serve(t).Addr
	if r.client, err = bus.New(bus.Options{Config: bus.Config{Brokers: []string{addr}}, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	if r.led, err = ledger.Open(t.Context(), ledger.Options{Postgres: r.url}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.led.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := r.client.EnsureTopic(t.Context(), bus.Topic{Name: wire.TopicTelemetry, Partitions: scalePartitions}); err != nil {
		t.Fatal(err)
	}
	copyFile(t, fleetExample+"objectives.yaml", filepath.Join(r.dir, "objectives.yaml"))
	config := fmt.Sprintf("kafka: {brokers: [%q]}\ntopics: {telemetry_partitions: %d, partials_partitions: %d}\nledger: {postgres: %q}\nobjectives: [objectives.yaml]\n",
		addr, scalePartitions, scalePartitions, r.url)
	if err := os.WriteFile(r.config(), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r *region) config() string { return filepath.Join(r.dir, "nines.yaml") }

// join starts the collectors, all at once.
func (r *region) join(t *testing.T, roles ...string) {
	t.Helper()
	r.roles = roles
	for i, of := range roles {
		r.collectors = append(r.collectors, launch(t, binary, "collector", "--config", r.config(), "--roles", of,
			"--data-dir", filepath.Join(r.dir, strconv.Itoa(i))))
	}
}

func (r *region) stop(t *testing.T) {
	t.Helper()
	for _, c := range r.collectors {
		c.interrupt(t)
	}
}

// play plays the fleet and waits until the ledger has what it measured. It
// returns what of the time that it played is in closed slots, Unix milliseconds.
func (r *region) play(t *testing.T) (from, until int64) {
	t.Helper()
	file := filepath.Join(r.dir, "truth.jsonl")
	sim := launch(t, binary, "sim", "--config", r.config(), "--script", fleetExample+"faults.yaml", "--hosts", strconv.Itoa(*scaleHosts),
		"--frame-samples", "40", "--speed", "30x", "--duration", scaleSpan.String(), "--truth", file)
	select {
	case <-sim.done:
	case <-time.After(*scaleSpan/10 + time.Minute):
		t.Fatal("nines sim does not end")
	}
	if code := sim.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("nines sim: code %d\n%s", code, sim.out.String())
	}
	until = time.Now().Truncate(time.Minute).UnixMilli() // it played up to now
	eventually(t, 60*time.Second, "one collector's ledger has what was measured", func() error {
		code, text, errs := oneShot(t, binary, "sim", "verify", "--config", r.config(), "--truth", file)
		if code != 0 || !strings.Contains(text, "the ledger is true") {
			return errorOf(text + errs)
		}
		return nil
	})
	from = until - scaleSpan.Milliseconds() - time.Minute.Milliseconds()
	eventually(t, time.Minute, "its slots are closed", func() error {
		for at, is := range r.slots(t, from, until) {
			if strings.HasPrefix(is, sla.Open.String()) {
				return fmt.Errorf("%v is %s", at, is)
			}
		}
		return nil
	})
	return from, until
}

// slotAt names a slot of a ledger.
type slotAt struct {
	group wire.GroupKey
	start int64
}

// slots returns what a ledger says of each slot that starts in [from, until).
func (r *region) slots(t *testing.T, from, until int64) map[slotAt]string {
	t.Helper()
	out := map[slotAt]string{}
	set, _, err := r.led.CurrentRuleSet(t.Context())
	if errors.Is(err, ledger.ErrNotFound) {
		return out
	}
	if err != nil {
		t.Fatal(err)
	}
	for id := range set.Streams {
		err := r.led.Slots(t.Context(), access.Local(), id, from, until, func(g ledger.Group, slots []ledger.Slot) error {
			for i := range slots {
				s := &slots[i]
				out[slotAt{g.Key, s.Start}] = fmt.Sprintf("%v: %d of %d good, %d owed, %d blind, %s", s.State, s.Good, s.Total, s.Owed, s.Blind, s.Reason)
			}
			return nil
		})
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			t.Fatal(err)
		}
	}
	return out
}

// differ tells how many slots are not as wanted, and shows one.
func differ(want, got map[slotAt]string) error {
	n, example := 0, ""
	for _, at := range slices.Collect(maps.Keys(want)) {
		if got[at] != want[at] {
			n, example = n+1, fmt.Sprintf("%v: %q, want %q", at, got[at], want[at])
		}
	}
	for at := range got {
		if _, ok := want[at]; !ok {
			n, example = n+1, fmt.Sprintf("%v: %q, where one collector has none", at, got[at])
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d slots differ: %s", n, len(want), example)
	}
	return nil
}

// shared waits until every collector has partitions for each of its roles.
func (r *region) shared(t *testing.T) {
	t.Helper()
	share := func(role string) (n int) {
		for _, of := range r.roles {
			if strings.Contains(of, role) {
				n++
			}
		}
		return n
	}
	eventually(t, time.Minute, "every collector has its share", func() error {
		if owners, want := r.tickers(t), share("aggregate"); len(owners) != want {
			return fmt.Errorf("%v aggregate, want %d", owners, want)
		}
		if owners, want := r.claimers(t), share("evaluate"); len(owners) != want {
			return fmt.Errorf("%v evaluate, want %d", owners, want)
		}
		return nil
	})
}

// tickers returns who wrote the newest ticks.
func (r *region) tickers(t *testing.T) map[string]bool {
	owners := map[string]bool{}
	for p := range int32(scalePartitions) {
		_, next, err := r.client.Offsets(t.Context(), wire.TopicTelemetry, p)
		if err != nil {
			t.Fatal(err)
		}
		reader := r.client.Reader(wire.TopicTelemetry, p, max(0, next-1))
		recs, err := reader.Fetch(t.Context(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for i := range recs {
			var tick wire.Tick
			if isTick(&recs[i]) && wire.DecodeTick(recs[i].Value, &tick) == nil {
				owners[tick.Owner] = true
			}
		}
	}
	return owners
}

func isTick(rec *bus.Record) bool {
	return slices.ContainsFunc(rec.Headers, func(h bus.Header) bool { return h.Key == wire.HeaderType && string(h.Value) == wire.TypeTick })
}

// claimers returns who evaluates.
func (r *region) claimers(t *testing.T) map[string]bool {
	db, err := sql.Open("pgx", r.url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT owner FROM claims`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	owners := map[string]bool{}
	for rows.Next() {
		var owner string
		if err := rows.Scan(&owner); err != nil {
			t.Fatal(err)
		}
		owners[owner] = true
	}
	return owners
}

// copyTelemetry appends what one region's agents sent to another's log, in
// order, and with ticks all of the log.
func copyTelemetry(t *testing.T, from, to *region, ticks bool) {
	t.Helper()
	var all sync.WaitGroup
	errs := make([]error, scalePartitions)
	for p := range int32(scalePartitions) {
		all.Go(func() { errs[p] = copyPartition(t.Context(), from.client, to.client, p, ticks) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func copyPartition(ctx context.Context, from, to *bus.Client, p int32, ticks bool) error {
	_, end, err := from.Offsets(ctx, wire.TopicTelemetry, p)
	if err != nil {
		return err
	}
	reader, producer := from.Reader(wire.TopicTelemetry, p, 0), to.Producer(wire.TopicTelemetry, p)
	for reader.Offset() < end {
		recs, err := reader.Fetch(ctx, time.Second)
		if err != nil {
			return err
		}
		if !ticks {
			recs = slices.DeleteFunc(recs, func(rec bus.Record) bool { return isTick(&rec) })
		}
		for part := range slices.Chunk(recs, 200) {
			if _, err := producer.Produce(ctx, part); err != nil {
				return err
			}
		}
	}
	return nil
}
