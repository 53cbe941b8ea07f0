package wire

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Packed counts have the bytes of the same counts unpacked, whatever the encoder
// has met before.
func TestPackedCountsHaveTheirOwnBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var kept PartialEncoder
		orders := []*CountOrder{anyOrder(t), anyOrder(t)}
		for range rapid.IntRange(1, 6).Draw(t, "partials") {
			o := rapid.SampledFrom(orders).Draw(t, "order")
			p := &Partial{RuleSet: "r", Packed: anyPacked(t, o)}
			if rapid.IntRange(0, 3).Draw(t, "announce") == 0 {
				p.Groups = []GroupLabels{{Key: GroupKey{"announced", 1}}, {Key: o.groups[0]}}
			}
			plain := *p
			plain.Packed, plain.Counts = nil, p.Packed.Append(nil)
			packed, want := kept.Append(nil, p), AppendPartial(nil, &plain)
			if !bytes.Equal(packed, want) {
				t.Fatalf("packed:\n%x\nplain:\n%x", packed, want)
			}
			var got Partial
			if err := DecodePartial(packed, &got); err != nil || !slices.Equal(got.Counts, plain.Counts) {
				t.Fatalf("decoded %+v, %v; want %+v", got.Counts, err, plain.Counts)
			}
		}
	})
}

func anyOrder(t *rapid.T) *CountOrder {
	o := &CountOrder{}
	for g := range rapid.IntRange(1, 12).Draw(t, "groups") {
		key := GroupKey{Stream: fmt.Sprint("s", g/4), Labels: uint64(g % 4)}
		for v := range rapid.IntRange(1, 3).Draw(t, "vantage points") {
			o.Add(key, fmt.Sprint("web-", v))
		}
	}
	return o
}

// anyPacked draws counts of some seats, of one moment that all share or one of
// their own.
func anyPacked(t *rapid.T, o *CountOrder) *PackedCounts {
	at := rapid.Int64Range(-1<<40, 1<<40)
	n := rapid.Uint64Range(0, 1<<18)
	c := &PackedCounts{Order: o}
	shared := Moment{Bin: at.Draw(t, "bin"), Newest: at.Draw(t, "newest"), Total: rapid.Uint64().Draw(t, "total")}
	sharedAt := int32(-1)
	for seat := range o.seats {
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0: // silent
		case 1:
			c.Rows = append(c.Rows, CountRow{int32(seat), int32(len(c.Moments)), n.Draw(t, "good")})
			c.Moments = append(c.Moments, Moment{at.Draw(t, "bin"), at.Draw(t, "newest"), n.Draw(t, "total"), n.Draw(t, "blind")})
		default:
			if sharedAt < 0 {
				sharedAt = int32(len(c.Moments))
				c.Moments = append(c.Moments, shared)
			}
			c.Rows = append(c.Rows, CountRow{int32(seat), sharedAt, rapid.SampledFrom([]uint64{shared.Total, 0, 200}).Draw(t, "good")})
		}
	}
	return c
}

// Bins farther apart than any clock runs have distances that wrap.
func TestBinsAtTheEndsOfTime(t *testing.T) {
	key := GroupKey{"s", 1}
	for _, bins := range [][]int64{{-1 << 63, 1<<63 - 1, 7}, {0, 1 << 62, -1 << 62}, {5, 5}, {1<<63 - 1, -1 << 63}} {
		p := &Partial{RuleSet: "r"}
		for _, b := range bins {
			p.Counts = append(p.Counts, BinCount{Group: key, Bin: b, Newest: b, Good: 1, Total: 2})
		}
		var got Partial
		if err := DecodePartial(AppendPartial(nil, p), &got); err != nil || !slices.Equal(got.Counts, p.Counts) {
			t.Errorf("%d: got %+v, %v", bins, got.Counts, err)
		}
	}
}
