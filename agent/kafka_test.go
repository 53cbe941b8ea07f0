package agent

import (
	"context"
	"testing"
	"time"

	"nines/agent/framing"
	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/test/kafka"
)

// Kafka is away when the agent starts, comes, goes and comes again: every frame
// is there, in order, and what is repeated is only what was stored before its
// answer was lost.
func TestFramesSurviveKafkaComingAndGoing(t *testing.T) {
	server := kafka.Serve(t)
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{server.Addr}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if _, err := client.EnsureTopic(ctx, bus.Topic{Name: wire.TopicTelemetry, Partitions: 3}); err != nil {
		t.Fatal(err)
	}
	server.Stop()

	cfg := Config{Agent: "a", Labels: map[string]string{"zone": "z"}, Interval: 100 * time.Millisecond, Flush: 100 * time.Millisecond,
		Inputs: "[[inputs.mem]]", Kafka: bus.Config{Brokers: []string{server.Addr}}}
	a, stop := start(t, cfg, nil)
	until(t, "frames in the spool", func() bool { return a.spool.Stats().Frames > 3 })
	server.Start()
	until(t, "an empty spool", func() bool { return a.self.framesSent.Load() > 6 })
	server.Stop()
	before := a.self.frames.Load()
	until(t, "frames while Kafka is away", func() bool { return a.self.frames.Load() > before+5 })
	server.Start()
	until(t, "an empty spool", func() bool { return a.self.framesSent.Load() > before+8 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	r := client.Reader(wire.TopicTelemetry, framing.Partition("z", "a", 3), 0)
	schemas := wire.NewSchemaCache(0)
	var last uint64
	for last < a.framer.Seq() {
		recs, err := r.Fetch(ctx, time.Second)
		if bus.Temporary(err) && ctx.Err() == nil {
			continue // the connection of before the restart
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range recs {
			var (
				d wire.Decoder
				f telemetry.Frame
			)
			if err := d.DecodeFrame(rec.Value, &f, schemas); err != nil {
				t.Fatal(err)
			}
			if string(rec.Key) != "a" || f.Seq != last && f.Seq != last+1 {
				t.Fatalf("frame %d of %q came after %d", f.Seq, rec.Key, last)
			}
			if rec.Time != f.SendTime {
				t.Errorf("frame %d: record time %d, send time %d", f.Seq, rec.Time, f.SendTime)
			}
			last = f.Seq
		}
	}
}

// until polls a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for !ok() {
		if !pause(ctx, 5*time.Millisecond) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
