package deadletter_test

import (
	"fmt"
	"testing"

	"nines/internal/bus"
	"nines/internal/deadletter"
	"nines/internal/wire"
)

// BenchmarkList lists the newest 50 of b.N letters, and all. Run it with
// -benchtime 1000000x.
func BenchmarkList(b *testing.B) {
	p := open(b)
	batch := deadletter.NewBatch(p.client)
	for i := range int64(b.N) {
		if err := batch.Add(p.ctx, &bus.Record{Key: []byte("web-1"), Value: fmt.Appendf(nil, "%0120d", i)},
			wire.DeadLetter{Topic: "telegraf", Offset: i, Reason: "influx", Detail: "line 1: no number"}); err != nil {
			b.Fatal(err)
		}
	}
	if err := batch.Send(p.ctx); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	p.read(deadletter.Filter{Newest: 50})
	b.ReportMetric(b.Elapsed().Seconds()*1e3, "newest-ms")
	before := b.Elapsed()
	p.read(deadletter.Filter{})
	b.ReportMetric((b.Elapsed()-before).Seconds()*1e3, "all-ms")
}
