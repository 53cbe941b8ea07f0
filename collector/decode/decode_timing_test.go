package decode

import "testing"

// readAll reads a record as aggregation does that knows all its sets.
func readAll(b *testing.B, format Format, value []byte) {
	var r Reader
	samples := 0
	b.ReportAllocs()
	for b.Loop() {
		r.Open(format, value)
		for {
			p, err := r.Next()
			if err != nil {
				b.Fatal(err)
			}
			if p == nil {
				break
			}
			samples += len(p.Values)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(samples), "ns/sample")
}

func BenchmarkInflux(b *testing.B) {
	readAll(b, Influx, []byte("cpu,cpu=cpu0,host=web-1,region=eu usage_idle=98.25,usage_user=1.5,usage_system=0.1234567890123456,n=12i 1790000040000000000\n"))
}

func BenchmarkOTLP(b *testing.B) { readAll(b, OTLP, marshalOTLP(b, fleetMetrics())) }

func BenchmarkRemoteWrite1(b *testing.B) { readAll(b, RemoteWrite, compressed(b, write1())) }

func BenchmarkRemoteWrite2(b *testing.B) { readAll(b, RemoteWrite, compressed(b, write2())) }

// Nothing is allocated for a sample: what is read twice costs no memory the
// second time.
func TestReadingAllocatesNothing(t *testing.T) {
	var r Reader
	f := func(format Format, value []byte) {
		t.Helper()
		n := testing.AllocsPerRun(50, func() {
			r.Open(format, value)
			for p, err := r.Next(); p != nil || err != nil; p, err = r.Next() {
				if err != nil {
					t.Fatal(err)
				}
			}
		})
		if n > 0 {
			t.Errorf("%s: %v allocations a record", format, n)
		}
	}
	f(Influx, []byte("cpu,host=a usage=1.5,n=2i,u=3u,b=t,s=\"x\" 1000000\nm,a\\ b=c d\\,e=1e-300\n"))
	f(OTLP, marshalOTLP(t, fleetMetrics()))
	f(RemoteWrite, compressed(t, write1()))
	f(RemoteWrite, compressed(t, write2()))
}
