package wire

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// entry is what the table is tested with.
type entry struct {
	key   GroupKey
	value int
}

func (e *entry) GroupKey() GroupKey { return e.key }

// A table is a map: whatever is put, replaced and deleted, it holds the same.
func TestGroupTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table GroupTable[*entry]
		want := map[GroupKey]*entry{}
		// Few streams and labels, so that keys come again and share halves.
		keys := rapid.Custom(func(t *rapid.T) GroupKey {
			return GroupKey{Stream: rapid.SampledFrom([]string{"", "a", "0123456789abcdef"}).Draw(t, "stream"),
				Labels: rapid.SampledFrom([]uint64{0, 1 << 63}).Draw(t, "high") + rapid.Uint64Range(0, 40).Draw(t, "low")}
		})
		for i := range rapid.IntRange(0, 400).Draw(t, "steps") {
			k := keys.Draw(t, "key")
			switch rapid.IntRange(0, 7).Draw(t, "step") {
			case 0, 1, 2, 3:
				want[k] = &entry{k, i}
				table.Put(want[k])
			case 7:
				odd := func(e *entry) bool { return e.value%3 == 0 }
				table.DeleteFunc(odd)
				for k, e := range want {
					if odd(e) {
						delete(want, k)
					}
				}
			default:
				delete(want, k)
				table.Delete(k)
			}
			if got := table.Get(k); got != want[k] {
				t.Fatalf("%v: got %v, want %v", k, got, want[k])
			}
		}
		equal(t, &table, want)
	})
}

func equal(t *rapid.T, table *GroupTable[*entry], want map[GroupKey]*entry) {
	seen := map[GroupKey]bool{}
	for e := range table.All() {
		if seen[e.key] || want[e.key] != e {
			t.Fatalf("%v is there twice, or is not the one that was put", e)
		}
		seen[e.key] = true
	}
	for k, e := range want {
		if table.Get(k) != e {
			t.Fatalf("%v: got %v, want %v", k, table.Get(k), e)
		}
	}
	if len(seen) != len(want) || table.Len() != len(want) {
		t.Fatalf("%d given, %d counted, want %d", len(seen), table.Len(), len(want))
	}
}

// The table stays small: at most two seats an entry, also after most are gone.
func TestGroupTableIsSmall(t *testing.T) {
	var table GroupTable[*entry]
	small := func() {
		t.Helper()
		if n := len(table.seats); n > max(leastSeats, 4*table.n) || table.n > 1000 && table.n > n*3/4 {
			t.Fatalf("%d entries in %d seats", table.n, n)
		}
	}
	of := func(i int) *entry { return &entry{key: GroupKey{Stream: strconv.Itoa(i % 7), Labels: uint64(i / 7)}} }
	for i := range 10_000 {
		table.Put(of(i))
		if small(); table.n > leastSeats && len(table.seats) > 2*table.n+2 {
			t.Fatalf("%d entries in %d seats after none was deleted", table.n, len(table.seats))
		}
	}
	for i := range 10_000 {
		table.Delete(of(i).key)
		small()
	}
	if len(table.seats) != leastSeats {
		t.Fatalf("%d seats for nothing", len(table.seats))
	}
}

func BenchmarkGroupTableGet(b *testing.B) {
	keys, table, plain := benchGroups()
	b.Run("table", func(b *testing.B) {
		for i := range b.N {
			if table.Get(keys[i*7919%len(keys)]) == nil {
				b.Fatal("absent")
			}
		}
	})
	b.Run("map", func(b *testing.B) {
		for i := range b.N {
			if plain[keys[i*7919%len(keys)]] == nil {
				b.Fatal("absent")
			}
		}
	})
}

// benchGroups are 1,000 streams in 29 regions.
func benchGroups() (keys []GroupKey, table *GroupTable[*entry], plain map[GroupKey]*entry) {
	table, plain = &GroupTable[*entry]{}, map[GroupKey]*entry{}
	for i := range 29_000 {
		k := GroupKey{Stream: strconv.FormatInt(1<<60+int64(i/29), 16), Labels: uint64(i%29+1) * 0x2545f4914f6cdd1d}
		e := &entry{key: k}
		keys, plain[k] = append(keys, k), e
		table.Put(e)
	}
	return keys, table, plain
}
