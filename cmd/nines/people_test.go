package main

import (
	"strings"
	"testing"

	"nines/internal/sla"
)

func TestUndeclaredPeopleOfContractFiles(t *testing.T) {
	list := []*sla.Contract{{Name: "shop", Exclusions: []sla.Exclusion{{Author: "Ann", ApprovedBy: "ben"}, {Author: "ann"}, {Author: "eve", ApprovedBy: "bob"}}}}
	f := func(want string, people ...string) {
		t.Helper()
		if got := strings.Join(undeclared(list, people), "\n"); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	f("")
	f("", "ann", "ben", "eve", "bob")
	f(`contract shop: spec.exclusions[2].author: "eve" is not declared: ledger.people names ann, ben, bob`, "ann", "ben", "bob")
	f(`contract shop: spec.exclusions[0].approvedBy: "ben" is not declared: ledger.people names ann
contract shop: spec.exclusions[2].author: "eve" is not declared: ledger.people names ann
contract shop: spec.exclusions[2].approvedBy: "bob" is not declared: ledger.people names ann`, "ann")
}

func TestPeopleAreNamedOnce(t *testing.T) {
	f := func(people, want string) {
		t.Helper()
		file := write(t, "nines.yaml", "ledger: {people: ["+people+"]}\n")
		_, err := loadConfig(file)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", people, err, want)
		}
		if want == "" && len(peopleOf(file)) == 0 || want != "" && peopleOf(file) != nil {
			t.Errorf("%s: %v", people, peopleOf(file))
		}
	}
	f(`ann, ben`, "")
	f(`ann, " ANN"`, `nines.yaml:1:24: ledger.people[1]: is named twice`)
	f(`" "`, `ledger.people[0]: name somebody`)
}
