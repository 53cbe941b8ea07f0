package bus_test

import (
	"fmt"
	"testing"
	"time"

	"nines/internal/bus"
)

// A reader with a backlog is behind by what it has not processed, and its time
// goes into fetching and processing; one at the end of the log waits.
func TestAReaderIsMeasured(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ctx := t.Context()
	if _, err := c.EnsureTopic(ctx, bus.Topic{Name: "load"}); err != nil {
		t.Fatal(err)
	}
	p := c.Producer("load", 0)
	for i := range 3 {
		if _, err := p.ProduceRetry(ctx, func() []bus.Record { return []bus.Record{{Value: fmt.Append(nil, i)}} }); err != nil {
			t.Fatal(err)
		}
	}
	loads := bus.NewLoads("test", "load", nil)
	r := c.Reader("load", 0, 0)
	stop := r.Measure(loads.Own("load", 0))
	read := 0
	for read < 3 {
		recs, err := r.Fetch(ctx, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if len(recs) > 0 {
			if got, want := loads.View(time.Now())[0].LagRecords, int64(3-read); got != want {
				t.Errorf("with records from %d in hand: lag %d, want %d", read, got, want)
			}
		}
		read += len(recs)
	}
	before := loads.View(time.Now())[0]
	if before.BusySeconds <= 0 || before.FetchSeconds <= 0 {
		t.Errorf("reading a backlog took no time: %+v", before)
	}
	if _, err := r.Fetch(ctx, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	after := loads.View(time.Now())[0]
	if waited := after.IdleSeconds - before.IdleSeconds; waited < 0.15 || after.LagRecords != 0 {
		t.Errorf("at the end of the log: waited %v s, lag %d", waited, after.LagRecords)
	}
	stop()
	idle := loads.View(time.Now())[0]
	if later := loads.View(time.Now().Add(time.Hour))[0]; later.IdleSeconds != idle.IdleSeconds || later.BusySeconds != idle.BusySeconds {
		t.Errorf("time goes on after the end: %+v, then %+v", idle, later)
	}
}
