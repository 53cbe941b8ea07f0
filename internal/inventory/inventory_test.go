package inventory

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nines/internal/sla"
)

const day = int64(86_400_000)

func date(t testing.TB, text string) int64 {
	t.Helper()
	at, err := time.Parse("2006-01-02", text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixMilli()
}

// recorded adds to the records those of entries, as a ledger would.
func recorded(t testing.TB, known []Record, entries []Entry, at int64) []Record {
	t.Helper()
	changes, err := Plan(known, entries)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		r := Record{ID: int64(len(known)) + 1, Fact: c.Fact, Recorded: at}
		if c.Corrects != nil {
			r.Supersedes = c.Corrects.ID
		}
		known = append(known, r)
	}
	return known
}

func TestAResourceThroughAMonth(t *testing.T) {
	records := recorded(t, nil, mustRead(t, "gulf.yaml", gulf), 1)
	november := sla.Interval{Start: date(t, "2026-11-01"), End: date(t, "2026-12-01")}
	r := At(records, 0).Resource("chat-a")
	f := func(got []sla.Interval, want ...string) {
		t.Helper()
		var text []string
		for _, i := range got {
			text = append(text, stamp(i.Start)+"/"+stamp(i.End))
		}
		if !reflect.DeepEqual(text, want) {
			t.Errorf("got %v, want %v", text, want)
		}
	}
	f(r.Running(november), "2026-11-01T00:00:00Z/2026-11-20T00:00:00Z")
	f(r.NotRunning(november), "2026-11-20T00:00:00Z/2026-12-01T00:00:00Z")
	f(r.During(Contract, november, func(c string) bool { return c == "bank-chat" }), "2026-11-01T00:00:00Z/2026-11-15T00:00:00Z")
	if fees := r.Over(Fee, november); len(fees) != 2 || fees[1].Value != "120.50 USD" || fees[1].Start != date(t, "2026-11-15") {
		t.Errorf("%+v", fees)
	}
	if got := r.Labels(november.Start); !reflect.DeepEqual(got, map[string]string{"target": "https://a.example/chat", "zone": "a"}) {
		t.Errorf("%v", got)
	}
	if r.Labels(date(t, "2026-10-01")) != nil || r.Value(Customer, date(t, "2026-10-01")) != "" {
		t.Error("something is known before it was told")
	}
	if next, ok := r.Next(november.Start); !ok || next != date(t, "2026-11-15") {
		t.Errorf("next is %s", stamp(next))
	}

	// It moves to another zone: two stretches.
	records = recorded(t, records, mustRead(t, "i.csv", "resource,from,zone,region\nchat-a,2026-11-10T00:00:00Z,b,\nchat-a,2026-11-12T00:00:00Z,,me\n"), 2)
	var zones []string
	for _, s := range At(records, 0).Resource("chat-a").Stretches(november) {
		zones = append(zones, fmt.Sprintf("%s %s", time.UnixMilli(s.Start).UTC().Format("02"), FormatMatch(s.Labels)))
	}
	if want := []string{`01 target="https://a.example/chat",zone="a"`, `10 target="https://a.example/chat",zone="b"`,
		`12 region="me",target="https://a.example/chat",zone="b"`}; !reflect.DeepEqual(zones, want) {
		t.Errorf("%q", zones)
	}
	if n := len(At(records, 1).Resource("chat-a").Stretches(november)); n != 1 {
		t.Errorf("as of before: %d stretches", n)
	}
}

