package ruler

import (
	"log/slog"

	"github.com/VictoriaMetrics/metrics"
)

var discard = slog.New(slog.DiscardHandler)

func newTestCounters() *counters { return newCounters(metrics.NewSet()) }
