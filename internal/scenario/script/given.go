package script

import (
	"slices"
	"strconv"
	"strings"

	"nines/internal/telemetry"
)

// maxResources bounds how many resources a range of names means, and maxFacts how
// many rows the facts below a line are.
const (
	maxResources = 10_000
	maxFacts     = 1_000_000
)

// statement reads a line of the outermost level.
func (p *parser) statement(n *node) {
	switch n.head().text {
	case "rules":
		p.now.Rules = append(p.now.Rules, p.paths(n)...)
	case "zone":
		p.zone(n)
	case "start":
		p.start(n)
	case "end":
		p.end(n)
	case "tick":
		p.tick(n)
	case "agent":
		p.agent(n)
	case "load":
		p.load(n)
	case "fault":
		p.fault(n)
	case "facts":
		p.facts(n)
	case "inventory":
		p.now.Inventory = append(p.now.Inventory, p.paths(n)...)
	case string(Tell):
		if t, ok := p.told(n, 0, p.now.Start); ok {
			p.now.Told = append(p.now.Told, t)
		}
	case "at":
		p.at(n)
	default:
		p.step(n, 0, -1)
	}
}

// paths reads the names of files.
func (p *parser) paths(n *node) (out []Path) {
	p.none(n)
	ws, _ := p.args(n, 1, 1, 100, "files such as rules objectives.yaml ../contracts/bank.yaml")
	for _, w := range ws {
		out = append(out, Path{p.pos(n, w), w.text})
	}
	return out
}

func newAgent(at Pos, name string) Agent {
	return Agent{Pos: at, Name: name, Host: telemetry.Labels{{Name: "host", Value: name}}}
}

// agent reads: agent NAME label=value …
func (p *parser) agent(n *node) {
	p.none(n)
	ws, ok := p.args(n, 1, 1, 100, "a name and labels such as agent fra-1 region=eu zone=a")
	if !ok {
		return
	}
	if slices.ContainsFunc(p.now.Agents, func(a Agent) bool { return a.Name == ws[0].text }) {
		p.wrong(n, ws[0], "is an agent above already")
	}
	a := newAgent(p.pos(n, ws[0]), ws[0].text)
	labels := a.Host.Map()
	for _, w := range ws[1:] {
		name, value, ok := strings.Cut(w.text, "=")
		if !ok || !metricName(name) || value == "" {
			p.wrong(n, w, "want a label such as region=eu")
			continue
		}
		labels[name] = strings.Trim(value, `"`)
	}
	a.Host = telemetry.NewLabels(labels)
	p.now.Agents = append(p.now.Agents, a)
}

// load reads: load AGENT[,AGENT…] every DURATION [from TIME], and the series
// below it.
func (p *parser) load(n *node) {
	const want = "load AGENT,… every DURATION [from TIME], and series below it"
	ws, ok := p.args(n, 1, 3, 5, want)
	if !ok || ws[1].text != "every" || len(ws) == 4 || len(ws) == 5 && ws[3].text != "from" {
		if ok {
			p.wrong(n, ws[1], "want "+want)
		}
		return
	}
	l := Load{Pos: p.pos(n, n.head()), Agents: names(ws[0].text), From: p.now.Start}
	l.Every, ok = p.length(n, ws[2])
	if !ok {
		return
	}
	if len(ws) == 5 {
		if l.From, ok = p.instant(n, ws[4]); !ok {
			return
		}
	}
	if p.now.Start == 0 {
		p.wrong(n, n.head(), "has no time: want a line such as start 2026-11-02T10:00 above")
	}
	p.begun = true
	if len(n.below) == 0 {
		p.wrong(n, n.head(), `want series below it, such as probe_success{target="shop"} 1*10m`)
	}
	for _, b := range n.below {
		p.series(b, &l)
	}
	p.now.Loads = append(p.now.Loads, l)
}

