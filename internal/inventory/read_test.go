package inventory

import (
	"strings"
	"testing"
)

const gulf = `apiVersion: nines/v1
kind: Inventory
metadata: {name: gulf}
spec:
  resources:
  - name: chat-a
    match: {target: "https://a.example/chat"}
    facts:
    - from: 2026-11-01T00:00:00+04:00
      state: running
      customer: bank
      reseller: falcon
      contract: bank-chat
      zone: a
      fee: 100 USD
    - {from: 2026-11-15T00:00:00Z, customer: clinic, reseller: none, contract: none, fee: 120.50 USD}
    - {from: 2026-11-20T00:00:00Z, state: stopped}
`

func mustRead(t *testing.T, name, text string) []Entry {
	t.Helper()
	entries, err := Read(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// written writes entries down, one a line.
func written(entries []Entry) string {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.Resource + " " + stamp(e.From) + " " + string(e.Attribute) + " " + e.Text() + "\n")
	}
	return b.String()
}

func TestOneInventoryInYAMLAndCSV(t *testing.T) {
	f := func(name, text string) {
		t.Helper()
		want := `chat-a 2026-10-31T20:00:00Z state running
chat-a 2026-10-31T20:00:00Z customer bank
chat-a 2026-10-31T20:00:00Z reseller falcon
chat-a 2026-10-31T20:00:00Z zone a
chat-a 2026-10-31T20:00:00Z contract bank-chat
chat-a 2026-10-31T20:00:00Z fee 100.00 USD
chat-a 2026-11-15T00:00:00Z customer clinic
chat-a 2026-11-15T00:00:00Z reseller none
chat-a 2026-11-15T00:00:00Z contract none
chat-a 2026-11-15T00:00:00Z fee 120.50 USD
chat-a 2026-11-20T00:00:00Z state stopped
`
		match := `chat-a 2026-10-31T20:00:00Z match target="https://a.example/chat"` + "\n"
		entries := mustRead(t, name, text)
		if got := strings.Replace(written(entries), match, "", 1); got != want || got == written(entries) {
			t.Errorf("%s: %s", name, written(entries))
		}
		if changes, err := Plan(nil, entries); err != nil || len(changes) != 12 {
			t.Errorf("%s: %d changes (%v)", name, len(changes), err)
		}
	}
	f("gulf.yaml", gulf)
	f("gulf.csv", `resource,from,match.target,state,customer,reseller,zone,contract,fee
chat-a,2026-11-01T00:00:00+04:00,https://a.example/chat,running,bank,falcon,a,bank-chat,100.0 USD
chat-a,2026-11-15T00:00:00Z,,,clinic,none,,none,120.50 USD
chat-a,2026-11-20T00:00:00Z,,stopped,,,,,
`)
}

