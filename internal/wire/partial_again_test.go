package wire

import (
	"reflect"
	"testing"
	"unsafe"

	"nines/internal/telemetry"
)

// A decoder that has read other partials, longer and shorter ones and damaged
// ones, reads the next as a new one does.
func TestPartialDecoderForgetsThePartialBefore(t *testing.T) {
	partial := func(groups int, stream string) []byte {
		p := Partial{Source: 1, Sources: 2, From: 10, To: 20, LogTime: 60_000, RuleSet: "0123456789abcdef"}
		for i := range groups {
			k := GroupKey{Stream: stream, Labels: uint64(i) * 7}
			p.Groups = append(p.Groups, GroupLabels{Key: k, Labels: telemetry.NewLabels(map[string]string{"zone": "a"})})
			p.Counts = append(p.Counts, BinCount{Group: k, Vantage: "prober-1", Bin: 59_000, Newest: 59_500, Good: uint64(i), Total: uint64(i + 1)})
		}
		return new(PartialEncoder).Append(nil, &p)
	}
	long, short, empty := partial(100, "00112233445566aa"), partial(3, "00112233445566aa"), partial(0, "")
	var d PartialDecoder
	var again Partial
	for _, b := range [][]byte{long, short, long[:len(long)-5], empty, short, long, short} {
		var fresh Partial
		want := DecodePartial(b, &fresh)
		if err := d.Decode(b, &again); (err == nil) != (want == nil) {
			t.Fatalf("%d bytes: %v, by a new decoder %v", len(b), err, want)
		}
		if want == nil && !reflect.DeepEqual(again, fresh) {
			t.Fatalf("%d bytes: %+v, by a new decoder %+v", len(b), again, fresh)
		}
	}
	first := again.Counts[0].Group.Stream
	if err := d.Decode(long, &again); err != nil {
		t.Fatal(err)
	}
	if unsafe.StringData(first) != unsafe.StringData(again.Counts[0].Group.Stream) {
		t.Error("a stream's name is another string in the next partial")
	}
}
