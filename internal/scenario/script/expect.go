package script

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// at reads: at TIME STATEMENT, or at TIME and statements below it.
func (p *parser) at(n *node) {
	if len(n.words) < 2 {
		p.wrong(n, n.head(), "want at TIME and what is expected, in the line or below it")
		return
	}
	t, ok := p.instant(n, n.words[1])
	if !ok {
		return
	}
	switch {
	case len(n.words) > 2:
		p.step(n, 2, t)
	case len(n.below) == 0:
		p.wrong(n, n.head(), "want at TIME and what is expected, in the line or below it")
	}
	if len(n.words) > 2 {
		return
	}
	for _, b := range n.below {
		p.step(b, 0, t)
	}
}

const wantStep = "want a statement: rules, zone, start, end, tick, agent, load, fault, inventory, resource, facts, exclude, approve, correct, at, scenario, or what is expected: quiet, never, alert, no alert, resolved, state, slots, slot, attainment, budget, burn, gaps, settle, restate"

// unknown reports a word that begins no statement. The first report says which
// words do.
func (p *parser) unknown(n *node, w word) {
	reason := "is no statement"
	if !p.listed {
		reason = wantStep
	}
	p.listed = true
	p.wrong(n, w, reason)
}

// step reads an action or expectation whose first word is the one at skip.
func (p *parser) step(n *node, skip int, at int64) {
	w := n.words[skip]
	s := Step{Pos: p.pos(n, w), At: at, Action: Action(w.text), Since: -1}
	ok := false
	switch s.Action {
	case UseRules:
		if at < 0 {
			break
		}
		m := *n
		m.words = n.words[skip:]
		s.Files, ok = p.paths(&m), true
	case Exclude:
		ok = p.exclude(n, skip, &s)
	case Approve:
		ok = p.approve(n, skip, &s)
	case Quiet, Never, Alert, NoAlert, Resolved:
		ok = p.alert(n, skip, &s)
	case State, Slots, Slot, Attainment, Budget, Burn:
		ok = p.objective(n, skip, &s)
	case Gaps:
		ok = p.gaps(n, skip, &s)
	case Settle, Restate:
		ok = p.settle(n, skip, &s)
	case Tell:
		s.Told, ok = p.told(n, skip, at)
	case Correct:
		s.Facts = p.rows(n)
		if ok = len(s.Facts) > 0; !ok {
			p.wrong(n, w, "want the facts that take the place of those before, below it")
		}
	default:
		p.unknown(n, w)
	}
	if ok {
		p.now.Steps = append(p.now.Steps, s)
	}
}

// alert reads: quiet [SEVERITY], never ALERT, alert ALERT [since TIME],
// no alert ALERT, resolved ALERT [since TIME].
func (p *parser) alert(n *node, skip int, s *Step) bool {
	p.none(n)
	ws := n.words[skip+1:]
	switch s.Action {
	case Quiet:
		ws, ok := p.args(n, skip+1, 0, 1, "quiet, or quiet page")
		if ok && len(ws) == 1 {
			s.Labels = map[string]string{"severity": ws[0].text}
		}
		return ok
	case NoAlert:
		if len(ws) == 0 || ws[0].text != "alert" {
			p.wrong(n, n.words[skip], "want no alert NAME{label=\"value\"}")
			return false
		}
		ws = ws[1:]
	}
	timed := s.Action == Alert || s.Action == Resolved
	if len(ws) != 1 && !(timed && len(ws) == 3 && ws[1].text == "since") {
		p.wrong(n, n.words[skip], "want "+string(s.Action)+` NAME{label="value"}, for alert and resolved also since TIME`)
		return false
	}
	if !p.choose(n, ws[0], s) {
		return false
	}
	if len(ws) == 3 {
		t, ok := p.instant(n, ws[2])
		s.Since = t
		return ok
	}
	return true
}

// choose reads a name and labels.
func (p *parser) choose(n *node, w word, s *Step) bool {
	name, labels, reason := selector(w.text)
	if reason == "" && name == "" && len(labels) == 0 {
		reason = `want a name, labels or both, such as ConfirmedDown{target="shop"}`
	}
	if reason != "" {
		p.wrong(n, w, reason)
		return false
	}
	s.Name, s.Labels = name, labels
	return true
}

