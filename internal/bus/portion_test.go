package bus

import (
	"bytes"
	"testing"
)

// What a response held comes in portions: all of it, in order, and a batch that
// is larger than a portion at once.
func TestPortions(t *testing.T) {
	enc, dec := codecs(t)
	var set []byte
	for i := range 20 {
		value := bytes.Repeat([]byte{byte(i)}, 100)
		if i == 10 {
			value = bytes.Repeat([]byte{byte(i)}, 900)
		}
		set = append(set, at(appendRecordSet(nil, []Record{{Value: value}}, 1, enc), int64(i))...)
	}
	f := func(budget, want int) {
		t.Helper()
		dec.budget = budget
		next, rest, times, seen := int64(0), set, 0, 0
		for len(rest) > 0 {
			dec.reset()
			var bad *damage
			if next, rest, bad = dec.decode(rest, next); bad != nil {
				t.Fatal(bad.err)
			}
			for i := range dec.records {
				if r := &dec.records[i]; r.Offset != int64(seen) || r.Value[0] != byte(seen) {
					t.Fatalf("record %d has offset %d and value %d", seen, r.Offset, r.Value[0])
				}
				seen++
			}
			times++
		}
		if seen != 20 || times != want {
			t.Fatalf("%d bytes a time: %d records in %d times, want 20 in %d", budget, seen, times, want)
		}
	}
	f(1<<20, 1)
	f(400, 6) // the large one fills one with those before it
	f(1, 20)
}
