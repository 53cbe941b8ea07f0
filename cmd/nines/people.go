package main

import (
	"fmt"
	"strings"

	"nines/internal/ledger"
	"nines/internal/sla"
)

// peopleOf returns whom a configuration declares, none where it has a mistake.
func peopleOf(file string) []string {
	c, err := loadConfig(file)
	if err != nil {
		return nil
	}
	return c.Ledger.People
}

// undeclared says which exclusions of contract files name an author or approver
// who is none of the people that ledger.people declares. What is in a file is
// applied as it is written: files outlive people, and have a history of their own.
func undeclared(contracts []*sla.Contract, people []string) (out []string) {
	for _, c := range contracts {
		for i := range c.Exclusions {
			e := &c.Exclusions[i]
			for _, by := range [][2]string{{"author", e.Author}, {"approvedBy", e.ApprovedBy}} {
				if by[1] != "" && !ledger.Declared(people, by[1]) {
					out = append(out, fmt.Sprintf("contract %s: spec.exclusions[%d].%s: %q is not declared: ledger.people names %s",
						c.Name, i, by[0], by[1], strings.Join(people, ", ")))
				}
			}
		}
	}
	return out
}
