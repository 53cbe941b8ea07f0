package host

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func newSoftnet(t testing.TB, r Roots, opt PerCPUOptions) *Softnet {
	t.Helper()
	s, err := NewSoftnet(r, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Values as they stand in the recordings, and as node_exporter 1.5.0 gives them.
func TestSoftnetOfRecordedHosts(t *testing.T) {
	exporter := Roots{Proc: unpacked(t, exporterProc) + "/collector/fixtures/proc"}
	s := newSoftnet(t, exporter, PerCPUOptions{Total: true, PerCPU: true})
	defer s.Close()
	got := values(t, s)
	expect(t, got, map[string]float64{
		`softnet_processed_total{cpu="all"}`:     299641 + 916354 + 5577791 + 3113785,
		`softnet_processed_total{cpu="cpu0"}`:    299641,
		`softnet_processed_total{cpu="cpu1"}`:    916354,
		`softnet_processed_total{cpu="cpu2"}`:    5577791,
		`softnet_processed_total{cpu="cpu3"}`:    3113785,
		`softnet_dropped_total{cpu="all"}`:       41,
		`softnet_dropped_total{cpu="cpu0"}`:      0,
		`softnet_dropped_total{cpu="cpu1"}`:      41,
		`softnet_dropped_total{cpu="cpu3"}`:      0,
		`softnet_time_squeeze_total{cpu="all"}`:  146,
		`softnet_time_squeeze_total{cpu="cpu0"}`: 1,
		`softnet_time_squeeze_total{cpu="cpu1"}`: 10,
		`softnet_time_squeeze_total{cpu="cpu2"}`: 85,
		`softnet_time_squeeze_total{cpu="cpu3"}`: 50,
		`softnet_received_rps_total{cpu="all"}`:  0,
		`softnet_flow_limit_total{cpu="all"}`:    0,
	})
	if len(got) != 5*5 {
		t.Errorf("%d series of 4 CPUs with 5 columns each: %v", len(got), got)
	}
}

// The lines of this recording have 13, 11, 9 and 10 columns, as if of four
// kernels: only the columns that all of them have can be told.
func TestSoftnetOfOldKernels(t *testing.T) {
	r := Roots{Proc: unpacked(t, procfsTree) + "/fixtures/proc"}
	s := newSoftnet(t, r, PerCPUOptions{Total: true, PerCPU: true})
	defer s.Close()
	got := values(t, s)
	expect(t, got, map[string]float64{
		`softnet_processed_total{cpu="cpu0"}`:    0x00358fe3,
		`softnet_dropped_total{cpu="cpu0"}`:      0x6283,
		`softnet_processed_total{cpu="cpu1"}`:    0x00953d1a,
		`softnet_dropped_total{cpu="cpu1"}`:      0x446,
		`softnet_time_squeeze_total{cpu="cpu1"}`: 0xb1,
		`softnet_processed_total{cpu="cpu2"}`:    0x00015c73,
		`softnet_dropped_total{cpu="cpu2"}`:      0x20e76,
		`softnet_time_squeeze_total{cpu="cpu2"}`: 0xf0000769,
		`softnet_processed_total{cpu="cpu3"}`:    0x01663fb2,
		`softnet_time_squeeze_total{cpu="cpu3"}`: 0x109a4,
		`softnet_processed_total{cpu="cpu4"}`:    0x8e78,
		`softnet_time_squeeze_total{cpu="cpu4"}`: 0x11,
	})
	if _, ok := got[`softnet_received_rps_total{cpu="all"}`]; ok || len(got) != 6*3 {
		t.Errorf("%d series: %v", len(got), got)
	}
}

// softnetLine is a line of a kernel of today.
func softnetLine(cpu int, processed, dropped, squeezed, rps, flow, backlog uint32) string {
	return fmt.Sprintf("%08x %08x %08x 00000000 00000000 00000000 00000000 00000000 00000000 %08x %08x %08x %08x 00000000 00000000\n",
		processed, dropped, squeezed, rps, flow, backlog, cpu)
}

func TestSoftnetCountsOnPastTheWrapOf32Bits(t *testing.T) {
	const file = "proc/net/softnet_stat"
	r := tree(t, map[string]string{file: softnetLine(0, math.MaxUint32-9, 0, 0, 1, 0, 3) + softnetLine(2, 100, 7, 0, 2, 5, 4)})
	s := newSoftnet(t, r, PerCPUOptions{Total: true, PerCPU: true})
	defer s.Close()
	expect(t, values(t, s), map[string]float64{
		`softnet_processed_total{cpu="all"}`: math.MaxUint32 - 9 + 100, `softnet_processed_total{cpu="cpu2"}`: 100,
		`softnet_received_rps_total{cpu="all"}`: 3, `softnet_flow_limit_total{cpu="cpu2"}`: 5,
		`softnet_backlog_packets{cpu="all"}`: 7, `softnet_backlog_packets{cpu="cpu0"}`: 3,
	})
	rewrite(t, r, file, softnetLine(0, 10, 0, 0, 1, 0, 0)+softnetLine(2, 101, 7, 0, 2, 5, 1))
	expect(t, values(t, s), map[string]float64{
		`softnet_processed_total{cpu="all"}`:  math.MaxUint32 - 9 + 100 + 20 + 1,
		`softnet_processed_total{cpu="cpu0"}`: math.MaxUint32 + 11,
		`softnet_backlog_packets{cpu="all"}`:  1, `softnet_backlog_packets{cpu="cpu0"}`: 0,
	})
}

// A CPU that goes offline takes its line away. Its packets stay in the sum, and
// are not counted again when it comes back.
func TestSoftnetSumOutlivesACPU(t *testing.T) {
	const file = "proc/net/softnet_stat"
	both := softnetLine(0, 1000, 0, 0, 0, 0, 0) + softnetLine(1, 500, 0, 0, 0, 0, 0)
	r := tree(t, map[string]string{file: both})
	s := newSoftnet(t, r, PerCPUOptions{Total: true, PerCPU: true})
	defer s.Close()
	step := func(text string, want, series int) {
		t.Helper()
		rewrite(t, r, file, text)
		got := values(t, s)
		if v := got[`softnet_processed_total{cpu="all"}`]; v != float64(want) || len(got) != series {
			t.Errorf("%v of %d series, want %d of %d", v, len(got), want, series)
		}
	}
	step(both, 1500, 18)
	step(softnetLine(0, 1010, 0, 0, 0, 0, 0), 1510, 12)
	step(softnetLine(0, 1020, 0, 0, 0, 0, 0)+softnetLine(1, 503, 0, 0, 0, 0, 0), 1523, 18)
}

func TestSoftnetWithoutAnyCPUIsAnError(t *testing.T) {
	for _, text := range []string{"", "\n", "no numbers here\n"} {
		s := newSoftnet(t, tree(t, map[string]string{"proc/net/softnet_stat": text}), PerCPUOptions{Total: true})
		if _, _, err := s.Read(); err == nil || !strings.Contains(err.Error(), "no CPU in ") {
			t.Errorf("%q: %v", text, err)
		}
		s.Close()
	}
}

func FuzzSoftnet(f *testing.F) {
	f.Add(softnetLine(0, 1, 2, 3, 4, 5, 6), softnetLine(1, 7, 8, 9, 10, 11, 12)+softnetLine(0, 1, 2, 3, 4, 5, 6))
	f.Add("00049279 00000000 00000001\n", "00049279\n\nx\n")
	f.Add("ffffffff 1 2\n", "0000000g 1 2\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		s := &Softnet{opt: PerCPUOptions{Total: true, PerCPU: true}}
		before := 0.0
		for _, text := range []string{a, b, a} {
			s.file = written(t, text)
			series, vs, err := s.Read()
			s.file.close()
			if err != nil {
				return
			}
			if len(series) != len(vs) || len(series) == 0 {
				t.Fatalf("%d series, %d values", len(series), len(vs))
			}
			if s.have <= softnetCPU {
				before = 0 // its CPUs may be counted anew
				continue
			}
			if vs[0] < before {
				t.Fatalf("the sum fell from %v to %v", before, vs[0])
			}
			before = vs[0]
		}
	})
}

func BenchmarkSoftnet(b *testing.B) {
	text := ""
	for cpu := range 128 {
		text += softnetLine(cpu, 123456789, 0, 17, 99, 0, 0)
	}
	s := newSoftnet(b, tree(b, map[string]string{"proc/net/softnet_stat": text}), PerCPUOptions{Total: true})
	defer s.Close()
	benchmarkReader(b, s)
}

func TestSoftnetAllocatesNothing(t *testing.T) {
	text := softnetLine(0, 1, 2, 3, 4, 5, 6) + softnetLine(1, 1, 2, 3, 4, 5, 6)
	s := newSoftnet(t, tree(t, map[string]string{"proc/net/softnet_stat": text}), PerCPUOptions{Total: true, PerCPU: true})
	defer s.Close()
	allocatesNothing(t, s)
}
