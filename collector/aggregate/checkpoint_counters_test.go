package aggregate

import (
	"maps"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestCountersComeBack(t *testing.T) {
	key := rapid.Custom(func(t *rapid.T) counterKey {
		return counterKey{
			agent: rapid.SampledFrom([]string{"", "web-1", "web-2"}).Draw(t, "agent"), boot: rapid.Uint64().Draw(t, "boot"),
			series: rapid.Uint64().Draw(t, "series"), stream: rapid.SampledFrom([]string{"errors", "slow"}).Draw(t, "stream"),
			from: rapid.Int64().Draw(t, "from"), role: role(rapid.IntRange(0, int(roleTotal)).Draw(t, "role")),
		}
	})
	value := rapid.Custom(func(t *rapid.T) counter {
		return counter{value: rapid.Uint64().Draw(t, "value"), time: rapid.Int64Min(0).Draw(t, "time"),
			used: rapid.Int64Min(0).Draw(t, "used"), fresh: rapid.Bool().Draw(t, "fresh")}
	})
	rapid.Check(t, func(t *rapid.T) {
		want := map[counterKey]*counter{}
		for k, v := range rapid.MapOf(key, value).Draw(t, "counters") {
			want[k] = &v
		}
		b := appendCounters([]byte{}, maps.All(want), rapid.Int64Min(0).Draw(t, "now"))
		got := map[counterKey]*counter{}
		if err := readCounters(b, func(k counterKey, n counter) { got[k] = &n }); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, %v", got, err)
		}
	})
}

func TestDamagedCountersAreRefused(t *testing.T) {
	b := appendCounters(nil, maps.All(map[counterKey]*counter{{agent: "web-1", boot: 7, series: 9, stream: "errors", role: roleBad}: {value: 300}}), epoch)
	ignore := func(counterKey, counter) {}
	for n := range b {
		if err := readCounters(b[:n], ignore); err == nil {
			t.Errorf("%d of %d bytes are read", n, len(b))
		}
	}
	if err := readCounters(append(b, 0), ignore); err == nil {
		t.Error("what follows is not noticed")
	}
	b[len(b)-2-10-1-16-4-4]++ // the number of its agent: there is no second
	if err := readCounters(b, ignore); err == nil {
		t.Error("a counter of an agent that is not listed is read")
	}
}