// names splits a,b,c; * is every agent, which are none.
func names(text string) []string {
	var out []string
	for name := range strings.SplitSeq(text, ",") {
		if name != "" {
			out = append(out, name)
		}
	}
	return out
}

// series reads: NAME{label="value",…} [counter|fresh] VALUE …
func (p *parser) series(n *node, l *Load) {
	p.none(n)
	head := n.head()
	name, labels, reason := selector(head.text)
	if reason == "" && !metricName(name) {
		reason = `want a series such as probe_success{target="shop"}`
	}
	for label := range labels {
		if reason == "" && !metricName(label) {
			reason = "has a label whose name is none: letters, digits and _"
		}
	}
	if reason != "" {
		p.wrong(n, head, reason)
		return
	}
	s := Series{Pos: p.pos(n, head), Series: telemetry.Series{Name: name, Labels: telemetry.NewLabels(labels), Kind: telemetry.Gauge}}
	ws := n.words[1:]
	if len(ws) > 0 && (ws[0].text == "counter" || ws[0].text == "fresh") {
		s.Kind, s.Fresh = telemetry.Counter, ws[0].text == "fresh"
		ws = ws[1:]
	}
	if len(ws) == 0 {
		p.wrong(n, head, "has no values: "+wantValue)
		return
	}
	values, bad, reason := readValues(ws, l.Every)
	if bad >= 0 {
		p.wrong(n, ws[bad], reason)
		return
	}
	if slices.ContainsFunc(l.Series, func(o Series) bool { return o.Name == s.Name && slices.Equal(o.Labels, s.Labels) }) {
		p.wrong(n, head, "is given twice in this load")
	}
	s.Values = values
	l.Series = append(l.Series, s)
}

// faultKinds are the faults and whether they take a duration.
func faultKind(name string) (kind FaultKind, takes, ok bool) {
	switch k := FaultKind(name); k {
	case Silent, Offline, Lossy, Restart, Repeat:
		return k, false, true
	case Slow, Clock:
		return k, true, true
	}
	return "", false, false
}

// fault reads: fault AGENT,…|* KIND [DURATION] from TIME to TIME, or
// fault collector away from TIME to TIME.
func (p *parser) fault(n *node) {
	p.none(n)
	const want = "fault AGENT,…|* silent|offline|lossy|repeat|slow DURATION|clock DURATION from TIME to TIME, fault AGENT restart at TIME, or fault collector away from TIME to TIME"
	ws, ok := p.args(n, 1, 4, 7, want)
	if !ok {
		return
	}
	f := Fault{Pos: p.pos(n, n.head())}
	if ws[0].text == "collector" && ws[1].text == "away" {
		f.Kind = Collector
		ws = ws[2:]
	} else {
		kind, takes, known := faultKind(ws[1].text)
		if !known {
			p.wrong(n, ws[1], "want "+want)
			return
		}
		if f.Kind = kind; ws[0].text != "*" {
			f.Agents = names(ws[0].text)
		}
		ws = ws[2:]
		if takes {
			if f.By, ok = p.shift(n, ws[0], kind); !ok {
				return
			}
			ws = ws[1:]
		}
	}
	if f.Kind == Restart {
		if len(ws) != 2 || ws[0].text != "at" {
			p.wrong(n, ws[0], "want fault AGENT restart at TIME")
			return
		}
		f.From, ok = p.instant(n, ws[1])
		f.To, ws = f.From, nil
	} else {
		f.From, f.To, ws, ok = p.between(n, ws)
	}
	if len(ws) > 0 {
		p.wrong(n, ws[0], "stands behind the fault's end")
	}
	if p.begun = true; ok {
		p.now.Faults = append(p.now.Faults, f)
	}
}

// shift reads how much a fault moves time; clocks may go back.
func (p *parser) shift(n *node, w word, kind FaultKind) (int64, bool) {
	text, back := strings.CutPrefix(w.text, "-")
	text = strings.TrimPrefix(text, "+")
	ms, ok := p.length(n, word{text: text, col: w.col})
	if back && kind != Clock {
		p.wrong(n, w, "want a duration above zero")
		return 0, false
	}
	if back {
		ms = -ms
	}
	return ms, ok
}