// numberForm is what expected figures look like.
func figure(s string) bool {
	return regexp.MustCompile(`^-?[0-9]{1,15}(\.[0-9]{1,15})?%?$`).MatchString(s)
}

func (p *parser) objective(n *node, skip int, s *Step) bool {
	ws, ok := p.args(n, skip+1, 2, 10_000, "the name of an objective and what is expected of it")
	if !ok || !p.choose(n, ws[0], s) {
		return false
	}
	if s.Name == "" {
		p.wrong(n, ws[0], "want the name of an objective")
		return false
	}
	if s.Action != Slot {
		p.none(n)
	}
	switch s.Action {
	case Slots:
		return p.strip(n, ws[1:], s)
	case Slot:
		return p.slot(n, ws[1:], s)
	case Burn:
		if len(ws) != 3 {
			p.wrong(n, ws[0], "want the long window and the rate behind it, such as 1h 14.4")
			return false
		}
		if s.Window, ok = p.length(n, ws[1]); !ok {
			return false
		}
		ws = ws[1:]
	}
	if len(ws) != 2 {
		p.wrong(n, ws[2], "is too much")
		return false
	}
	return p.want(n, ws[1], s)
}

// want reads the one word that is expected.
func (p *parser) want(n *node, w word, s *Step) bool {
	s.Want = w.text
	reason := ""
	switch s.Action {
	case State:
		if !slices.Contains([]string{"up", "failing", "down", "silent"}, w.text) {
			reason = "want up, failing, down or silent"
		}
	case Attainment:
		if good, all, ok := strings.Cut(w.text, "/"); ok && whole(good) && whole(all) {
			break
		}
		if !figure(w.text) {
			reason = "want a percentage such as 99.97685, or a ratio such as 43190/43200"
		}
	default:
		if !figure(w.text) {
			reason = "want a number such as 14.4 or 83.3%"
		}
	}
	if reason != "" {
		p.wrong(n, w, reason)
	}
	return reason == ""
}

func whole(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil && s[0] != '+'
}

// strip reads: [from TIME] and letters of slots, with *N for several.
func (p *parser) strip(n *node, ws []word, s *Step) bool {
	if len(ws) > 2 && ws[0].text == "from" {
		t, ok := p.instant(n, ws[1])
		if !ok {
			return false
		}
		s.Since, ws = t, ws[2:]
	}
	for _, w := range ws {
		letters, count, many := strings.Cut(w.text, "*")
		times := 1
		if many {
			var err error
			if times, err = strconv.Atoi(count); err != nil || times < 1 || times > maxRuns {
				p.wrong(n, w, "want how often, such as G*10")
				return false
			}
		}
		if strings.Trim(letters, "GBU-") != "" || letters == "" || len(s.States)+times*len(letters) > maxRuns {
			p.wrong(n, w, "want slots: G good, B bad, U unknown, - none, *N for several, such as G*10 BB G")
			return false
		}
		for range times {
			for i := range len(letters) {
				s.States = append(s.States, SlotState{Pos{p.file, n.line, w.col}, letters[i]})
			}
		}
	}
	return true
}

// slotKeys are what can be expected of one slot.
const slotKeys = "state reason good total blind version"

// slot reads: TIME KEY VALUE …, in the line or below it.
func (p *parser) slot(n *node, ws []word, s *Step) bool {
	t, ok := p.instant(n, ws[0])
	if !ok {
		return false
	}
	s.Since = t
	ws = ws[1:]
	if len(ws)%2 != 0 {
		p.wrong(n, ws[len(ws)-1], "want keys and values: "+slotKeys)
		return false
	}
	for i := 0; i < len(ws); i += 2 {
		s.Keys = append(s.Keys, Key{p.pos(n, ws[i]), ws[i].text, ws[i+1].text})
	}
	if !p.keys(n, s) {
		return false
	}
	for _, k := range s.Keys {
		if !slices.Contains(strings.Fields(slotKeys), k.Name) {
			p.fail(k.Line, k.Col, "want one of "+slotKeys, k.Name)
			return false
		}
	}
	return true
}

