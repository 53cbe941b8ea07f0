package inventory

import (
	"strings"
	"testing"
)

func TestOverlapsInWords(t *testing.T) {
	f := func(want string, rows ...string) {
		t.Helper()
		entries, err := Read("i.csv", []byte("resource,from,match.service,match.node,region,state\n"+strings.Join(rows, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		changes, err := Plan(nil, entries)
		if err != nil {
			t.Fatal(err)
		}
		var records []Record
		for i, c := range changes {
			records = append(records, Record{ID: int64(i + 1), Fact: c.Fact, Recorded: 1})
		}
		var got []string
		for _, o := range At(records, 0).Overlaps() {
			got = append(got, o.String())
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s\nwant %s", strings.Join(got, "\n"), want)
		}
	}
	const narrower = "'s, whose match names more labels; lb is judged by its other groups only, and by none while it has no other"
	f("", "lb,2026-01-01T00:00:00Z,lb,,,running", "other,2026-01-01T00:00:00Z,db,2,,running")
	f("groups of node=\"2\",service=\"lb\" from 2026-11-10T00:30:00Z are node"+narrower,
		"lb,2026-01-01T00:00:00Z,lb,,,running", "node,2026-11-10T00:30:00Z,lb,2,,running", "node,2026-11-12T00:00:00Z,,,,suspended")
	f("groups of node=\"2\",service=\"lb\" from 2026-11-10T00:00:00Z to 2026-11-20T00:00:00Z are node"+narrower,
		"lb,2026-01-01T00:00:00Z,lb,,,running", "node,2026-11-10T00:00:00Z,lb,2,,running", "node,2026-11-20T00:00:00Z,db,2,,")
	// An address is given away, which is no overlap; two regions know the service.
	f("", "old,2026-01-01T00:00:00Z,lb,,,running", "old,2026-02-01T00:00:00Z,,,,stopped", "new,2026-02-02T00:00:00Z,lb,,,running")
	f("groups of service=\"lb\" from 2026-02-01T00:00:00Z count for a and b alike: name more labels in the match of one to tell them apart",
		"a,2026-01-01T00:00:00Z,lb,,r,running", "b,2026-02-01T00:00:00Z,lb,,,running")
}
