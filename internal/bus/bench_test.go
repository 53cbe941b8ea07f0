package bus_test

import (
	"bytes"
	"testing"
	"time"

	"nines/internal/broker"
	"nines/internal/bus"
)

// BenchmarkFetch reads 400-byte records from a broker in the same process,
// whose work is part of the figure.
func BenchmarkFetch(b *testing.B) {
	br, err := broker.New(broker.Options{Config: broker.Config{DataDir: b.TempDir()}})
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	done := make(chan error, 1)
	go func() { done <- br.Run(ctx) }()
	b.Cleanup(func() { <-done })
	<-br.Ready()
	c, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{br.Addr()}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	if _, err := c.EnsureTopic(ctx, bus.Topic{Name: "bench"}); err != nil {
		b.Fatal(err)
	}
	p := c.Producer("bench", 0)
	recs := make([]bus.Record, 100)
	for i := range recs {
		recs[i].Value = bytes.Repeat([]byte{byte(i), 1, 2, 3, byte(i * 7), 5, 6, 7}, 50)
	}
	const total = 50_000
	for range total / len(recs) {
		if _, err := p.Produce(ctx, recs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for r := c.Reader("bench", 0, 0); r.Offset() < total; {
			got, err := r.Fetch(ctx, time.Second)
			if err != nil {
				b.Fatal(err)
			}
			n += len(got)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
