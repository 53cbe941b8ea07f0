package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nines/internal/ledger"
	"nines/internal/rulelog"
	brokers "nines/test/kafka"
)

// seeds are those of every run: the same each time, so that a failure is no
// matter of luck. SEED runs another one; DURATION runs new ones for that long.
var seeds = []uint64{1, 2}

// apacheSeeds are those on Apache Kafka: one, with several evaluators.
var apacheSeeds = []uint64{2}

// roundLength is how long one seed's plan takes.
const roundLength = 45 * time.Second

func clock(ms int64) string { return time.UnixMilli(ms).Format(clockFormat) }

func TestExactness(t *testing.T) {
	t.Parallel()
	if s := os.Getenv("SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SEED: %v", err)
		}
		torture(t, seed, lengthOf(t, "ROUND", roundLength))
		return
	}
	if os.Getenv("DURATION") == "" {
		all := seeds
		if brokers.Apache() {
			all = apacheSeeds
		}
		for _, seed := range all {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel()
				torture(t, seed, roundLength)
			})
		}
		return
	}
	total, start := lengthOf(t, "DURATION", 0), time.Now()
	dice := rand.New(rand.NewPCG(uint64(start.UnixNano()), 0))
	for round := 1; time.Since(start) < total && !t.Failed(); round++ {
		seed := dice.Uint64N(1_000_000)
		length := min(lengthOf(t, "ROUND", 3*time.Minute), max(total-time.Since(start), roundLength))
		fmt.Printf("torture: %s of %s, round %d: seed %d for %s\n", time.Since(start).Round(time.Second), total, round, seed, length.Round(time.Second))
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { torture(t, seed, length) })
	}
}

func lengthOf(t *testing.T, name string, def time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

// torture runs one seed: the plan, peace, and the comparison.
func torture(t *testing.T, seed uint64, length time.Duration) {
	dice := rand.New(rand.NewPCG(seed, 7))
	sh := shape{Postgres: seed%2 == 0, Agents: 3 + dice.IntN(3), Collectors: 2 + dice.IntN(2)}
	t.Logf("seed %d: %+v for %s; repeat it by: SEED=%d ROUND=%s go test ./test/torture", seed, sh, length, seed, length)
	s := newSite(t, seed, sh)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("timeline of seed %d:\n%s", seed, strings.Join(s.timeline, "\n"))
			s.keep(fmt.Sprint("seed-", seed))
		}
	})
	s.startAll()
	s.run(newPlan(seed, length, sh), length)
	s.note("peace")
	m, v := s.reckon(fmt.Sprint("seed ", seed), nil)
	t.Logf("seed %d: %d boots, %d rounds, %d lost and reported; %d frames, %d repeats; %d slots (%d bad, %d unknown) of %d events, %d unplaced; %d gaps",
		seed, v.boots, v.rounds, v.lost, m.frames, m.repeats, v.slots, v.bad, v.unknown, v.events, v.unplaced, v.gaps)
	if v.slots < 20 || v.events < 1000 || v.rounds < 200 {
		t.Errorf("seed %d: too little was compared", seed)
	}
}

// reckon makes peace and holds the ledger against the truth; m is what was read
// of the log before, if anything.
func (s *site) reckon(name string, m *model) (*model, verdict) {
	s.t.Helper()
	m = s.settle(m)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	led, err := ledger.Open(ctx, s.ledgerOf)
	if err != nil {
		s.t.Fatal(err)
	}
	defer led.Close()
	boots, err := readTruth(filepath.Join(s.dir, "truth"))
	if err != nil {
		s.t.Fatal(err)
	}
	var v verdict
	from, to := s.epoch-3_600_000, time.Now().UnixMilli()+3_600_000
	for deadline := time.Now().Add(75 * time.Second); ; s.wait(time.Second) {
		s.supervise()
		if v, err = judge(ctx, led, m, boots, from, to); err == nil || time.Now().After(deadline) {
			break
		}
	}
	s.note("compared")
	if err != nil {
		s.t.Fatalf("%s: ledger and truth differ:\n%v", name, err)
	}
	// What comes after changes nothing more.
	for _, c := range s.collectors {
		if err := c.end(syscall.SIGTERM, 20*time.Second); err != nil {
			s.t.Error(err)
		}
	}
	if _, err := judge(ctx, led, m, boots, from, to); err != nil {
		s.t.Errorf("%s: ledger and truth differ after the collectors stopped:\n%v", name, err)
	}
	if err := led.Verify(ctx); err != nil {
		s.t.Errorf("verify the ledger: %v", err)
	}
	return m, v
}

// settle makes peace: everything runs, the agents fall silent, and all that
// they spooled is in the log. It returns the log's account.
func (s *site) settle(m *model) *model {
	for _, l := range s.links {
		l.set(linkUp)
	}
	s.heal()
	// Collectors begin anew once the group has forgotten who was killed: kfake
	// begins its wait for members again with each that joins, so that those who
	// give up waiting and join again can keep one another waiting for ever.
	if !brokers.Apache() {
		for _, c := range s.collectors {
			if err := c.end(syscall.SIGTERM, 30*time.Second); err != nil {
				s.t.Error(err)
			}
		}
		s.wait(8 * time.Second)
		s.heal()
	}
	for _, a := range s.agents {
		a.tell("quiet 1")
	}
	s.wait(1500 * time.Millisecond)
	if m == nil {
		m = newModel(rulelog.New(s.client))
	}
	s.eventually(60*time.Second, "the agents send what they have spooled", func(ctx context.Context) error {
		if err := m.read(ctx, s.client); err != nil {
			return err
		}
		boots, err := readTruth(filepath.Join(s.dir, "truth"))
		if err != nil {
			return err
		}
		return unsent(m, boots)
	})
	for _, a := range s.agents {
		if err := a.end(syscall.SIGTERM, 20*time.Second); err != nil {
			s.t.Error(err)
		}
	}
	// A frame of the agents' own figures may have come since.
	s.eventually(time.Minute, "the log is read", func(ctx context.Context) error { return m.read(ctx, s.client) })
	return m
}

// unsent fails while the last round of an agent's newest boot is not in the log.
func unsent(m *model, boots map[bootID][]truth) error {
	last := map[string]bootID{}
	for id, rows := range boots {
		if len(rows) == 0 {
			continue
		}
		if old, ok := last[id.agent]; !ok || rows[0].At > boots[old][0].At {
			last[id.agent] = id
		}
	}
	for agent, id := range last {
		if n := boots[id][len(boots[id])-1].N; m.rounds[id][n] == nil {
			return fmt.Errorf("round %d of agent %s is on its way", n, agent)
		}
	}
	return nil
}

// keep copies the logs where a person finds them, if KEEP names a directory.
func (s *site) keep(name string) {
	dir := os.Getenv("KEEP")
	if dir == "" {
		return
	}
	to := filepath.Join(dir, name)
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(s.dir))); err != nil {
		s.t.Logf("keep the site in %s: %v", to, err)
		return
	}
	s.t.Logf("the site is kept in %s", to)
}
