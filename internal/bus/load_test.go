package bus

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// spend lets the loop be in a phase for a time.
func (l *Load) spend(p phase, d time.Duration) {
	l.enter(p, time.Now())
	time.Sleep(d) // in a bubble: virtual
}

func TestSaturationIsTheShareThatTheLoopDidNotWait(t *testing.T) {
	f := func(name string, play func(*Load), want LoadView) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			loads := NewLoads("aggregate", "home", nil)
			load := loads.Own("home", 3)
			play(load)
			want.Role, want.Topic, want.Partition, want.Owned, want.LagRecords, want.LagSeconds = "aggregate", "home", 3, true, -1, -1
			if got := loads.View(time.Now()); len(got) != 1 || got[0] != want {
				t.Errorf("%s: got %+v, want %+v", name, got, want)
			}
		})
	}
	f("nothing done yet", func(*Load) {}, LoadView{})
	f("a quarter busy, fetching and processing told apart", func(l *Load) {
		for range 10 {
			l.spend(waiting, 3*time.Second)
			l.spend(fetching, 250*time.Millisecond)
			l.spend(working, 750*time.Millisecond)
		}
	}, LoadView{FetchSeconds: 2.5, BusySeconds: 7.5, IdleSeconds: 30, Saturation: 0.25})
	f("what is over for a minute is forgotten, the seconds are not", func(l *Load) {
		l.spend(working, 50*time.Second)
		for range 70 {
			l.spend(waiting, time.Second)
		}
	}, LoadView{BusySeconds: 50, IdleSeconds: 70})
	f("a loop that hangs is saturated before it comes back", func(l *Load) {
		l.spend(waiting, time.Second)
		l.spend(working, 3*time.Minute)
	}, LoadView{BusySeconds: 180, IdleSeconds: 1, Saturation: 1})
	f("waiting after trouble is neither", func(l *Load) {
		l.spend(working, time.Second)
		l.spend(away, time.Hour)
		l.spend(waiting, time.Second)
	}, LoadView{BusySeconds: 1, IdleSeconds: 1, Saturation: 0})
}

func TestLagOfAnOwnedPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := metrics.NewSet()
		loads := NewLoads("aggregate", "nines.telemetry", set)
		shown := func() string {
			var b bytes.Buffer
			set.WritePrometheus(&b)
			return b.String()
		}
		has := func(want ...string) {
			t.Helper()
			for _, line := range want {
				if !strings.Contains(shown(), line+"\n") {
					t.Errorf("no line %q in\n%s", line, shown())
				}
			}
		}
		load := loads.Own("nines.telemetry", 0)
		if strings.Contains(shown(), "lag") {
			t.Errorf("a lag before anything is known:\n%s", shown())
		}
		load.behind(120)
		load.Processed(time.Now().UnixMilli() - 1500)
		time.Sleep(time.Second) // the owner is stuck: its lag grows by itself
		has(`nines_aggregate_lag_records{partition="0"} 120`, `nines_aggregate_lag_seconds{partition="0"} 2.5`)

		other := loads.Own("telegraf", 1)
		other.spend(working, 2*time.Second)
		other.behind(-4) // a recreated topic is shorter than what was read
		has(`nines_aggregate_lag_records{topic="telegraf",partition="1"} 0`, `nines_aggregate_saturation{topic="telegraf",partition="1"} 1`)

		other.Leave()
		has(`nines_aggregate_busy_seconds_total{topic="telegraf",partition="1"} 2`)
		if strings.Contains(shown(), `lag_records{topic="telegraf"`) {
			t.Errorf("a partition of another process has a lag here:\n%s", shown())
		}
		again := loads.Own("telegraf", 1)
		again.spend(working, time.Second)
		has(`nines_aggregate_busy_seconds_total{topic="telegraf",partition="1"} 3`)
	})
}
