package script

import (
	"slices"
	"strconv"
	"strings"
)

// told reads: resource NAME [running|stopped|suspended] [ATTRIBUTE=VALUE …]
// [from TIME]. Without a time it holds from at on.
func (p *parser) told(n *node, skip int, at int64) (t Told, ok bool) {
	const want = `resource NAME [running|stopped|suspended] [ATTRIBUTE=VALUE …] [from TIME], such as resource shop running match.target=shop contract=bank fee="100.00 USD"`
	p.none(n)
	head := n.words[skip]
	if at <= 0 {
		p.wrong(n, head, "has no time: want a line such as start 2026-11-02T10:00 above")
		return t, false
	}
	p.begun = true
	ws, ok := p.args(n, skip+1, 2, 100, want)
	if !ok {
		return t, false
	}
	t = Told{Pos: p.pos(n, head), Resource: ws[0].text, From: at}
	ws = ws[1:]
	if k := len(ws); k >= 2 && ws[k-2].text == "from" {
		if t.From, ok = p.instant(n, ws[k-1]); !ok {
			return t, false
		}
		ws = ws[:k-2]
	}
	for _, w := range ws {
		a, reason := attribute(w.text)
		if reason == "" && slices.ContainsFunc(t.Values, func(b Attribute) bool { return a.Name == b.Name }) {
			reason = "is given twice"
		}
		if reason != "" {
			p.wrong(n, w, reason)
			return t, false
		}
		a.Pos = p.pos(n, w)
		t.Values = append(t.Values, a)
	}
	if len(t.Values) == 0 {
		p.wrong(n, head, "want "+want)
		return t, false
	}
	return t, true
}

// attribute reads ATTRIBUTE=VALUE, or a state by itself. Whether there is such an
// attribute, and what its values are, the inventory knows.
func attribute(text string) (a Attribute, reason string) {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		if !slices.Contains([]string{"running", "stopped", "suspended"}, text) {
			return a, `want running, stopped or suspended, or ATTRIBUTE=VALUE such as contract=bank or fee="100.00 USD"`
		}
		return Attribute{Name: "state", Value: text}, ""
	}
	if strings.HasPrefix(value, `"`) {
		plain, err := strconv.Unquote(value)
		if err != nil {
			return a, "has a value whose quotes do not close"
		}
		value = plain
	}
	if name == "" || value == "" {
		return a, "want ATTRIBUTE=VALUE"
	}
	return Attribute{Name: name, Value: value}, ""
}