// facts reads: facts FILE.csv, or facts and rows below it.
func (p *parser) facts(n *node) {
	ws, ok := p.args(n, 1, 0, 1, "facts FILE.csv, or facts and rows below it")
	if !ok {
		return
	}
	switch {
	case len(ws) == 1:
		p.none(n)
		p.now.FactsFile = Path{p.pos(n, ws[0]), ws[0].text}
		return
	case len(n.below) == 0:
		p.wrong(n, n.head(), "want a file, or rows below it such as vm-1 down from 10:00 for 11m")
	}
	p.now.Facts = append(p.now.Facts, p.rows(n)...)
}

// rows reads the facts below a line.
func (p *parser) rows(n *node) (out []Fact) {
	total := 0
	for _, b := range n.below {
		f, ok := p.fact(b)
		if !ok {
			continue
		}
		if total += len(f.Resources) * f.Count; total > maxFacts {
			p.wrong(b, b.head(), "makes too many facts, at most "+strconv.Itoa(maxFacts))
			break
		}
		out = append(out, f)
	}
	return out
}

// fact reads: RESOURCE[@ZONE] STATE [VALUE] from TIME to TIME [every DURATION *N],
// or RESOURCE[@ZONE] up.
func (p *parser) fact(n *node) (f Fact, ok bool) {
	p.none(n)
	if len(n.words) == 2 && n.words[1].text == Up {
		f = Fact{State: Up, Count: 1}
		return f, p.resource(n, n.words[0], &f)
	}
	ws, ok := p.args(n, 0, 6, 10, "RESOURCE[@ZONE] STATE [VALUE] from TIME to TIME|for DURATION [every DURATION *N], or RESOURCE up")
	if !ok {
		return f, false
	}
	f = Fact{State: ws[1].text, Count: 1}
	if !p.resource(n, ws[0], &f) {
		return f, false
	}
	ws = ws[2:]
	if ws[0].text != "from" {
		f.Value, ws = ws[0].text, ws[1:]
	}
	if f.Start, f.End, ws, ok = p.between(n, ws); !ok || len(ws) == 0 {
		return f, ok
	}
	if len(ws) != 3 || ws[0].text != "every" {
		p.wrong(n, ws[0], "want every DURATION *N")
		return f, false
	}
	if f.Every, ok = p.length(n, ws[1]); !ok {
		return f, false
	}
	f.Count, ok = p.count(n, strings.TrimPrefix(ws[2].text, "*"), ws[2])
	return f, ok
}

// count reads how often something occurs.
func (p *parser) count(n *node, text string, w word) (int, bool) {
	count, err := strconv.Atoi(text)
	if err != nil || count < 1 || count > maxRuns {
		p.wrong(n, w, "want how often, such as *12, up to "+strconv.Itoa(maxRuns))
		return 0, false
	}
	return count, true
}

// resource reads NAME[@ZONE]; a range in the name, as in vm-{1..100}, means each
// of them.
func (p *parser) resource(n *node, w word, f *Fact) bool {
	f.Pos = p.pos(n, w)
	name, zone, _ := strings.Cut(w.text, "@")
	f.Zone, f.Resources = zone, []string{name}
	head, rest, found := strings.Cut(name, "{")
	if !found {
		return true
	}
	bounds, tail, closed := strings.Cut(rest, "}")
	from, to, dots := strings.Cut(bounds, "..")
	first, err1 := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if !closed || !dots || err1 != nil || err2 != nil || first < 0 || last < first || last-first >= maxResources {
		p.wrong(n, w, "want a range such as vm-{1..100}")
		return false
	}
	f.Resources = nil
	for i := first; i <= last; i++ {
		f.Resources = append(f.Resources, head+strconv.Itoa(i)+tail)
	}
	return true
}