func TestFactsAreCorrectedAndWithdrawn(t *testing.T) {
	records := recorded(t, nil, mustRead(t, "gulf.yaml", gulf), 1)
	if again, err := Plan(records, mustRead(t, "gulf.yaml", gulf)); err != nil || len(again) != 0 {
		t.Errorf("told twice: %v (%v)", again, err)
	}
	records = recorded(t, records, mustRead(t, "i.csv", "resource,from,state,fee\nchat-a,2026-11-20T00:00:00Z,withdrawn,\nchat-a,2026-11-15T00:00:00Z,,none\n"), 2)
	in := sla.Interval{Start: date(t, "2026-11-21"), End: date(t, "2026-11-22")}
	if now := At(records, 0).Resource("chat-a"); len(now.Running(in)) != 1 || now.Value(Fee, in.Start) != "" {
		t.Error("the corrections do not hold")
	}
	if was := At(records, 1).Resource("chat-a"); len(was.Running(in)) != 0 || was.Value(Fee, in.Start) != "120.50 USD" {
		t.Error("what was known is lost")
	}
	if _, err := Plan(records, mustRead(t, "i.csv", "resource,from,state\nchat-a,2026-10-31T20:00:00Z,withdrawn\n")); err == nil {
		t.Error("the start is withdrawn, and it runs")
	}
	// A withdrawn fact may be told again.
	if changes, err := Plan(records, mustRead(t, "i.csv", "resource,from,state\nchat-a,2026-11-20T00:00:00Z,stopped\n")); err != nil || len(changes) != 1 || changes[0].Corrects == nil {
		t.Errorf("%v (%v)", changes, err)
	}
}

// TestWhatWasKnownStays adds facts, corrections and withdrawals at random: the
// view as of each recorded instant is the same forever, and telling everything
// again adds nothing.
func TestWhatWasKnownStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := []Record{{ID: 1, Fact: Fact{"p", State, 0, Running, false}}, {ID: 2, Fact: Fact{"p", Match, 0, `t="p"`, false}},
			{ID: 3, Fact: Fact{"q", State, 0, Running, false}}, {ID: 4, Fact: Fact{"q", Match, 0, `t="q"`, false}}}
		views := map[int64]map[string]*Resource{}
		for at := int64(1); at <= int64(rapid.IntRange(1, 12).Draw(t, "changes")); at++ {
			var entries []Entry
			for range rapid.IntRange(1, 4).Draw(t, "facts") {
				a := rapid.SampledFrom([]Attribute{Customer, State, Fee, Zone, Match}).Draw(t, "attribute")
				text := rapid.SampledFrom(map[Attribute][]string{Customer: {"bank", "clinic", None, Withdrawn}, State: {Running, Stopped, Suspended, Withdrawn},
					Fee: {"1.00 USD", "2.00 USD", None}, Zone: {"a", "b", Withdrawn}, Match: {"t=x", "t=y"}}[a]).Draw(t, "value")
				f, err := fact(rapid.SampledFrom([]string{"p", "q"}).Draw(t, "resource"), a, day*rapid.Int64Range(0, 5).Draw(t, "day"), text)
				if err != nil {
					t.Fatal(err)
				}
				entries = append(entries, Entry{Fact: f})
			}
			changes, err := Plan(records, entries)
			if err != nil {
				continue // it cannot be true
			}
			for _, c := range changes {
				r := Record{ID: int64(len(records)) + 1, Fact: c.Fact, Recorded: at}
				if c.Corrects != nil {
					r.Supersedes = c.Corrects.ID
				}
				records = append(records, r)
			}
			if again, err := Plan(records, entries); err != nil || len(again) != 0 {
				t.Fatalf("told twice, it is new: %v (%v)", again, err)
			}
			views[at] = At(records, at).resources
			for then, want := range views {
				if got := At(records, then).resources; !reflect.DeepEqual(got, want) {
					t.Fatalf("what was known at %d has changed", then)
				}
			}
			if problems := At(records, 0).Check(); len(problems) > 0 {
				t.Fatalf("accepted, and impossible: %v", problems)
			}
		}
	})
}

func TestIntervals(t *testing.T) {
	i := func(start, end int64) sla.Interval { return sla.Interval{Start: start, End: end} }
	if got := Intersect([]sla.Interval{i(0, 10), i(20, 30)}, []sla.Interval{i(5, 22), i(29, 40)}); !reflect.DeepEqual(got, []sla.Interval{i(5, 10), i(20, 22), i(29, 30)}) {
		t.Errorf("%v", got)
	}
	if got := Without(i(0, 10), []sla.Interval{i(-5, 2), i(4, 6), i(9, 20), i(30, 40)}); !reflect.DeepEqual(got, []sla.Interval{i(2, 4), i(6, 9)}) {
		t.Errorf("%v", got)
	}
}
