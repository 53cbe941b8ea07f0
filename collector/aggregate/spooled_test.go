package aggregate

import (
	"testing"

	"nines/internal/telemetry"
	"nines/internal/wire"
)

// An agent is killed while Kafka is away. The next process sends what it left on
// disk under its own boot and numbers, some of it again, then its own frames:
// each frame counts once, the process's counters begin at zero with each boot,
// and the host's go on across both.
func TestFramesOfABootSentByTheNextProcess(t *testing.T) {
	own := telemetry.NewSchema([]telemetry.Series{counterSeries("errors_total", true), counterSeries("requests_total", true)})
	host := telemetry.NewSchema([]telemetry.Series{counterSeries("errors_total", false), counterSeries("requests_total", false)})
	f := func(name string, schema *telemetry.Schema, first, second []float64, good, total uint64) {
		t.Helper()
		for restart := range 9 { // the collector begins anew from a checkpoint after that many frames
			x := newFixture(t, requestStream())
			x.tick(epoch)
			sent := 0
			send := func(boot, seq uint64, at int64, requests float64) {
				x.frame("h", boot, seq, schema, at, 1, requests)
				if sent++; sent != restart {
					return
				}
				x.tick(epoch + 200_000 + sketchEvery)
				state, _, err := Restore(x.saved[len(x.saved)-1], 4, x.rules.get)
				if err != nil {
					t.Fatal(err)
				}
				x.state = state
			}
			at := epoch
			for i, n := range first[:2] { // before the outage
				send(7, uint64(i+1), at+int64(i)*1000, n)
			}
			x.tick(epoch + 200_000)       // log time goes on meanwhile
			for i, n := range first[1:] { // the file begins with one that had arrived
				send(7, uint64(i+2), at+int64(i+1)*1000, n)
			}
			at += int64(len(first)+2) * 1000
			for i, n := range second {
				send(8, uint64(i+1), at+int64(i)*1000, n)
			}
			send(7, 3, epoch+2000, first[2]) // an answer was lost: a repeat that comes late
			x.tick(epoch + 300_000)
			x.wantSum(name, good, total)
			if n := len(x.gaps(wire.ReasonSequence)); n != 0 {
				t.Errorf("%s: %d gaps within a boot, want none", name, n)
			}
			want := wire.Gap{Agent: "h", Boot: 8, From: epoch + int64(len(first)-1)*1000, To: at, Reason: wire.ReasonRestart}
			if got := x.gaps(wire.ReasonRestart); len(got) != 1 || got[0] != want {
				t.Errorf("%s: gaps %+v, want %+v", name, got, want)
			}
			if _, _, n := x.unplaced(); n != 0 {
				t.Errorf("%s: %d increments unplaced", name, n)
			}
		}
	}
	// Fresh: 40 of the first boot, 9 of the second; one error each. The first
	// value of all is the base where counters are the host's.
	f("the process's own", own, []float64{10, 20, 30, 40}, []float64{5, 9}, 47, 49)
	f("the host's", host, []float64{10, 20, 30, 40}, []float64{65, 69}, 59, 59)
}
