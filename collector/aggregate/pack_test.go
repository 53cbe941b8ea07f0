package aggregate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// What the role publishes, packed and split, says what a state without these
// says: hosts come and go, several bins and vantage points, groups under a
// ladder and others, rules that change.
func TestPackedPartialsSayTheSame(t *testing.T) {
	var streams []*slo.Stream
	for i := range 8 {
		st := latencyStream()
		st.Threshold = float64(i) / 10
		st.Histogram = false
		streams = append(streams, st)
	}
	f := newFixture(t, append(streams, probeStream(), latencyStream())...)
	packing := NewState(3, 4, 1, 0, f.rules.get)
	packing.Pack()
	var encs [4]wire.PartialEncoder
	rng := rand.New(rand.NewPCG(1, 2))
	check := func(r record, plain *wire.Partial) {
		t.Helper()
		out, err := packing.Apply(packing.Position(), r.typ, r.value)
		if err != nil {
			t.Fatal(err)
		}
		if plain == nil {
			return
		}
		p := out.Partial
		if len(p.Counts) > 0 || p.Packed == nil || plain.Packed != nil {
			t.Fatal("packed is not what should be")
		}
		if got, want := encs[3].Append(nil, p), wire.AppendPartial(nil, plain); !bytes.Equal(got, want) {
			t.Fatalf("packed:\n%x\nplain:\n%x", got, want)
		}
		want := Split(plain, 3)
		for i, part := range Split(p, 3) {
			if got := encs[i].Append(nil, part); !bytes.Equal(got, wire.AppendPartial(nil, want[i])) {
				t.Fatalf("part %d differs: %+v", i, part)
			}
		}
		packing.Recycle(p)
	}
	last := func() record { return f.log[len(f.log)-1] }
	counts := 0
	for n := range int64(400) {
		if n == 200 { // a stream goes, another comes
			f.set = f.rules.add(append(slices.Clone(streams[1:]), probeStream(), requestStream())...)
		}
		at := epoch + n*500
		p := f.tick(at)
		check(last(), p)
		counts += len(p.Counts)
		for range rng.IntN(4) {
			target := fmt.Sprint("t", rng.IntN(3))
			def := telemetry.NewSchema([]telemetry.Series{gauge("probe_success", target), gauge("probe_latency_seconds", target)})
			host := fmt.Sprint("h", rng.IntN(1+int(n)/20))
			p := f.apply(wire.TypeFrame, f.encode(host, 7, uint64(n+1), def, true, []int64{at - 1500, at}, 1, 0, rng.Float64(), rng.Float64()))
			check(last(), p)
		}
	}
	if counts < 1000 {
		t.Fatalf("only %d counts were compared", counts)
	}
}

// TestCellsStaySmall guards what every live group takes at least: one byte more
// takes sixteen.
func TestCellsStaySmall(t *testing.T) {
	if size := reflect.TypeFor[cell]().Size(); size > 128 {
		t.Errorf("a cell takes %d bytes, want at most 128", size)
	}
}
