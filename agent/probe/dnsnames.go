package probe

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

func queryTypes() map[string]dnsmessage.Type {
	return map[string]dnsmessage.Type{
		"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "CNAME": dnsmessage.TypeCNAME,
		"MX": dnsmessage.TypeMX, "NS": dnsmessage.TypeNS, "PTR": dnsmessage.TypePTR,
		"SOA": dnsmessage.TypeSOA, "SRV": dnsmessage.TypeSRV, "TXT": dnsmessage.TypeTXT,
	}
}

func queryType(name string) (dnsmessage.Type, error) {
	types := queryTypes()
	t, ok := types[strings.ToUpper(name)]
	if !ok {
		return 0, fmt.Errorf("must be one of %s, got %q", strings.Join(slices.Sorted(maps.Keys(types)), ", "), name)
	}
	return t, nil
}

// rcodes returns the response codes by number, RFC 1035 section 4.1.1.
func rcodes() []string {
	return []string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"}
}

func rcode(name string) (dnsmessage.RCode, error) {
	i := slices.Index(rcodes(), strings.ToUpper(name))
	if i < 0 {
		return 0, fmt.Errorf("must be one of %s, got %q", strings.Join(rcodes(), ", "), name)
	}
	return dnsmessage.RCode(i), nil //nolint:gosec // an index of a short list
}

func rcodeName(c dnsmessage.RCode) string {
	if int(c) < len(rcodes()) {
		return rcodes()[c]
	}
	return fmt.Sprintf("code %d", c)
}