func TestMistakesHavePositionsAllAtOnce(t *testing.T) {
	f := func(name, text string, want ...string) {
		t.Helper()
		entries, err := Read(name, []byte(text))
		if err == nil {
			_, err = Plan(nil, entries)
		}
		if err == nil {
			t.Errorf("%q is accepted", text)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: got\n%v\nwant %q", text, err, w)
			}
		}
		if n := strings.Count(err.Error(), "\n") + 1; n != len(want) {
			t.Errorf("%q: %d mistakes, want %d:\n%v", text, n, len(want), err)
		}
	}
	const head = "apiVersion: nines/v1\nkind: Inventory\nspec:\n  resources:\n"
	f("i.yaml", "", "i.yaml:1:1: is empty")
	f("i.yaml", "kind: SLA\n", "i.yaml:1:1: want apiVersion: nines/v1 and kind: Inventory")
	f("i.yaml", head+"  - {name: a, match: {t: x}, facts: [{from: yesterday, state: running}]}\n  - {name: b, match: {t: y}, facts: [{from: 2026-11-01T00:00:00Z, state: paused, fee: 1 ABC}]}\n",
		`i.yaml:5:45: spec.resources[0].facts[0].from: want a time with its offset, to the millisecond, such as 2026-11-02T10:30:00Z, got "yesterday"`,
		`i.yaml:6:74: spec.resources[1].facts[0].state: want running, stopped or suspended, got "paused"`,
		`spec.resources[1].facts[0].fee: ABC is no currency of ISO 4217, got "1 ABC"`)
	f("i.yaml", head+"  - {name: a, match: {t: x}, facts: [{from: 2026-11-01T00:00:00Z, zonne: a}]}\n", `spec.resources[0].facts[0].zonne: unknown field`)
	f("i.yaml", head+"  - {name: a, facts: [{from: 2026-11-01T00:00:00Z, state: running}]}\n", "a: match: is required")
	f("i.yaml", head+"  - {name: a, match: {t: x}, facts: [{from: 2026-11-01T00:00:00Z, customer: b}]}\n", "a: state: is required: say from when it is running")
	f("i.yaml", head+"  - {name: a, match: {t: x}, facts: [{from: 2026-11-01T00:00:00Z, state: stopped}, {from: 2026-11-02T00:00:00Z, state: running}]}\n",
		"i.yaml:5:74: spec.resources[0].facts[0].state: a: state from 2026-11-01T00:00:00Z: it is stopped before it was ever running")
	f("i.yaml", head+"  - {name: a, match: {t: x}, facts: [{from: 2026-11-01T00:00:00Z, state: running}, {from: 2026-11-02T00:00:00Z, state: stopped}, {from: 2026-11-03T00:00:00Z, state: suspended}]}\n",
		"it is suspended while it is stopped")
	f("i.yaml", head+"  - {name: a, match: {zone: x}, facts: [{from: 2026-11-01T00:00:00Z, state: running, zone: y}]}\n", "names the zone x, but the zone is y")
	f("i.yaml", head+"  - {name: a, match: {t: x}, facts: [{from: 2026-11-01T00:00:00Z, state: running}]}\n  - {name: b, match: {t: x}, facts: [{from: 2026-11-02T00:00:00Z, state: running}]}\n",
		`i.yaml:6:22: spec.resources[1].match: b: match from 2026-11-02T00:00:00Z: t="x" is the match of a, too, from 2026-11-02T00:00:00Z on`)
	f("i.yaml", head+"  - {name: a, match: {t: x}, facts: [{from: 2026-11-01T00:00:00Z, state: running}, {from: 2026-11-01T01:00:00+01:00, state: stopped}]}\n",
		"the state of a at this instant is given twice")
	f("i.yaml", head+"  - {name: a, match: {t: x}, facts: [{from: 2026-11-01T00:00:00Z, state: running}, {from: 2026-11-05T00:00:00Z, zone: withdrawn}]}\n",
		"there is no such fact to be withdrawn")
	f("i.csv", "", "i.csv:1:1: is empty")
	f("i.csv", "resource,since,price\n", `i.csv:1:10: unknown column`, `i.csv:1:16: unknown column`, `want a header with the column from`)
	f("i.csv", "resource,from,state\na,2026-11-01T00:00:00Z,paused\nb,2026-11-01T00:00:00Z,\nc,x,running\nd,2026-11-01T00:00:00Z\n",
		`i.csv:2:24: state: want running, stopped or suspended, got "paused"`, `i.csv:3:1: resource: the row tells nothing`,
		`i.csv:4:3: from: want a time with its offset`, `i.csv:5:1: want 3 columns, got 2`)
	f("i.csv", "resource,from,state\n\"a,b\n", "is no CSV")
}

func FuzzRead(f *testing.F) {
	f.Add("i.yaml", []byte(gulf))
	f.Add("i.csv", []byte("resource,from,match.t,state,fee\na,2026-11-01T00:00:00Z,x,running,1.00 KWD\n"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		entries, err := Read(name, data)
		if err != nil {
			return
		}
		// What was read is in its stored form, and is accepted as it is.
		for _, e := range entries {
			if e.Withdrawn || e.Value == "" {
				continue
			}
			if again, err := ParseValue(e.Attribute, e.Value); err != nil || again != e.Value {
				t.Errorf("%s %q becomes %q (%v)", e.Attribute, e.Value, again, err)
			}
		}
		_, _ = Plan(nil, entries)
	})
}

func FuzzParseMatch(f *testing.F) {
	f.Add(`target="https://a",zone=b`)
	f.Fuzz(func(t *testing.T, text string) {
		labels, err := ParseMatch(text)
		if err != nil {
			return
		}
		if again, err := ParseMatch(FormatMatch(labels)); err != nil || FormatMatch(again) != FormatMatch(labels) {
			t.Errorf("%q becomes %v, then %v (%v)", text, labels, again, err)
		}
	})
}
