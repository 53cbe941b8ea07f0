// Package promseries turns what agents send into series as Prometheus has them:
// their labels, running histograms out of deltas, which are kept, and which
// frames are repeats. The ruler stores them, the role forward sends them on.
package promseries

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"nines/internal/telemetry"
)

// Labels joins name, host labels and the series' own, which win. It keeps
// nothing of what it was given.
func Labels(b *labels.ScratchBuilder, host telemetry.Labels, s *telemetry.Series) labels.Labels {
	b.Reset()
	b.Add(model.MetricNameLabel, Valid(s.Name))
	for _, l := range host {
		if s.Labels.Get(l.Name) == "" && l.Name != model.MetricNameLabel {
			b.Add(Valid(l.Name), Valid(l.Value))
		}
	}
	for _, l := range s.Labels {
		if l.Name != model.MetricNameLabel {
			b.Add(Valid(l.Name), Valid(l.Value))
		}
	}
	b.Sort()
	return b.Labels()
}

// Valid copies s, out of the record's buffer, as the UTF-8 that Prometheus needs.
func Valid(s string) string { return strings.ToValidUTF8(strings.Clone(s), "\uFFFD") }

// Clone copies labels out of a record's buffer.
func Clone(ls telemetry.Labels) telemetry.Labels {
	out := make(telemetry.Labels, len(ls))
	for i, l := range ls {
		out[i] = telemetry.Label{Name: strings.Clone(l.Name), Value: strings.Clone(l.Value)}
	}
	return out
}

// Boots remember the last frames of an agent's latest boots. The zero value is
// ready; it is for one goroutine.
type Boots struct{ seen []bootSeq }

// bootSeq is the last sequence number seen of one boot.
type bootSeq struct{ boot, seq uint64 }

// keptBoots is how many boots of an agent are remembered to drop repeats.
const keptBoots = 4

// Repeated tells whether the frame was seen before, and notes it.
func (s *Boots) Repeated(boot, seq uint64) bool {
	i := slices.IndexFunc(s.seen, func(b bootSeq) bool { return b.boot == boot })
	if i < 0 {
		if len(s.seen) == keptBoots {
			s.seen = slices.Delete(s.seen, 0, 1)
		}
		s.seen = append(s.seen, bootSeq{boot, seq})
		return false
	}
	if seq <= s.seen[i].seq {
		return true
	}
	s.seen[i].seq = seq
	return false
}
