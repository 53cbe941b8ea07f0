package access

import "strings"

// SamePerson tells whether two names that people gave are one person's: where a
// second person has to approve, neither capitals nor spaces make one.
func SamePerson(a, b string) bool {
	plain := func(name string) string { return strings.Join(strings.Fields(name), " ") }
	return strings.EqualFold(plain(a), plain(b))
}
