package aggregate

import (
	"nines/internal/slo"
	"nines/internal/wire"
)

// Split returns the partial as each of n partitions of nines.partials receives
// it: the groups that belong there, and on partition 0 what is of no group.
// Empty ones are published too, for they carry the log time. The only partition
// receives the partial itself.
func Split(p *wire.Partial, n int32) []*wire.Partial {
	if n == 1 {
		return []*wire.Partial{p}
	}
	out := make([]*wire.Partial, n)
	for i := range out {
		out[i] = &wire.Partial{Source: p.Source, Sources: p.Sources, Incarnation: p.Incarnation,
			From: p.From, To: p.To, LogTime: p.LogTime, RuleSet: p.RuleSet}
	}
	at := placer{n: n}
	for _, g := range p.Groups {
		q := out[at.of(g.Key)]
		q.Groups = append(q.Groups, g)
	}
	for i := range p.Counts {
		q := out[at.of(p.Counts[i].Group)]
		q.Counts = append(q.Counts, p.Counts[i])
	}
	if p.Packed != nil {
		splitPacked(p.Packed, out, &at)
	}
	for _, k := range p.Sketches {
		q := out[at.of(k.Group)]
		q.Sketches = append(q.Sketches, k)
	}
	for _, u := range p.Unplaced {
		q := out[at.of(u.Group)]
		q.Unplaced = append(q.Unplaced, u)
	}
	out[0].Gaps, out[0].Regions, out[0].Agents = p.Gaps, p.Regions, p.Agents
	return out
}

// splitPacked gives each part its rows, and the moments of these.
func splitPacked(c *wire.PackedCounts, out []*wire.Partial, at *placer) {
	moments := make([][]int32, len(out)) // their places in each part, from 1
	for i := range out {
		moments[i] = make([]int32, len(c.Moments))
		out[i].Packed = &wire.PackedCounts{Order: c.Order, Rows: make([]wire.CountRow, 0, len(c.Rows)/len(out)*5/4)}
	}
	for _, r := range c.Rows {
		part := at.of(c.Order.Group(r.Seat))
		q, place := out[part].Packed, &moments[part][r.Moment]
		if *place == 0 {
			q.Moments = append(q.Moments, c.Moments[r.Moment])
			*place = int32(len(q.Moments))
		}
		r.Moment = *place - 1
		q.Rows = append(q.Rows, r)
	}
}

// PartitionOf returns the partition of nines.partials that carries the group.
// Groups of equal labels in the parts of a composite objective share one.
func PartitionOf(k wire.GroupKey, n int32) int32 { return slo.PartitionOf(k.Stream, k.Labels, n) }

// placer is PartitionOf for many groups of which those of a stream come
// together: what a stream's digits do to the labels' hash is worked out once.
type placer struct {
	n          int32
	stream     string
	factor, on uint64
}

func (p *placer) of(k wire.GroupKey) int32 {
	if k.Stream != p.stream || p.factor == 0 {
		p.stream, p.factor, p.on = k.Stream, 1, 0
		affinity := slo.Affinity(k.Stream)
		for i := 0; i < len(affinity); i++ {
			p.factor, p.on = p.factor*31, p.on*31+uint64(affinity[i])
		}
	}
	h := k.Labels*p.factor + p.on
	h ^= h >> 33
	return int32(h % uint64(p.n))
}
