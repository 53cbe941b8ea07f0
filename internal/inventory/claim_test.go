package inventory

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nines/internal/sla"
)

func TestWhoseAGroupIs(t *testing.T) {
	claim := func(resource string, running bool, names ...string) Claim {
		return Claim{Stretch: Stretch{Own: names}, Running: running, Customer: resource}
	}
	f := func(want string, claims ...Claim) {
		t.Helper()
		for range 5 { // in any order
			rand.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
			var on []*Claim
			for i := range claims {
				on = append(on, &claims[i])
			}
			var got []string
			for _, c := range Owners(on) {
				got = append(got, c.Customer)
			}
			slices.Sort(got)
			if strings.Join(got, " ") != want {
				t.Errorf("%v, want %s", got, want)
			}
		}
	}
	f("")
	f("lb", claim("lb", true, "service"))
	f("node", claim("lb", true, "service"), claim("node", true, "node", "service"))
	f("node", claim("lb", true, "service"), claim("node", false, "node", "service")) // suspended
	f("new", claim("old", false, "target"), claim("new", true, "target"))            // the address was given away
	f("new old", claim("old", false, "target"), claim("new", false, "target"))
	f("a b", claim("a", true, "target"), claim("b", true, "node"), claim("c", false, "probe"))
}

func TestClaimsFollowTheFacts(t *testing.T) {
	entries, err := Read("i.csv", []byte(`resource,from,match.target,state,customer,contract
r,2026-11-01T00:00:00Z,t,running,bank,shop
r,2026-11-02T00:00:00Z,,suspended,,
r,2026-11-03T00:00:00Z,,running,clinic,none
`))
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
	const day = int64(86_400_000)
	first := entries[0].From
	r := At(records, 0).Resource("r")
	if _, ok := r.ClaimAt(first - 1); ok {
		t.Error("it claims something before it has a match")
	}
	got := r.Claims(sla.Interval{Start: first - day, End: first + 5*day})
	if len(got) != 3 {
		t.Fatalf("%+v", got)
	}
	f := func(i int, start, end int64, running bool, customer, contract string) {
		t.Helper()
		c := got[i]
		if c.Interval != (sla.Interval{Start: first + start*day, End: first + end*day}) || c.Running != running || c.Customer != customer || c.Contract != contract || c.Labels["target"] != "t" {
			t.Errorf("%d: %+v", i, c)
		}
	}
	f(0, 0, 1, true, "bank", "shop")
	f(1, 1, 2, false, "bank", "shop")
	f(2, 2, 5, true, "clinic", "")
}
