package torture

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/wire"
	brokers "nines/test/kafka"
)

// TestSpoolOutlivesTheAgent takes the broker away, kills the agent meanwhile,
// and brings the broker back: what was measured before the kill and after it is
// in the ledger, but for what the killed process had not written yet.
func TestSpoolOutlivesTheAgent(t *testing.T) {
	t.Parallel()
	if brokers.Apache() && os.Getenv("DURATION") == "" {
		t.Skip("takes two minutes on Apache Kafka, which TestExactness kills too; make torture runs it")
	}
	const seed = 77
	s := newSite(t, seed, shape{Agents: 2, Collectors: 1})
	a := s.agents[1] // of the two that which has a directory
	if a.conf.Spool == "" {
		t.Fatal("the agent has no directory")
	}
	s.startAll()
	s.wait(4 * time.Second)
	var back []func()
	for _, n := range s.kafka.nodes {
		back = append(back, s.stop(n, syscall.SIGKILL))
	}
	s.note("the broker is gone")
	s.wait(8 * time.Second)
	a.want = true
	a.signal(syscall.SIGKILL)
	<-a.done
	killed := time.Now().UnixMilli()
	s.note("the agent is killed")
	s.begin(a.process)
	s.wait(6 * time.Second)
	for _, begin := range back {
		begin()
	}
	s.note("the broker is back")
	m := s.settle(nil)

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	led, err := ledger.Open(ctx, s.ledgerOf)
	if err != nil {
		t.Fatal(err)
	}
	defer led.Close()
	boots, err := readTruth(filepath.Join(s.dir, "truth"))
	if err != nil {
		t.Fatal(err)
	}
	var v verdict
	for deadline := time.Now().Add(60 * time.Second); ; s.wait(500 * time.Millisecond) {
		s.supervise()
		if v, err = judge(ctx, led, m, boots, s.epoch-3_600_000, time.Now().UnixMilli()+3_600_000); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Fatalf("ledger and truth differ:\n%v", err)
	}
	measured, lost := 0, 0
	for id, rows := range boots {
		for _, row := range rows {
			if id.agent != a.conf.Name {
				continue
			}
			if measured++; m.rounds[id][row.N] != nil {
				continue
			}
			if lost++; row.At < killed-2500 || row.At > killed {
				t.Errorf("round %d of boot %016x, %d ms before the kill, is lost", row.N, id.boot, killed-row.At)
			}
		}
	}
	t.Logf("%d rounds of the agent, %d lost with the process; %d slots, %d events, %d gaps", measured, lost, v.slots, v.events, v.gaps)
	if measured < 60 || lost > 8 {
		t.Errorf("%d rounds measured, %d lost: want 60 at least, 8 at most", measured, lost)
	}
	gaps, err := led.Gaps(ctx, access.Local(), 0, 1<<62)
	if err != nil {
		t.Fatal(err)
	}
	restarts := 0
	for _, g := range gaps {
		switch {
		case g.Agent != a.conf.Name:
		case g.Reason == wire.ReasonRestart:
			restarts++
		default:
			t.Errorf("a gap although nothing of a boot is missing: %+v", g.Gap)
		}
	}
	if restarts != 1 {
		t.Errorf("%d restarts are reported, want one", restarts)
	}
}
