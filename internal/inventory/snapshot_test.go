package inventory

import (
	"reflect"
	"testing"
)

func TestSnapshots(t *testing.T) {
	v := At(recorded(t, nil, mustRead(t, "gulf.yaml", gulf), 1), 0)
	f := func(day string, facts map[Attribute]string, since string) {
		t.Helper()
		got := v.Snapshot(date(t, day))
		if len(facts) == 0 {
			if len(got) != 0 {
				t.Errorf("%s: %+v", day, got)
			}
			return
		}
		if len(got) != 1 || !reflect.DeepEqual(got[0].Facts, facts) || stamp(got[0].Since[State]) != since || len(got[0].Since) != len(facts) {
			t.Errorf("%s: %+v", day, got)
		}
	}
	const match = `target="https://a.example/chat"`
	f("2026-10-01", nil, "")
	f("2026-11-02", map[Attribute]string{Match: match, State: Running, Customer: "bank", Reseller: "falcon", Zone: "a", Contract: "bank-chat", Fee: "100.00 USD"}, "2026-10-31T20:00:00Z")
	f("2026-11-21", map[Attribute]string{Match: match, State: Stopped, Customer: "clinic", Zone: "a", Fee: "120.50 USD"}, "2026-11-20T00:00:00Z")
}