// keys reads the lines below: KEY VALUE.
func (p *parser) keys(n *node, s *Step) bool {
	ok := true
	for _, b := range n.below {
		p.none(b)
		if len(b.words) != 2 {
			p.wrong(b, b.head(), "want a key and its value, such as credit.amount 1000.00")
			ok = false
			continue
		}
		s.Keys = append(s.Keys, Key{p.pos(b, b.words[0]), b.words[0].text, b.words[1].text})
	}
	if ok && len(s.Keys) == 0 {
		p.wrong(n, n.head(), "expects nothing: want keys and values, such as credit.amount 1000.00")
		return false
	}
	return ok
}

// gaps reads: gaps N [REASON].
func (p *parser) gaps(n *node, skip int, s *Step) bool {
	p.none(n)
	ws, ok := p.args(n, skip+1, 1, 2, "gaps N, the number of frames that are missing, or gaps N REASON")
	if !ok {
		return false
	}
	if s.Want = ws[0].text; !whole(s.Want) {
		p.wrong(n, ws[0], "want a number of frames")
		return false
	}
	if len(ws) == 2 {
		s.Name = ws[1].text
	}
	return true
}

// settle reads: settle CONTRACT MONTH, or restate CONTRACT MONTH by WHO approved
// WHO, and keys below it.
func (p *parser) settle(n *node, skip int, s *Step) bool {
	n2, want := 2, "settle CONTRACT MONTH, such as settle bank 2026-11, and keys below it"
	if s.Action == Restate {
		n2, want = 6, "restate CONTRACT MONTH by WHO approved WHO, and keys below it"
	}
	ws, ok := p.args(n, skip+1, n2, n2, want)
	if !ok {
		return false
	}
	if s.Action == Restate {
		if ws[2].text != "by" || ws[4].text != "approved" {
			p.wrong(n, ws[2], "want "+want)
			return false
		}
		s.Author, s.ApprovedBy = ws[3].text, ws[5].text
	}
	s.Name, s.Want = ws[0].text, ws[1].text
	if !regexp.MustCompile(`^[0-9]{4}-[0-9]{2}$`).MatchString(s.Want) {
		p.wrong(n, ws[1], "want a month such as 2026-11")
		return false
	}
	return p.keys(n, s)
}

// exclude reads: exclude NAME from TIME to TIME and then, in any order, removed
// or available, category WORD, reason TEXT, by WORD, approved WORD, announced
// TIME.
func (p *parser) exclude(n *node, skip int, s *Step) bool {
	p.none(n)
	const want = "exclude NAME from TIME to TIME [removed|available] [category WORD] [reason TEXT] [by WHO] [announced TIME] [approved WHO]"
	ws := n.words[skip+1:]
	if len(ws) < 5 {
		p.wrong(n, n.words[skip], "want "+want)
		return false
	}
	x := &Exclusion{Pos: s.Pos, Name: ws[0].text, Effect: "removed", Category: "maintenance", Reason: ws[0].text, Author: "scenario"}
	var ok bool
	if x.Start, x.End, ws, ok = p.between(n, ws[1:]); !ok {
		return false
	}
	for len(ws) > 0 {
		key := ws[0].text
		if key == "removed" || key == "available" {
			x.Effect, ws = key, ws[1:]
			continue
		}
		if len(ws) < 2 {
			p.wrong(n, ws[0], "want "+want)
			return false
		}
		switch value := ws[1]; key {
		case "category":
			x.Category = value.text
		case "reason":
			x.Reason = value.text
		case "by":
			x.Author = value.text
		case "approved":
			x.ApprovedBy = value.text
		case "announced":
			if x.Announced, ok = p.instant(n, value); !ok {
				return false
			}
		default:
			p.wrong(n, ws[0], "want "+want)
			return false
		}
		ws = ws[2:]
	}
	if x.ApprovedBy == x.Author {
		p.wrong(n, n.words[skip], "is approved by its author: nobody approves their own")
		return false
	}
	s.Name, s.Exclusion = x.Name, x
	return true
}

// approve reads: approve NAME by WHO.
func (p *parser) approve(n *node, skip int, s *Step) bool {
	p.none(n)
	ws, ok := p.args(n, skip+1, 3, 3, "approve NAME by WHO")
	if !ok {
		return false
	}
	if ws[1].text != "by" {
		p.wrong(n, ws[1], "want approve NAME by WHO")
		return false
	}
	s.Name, s.Want = ws[0].text, ws[2].text
	return true
}
