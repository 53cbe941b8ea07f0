package script

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"nines/internal/yamlconf"
)

// maxNesting bounds how deep blocks may be indented.
const maxNesting = 4

// node is one line with those indented below it.
type node struct {
	line, indent int
	words        []word
	below        []*node
}

// head returns the line's first word, which is never missing.
func (n *node) head() word { return n.words[0] }

// Parse reads the scenarios of a file. Mistakes are returned as yamlconf.Errors,
// all at once.
func Parse(file string, data []byte) ([]*Scenario, error) {
	p := &parser{file: file}
	if !utf8.Valid(data) {
		p.fail(1, 1, "is not UTF-8", "")
		return nil, p.errs.Err()
	}
	lines := p.tree(string(data))
	out := p.scenarios(lines)
	if err := p.errs.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

type parser struct {
	file string
	errs yamlconf.Errors
	now  *Scenario // that is being read
	// begun says that a statement has used the start, which cannot move then.
	begun bool
	// listed says that a mistake has named all statements.
	listed bool
}

func (p *parser) fail(line, col int, reason, got string) {
	if got != "" {
		got = strconv.Quote(got)
	}
	p.errs = append(p.errs, yamlconf.Error{File: p.file, Line: line, Col: col, Reason: reason, Got: got})
}

// wrong reports a mistake in a word of the line.
func (p *parser) wrong(n *node, w word, reason string) { p.fail(n.line, w.col, reason, w.text) }

func (p *parser) pos(n *node, w word) Pos { return Pos{p.file, n.line, w.col} }

// tree reads the lines into blocks.
func (p *parser) tree(text string) (top []*node) {
	var open []*node // the blocks that the next line may belong to
	line := 0
	for s := range strings.Lines(text) {
		line++
		s = strings.TrimRight(s, "\r\n")
		ws, bad, reason := words(s)
		if reason != "" {
			p.fail(line, bad, reason, "")
		}
		if len(ws) == 0 {
			continue
		}
		n := &node{line: line, indent: len(s) - len(strings.TrimLeft(s, " \t")), words: ws}
		for len(open) > 0 && open[len(open)-1].indent >= n.indent {
			open = open[:len(open)-1]
		}
		switch {
		case len(open) > maxNesting:
			p.fail(line, ws[0].col, "is indented too deep", "")
			continue
		case len(open) > 0:
			parent := open[len(open)-1]
			if k := len(parent.below); k > 0 && parent.below[k-1].indent != n.indent {
				p.fail(line, ws[0].col, "is indented neither like the line above nor below it", "")
			}
			parent.below = append(parent.below, n)
		case n.indent > 0:
			p.fail(line, ws[0].col, "is indented, but no block is open above it", "")
			continue
		default:
			top = append(top, n)
		}
		open = append(open, n)
	}
	return top
}

// scenarios reads the statements. What stands before the first scenario holds
// for all of them.
func (p *parser) scenarios(lines []*node) (out []*Scenario) {
	name := strings.TrimSuffix(filepath.Base(p.file), filepath.Ext(p.file))
	common := &Scenario{Pos: Pos{p.file, 1, 1}, Name: name, Zone: time.UTC}
	p.now = common
	for _, n := range lines {
		if n.head().text != "scenario" {
			p.statement(n)
			continue
		}
		if p.now != common {
			out = append(out, p.finish())
		}
		s := *common
		s.clip()
		p.now, p.begun = &s, common.used()
		s.Pos = p.pos(n, n.head())
		s.Name = p.scenarioName(n)
		if slices.ContainsFunc(out, func(o *Scenario) bool { return o.Name == s.Name }) {
			p.wrong(n, n.head(), "is called like one above: "+s.Name)
		}
	}
	if p.now != common || common.used() || len(common.Steps) > 0 {
		out = append(out, p.finish())
	}
	if len(out) == 0 && len(p.errs) == 0 {
		p.fail(1, 1, "holds no scenario", "")
	}
	return out
}

func (p *parser) scenarioName(n *node) string {
	var parts []string
	for _, w := range n.words[1:] {
		parts = append(parts, w.text)
	}
	if len(parts) == 0 {
		p.wrong(n, n.head(), "want a name, such as: scenario a zone goes dark")
	}
	p.none(n)
	return strings.Join(parts, " ")
}

// used tells whether statements stand that rest on the start.
func (s *Scenario) used() bool {
	return len(s.Loads)+len(s.Faults)+len(s.Facts)+len(s.Told)+len(s.Steps) > 0 || s.FactsFile.Name != ""
}

// clip keeps what a scenario adds out of the others of its file.
func (s *Scenario) clip() {
	s.Rules, s.Agents, s.Loads = slices.Clip(s.Rules), slices.Clip(s.Agents), slices.Clip(s.Loads)
	s.Faults, s.Facts, s.Steps = slices.Clip(s.Faults), slices.Clip(s.Facts), slices.Clip(s.Steps)
	s.Inventory, s.Told = slices.Clip(s.Inventory), slices.Clip(s.Told)
}

// finish checks the scenario as a whole.
func (p *parser) finish() *Scenario {
	s := p.now
	fail := func(at Pos, reason string) { p.fail(at.Line, at.Col, reason, "") }
	byFacts := len(s.Facts) > 0 || s.FactsFile.Name != ""
	switch {
	case byFacts && len(s.Loads)+len(s.Faults) > 0:
		fail(s.Pos, "has facts and samples: a contract is settled from one of them")
	case byFacts && s.Inventoried():
		fail(s.Pos, "has facts and an inventory: facts say themselves what ran, an inventory needs samples")
	case len(s.Inventory) > 0 && s.Start == 0:
		fail(s.Inventory[0].Pos, "has no time: want a line such as start 2026-11-02T10:00")
	case len(s.Facts) > 0 && s.FactsFile.Name != "":
		fail(s.FactsFile.Pos, "comes beside facts that are written here: give one of them")
	case len(s.Rules) == 0:
		fail(s.Pos, "names no rules: want a line such as: rules objectives.yaml contract.yaml")
	}
	if len(p.errs) == 0 && !slices.ContainsFunc(s.Steps, func(t Step) bool { return t.Expects() }) {
		fail(s.Pos, "expects nothing, so it cannot fail")
	}
	p.agents(s)
	slices.SortStableFunc(s.Steps, func(a, b Step) int {
		switch x, y := uint64(a.At), uint64(b.At); { // -1 comes last
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return s
}

// agents adds those that loads name without an agent statement, and checks the
// names of faults.
func (p *parser) agents(s *Scenario) {
	known := map[string]bool{}
	for _, a := range s.Agents {
		known[a.Name] = true
	}
	for i := range s.Loads {
		for _, name := range s.Loads[i].Agents {
			if !known[name] {
				known[name] = true
				s.Agents = append(s.Agents, newAgent(s.Loads[i].Pos, name))
			}
		}
	}
	for _, f := range s.Faults {
		for _, name := range f.Agents {
			if !known[name] {
				p.fail(f.Line, f.Col, "names an agent that sends nothing", name)
			}
		}
	}
}

// none refuses lines below one that takes none.
func (p *parser) none(n *node) {
	for _, b := range n.below {
		p.wrong(b, b.head(), n.head().text+" takes no lines below it")
	}
}

// args returns the words behind the first ones, and reports where there are
// fewer or more than wanted.
func (p *parser) args(n *node, skip, least, most int, want string) ([]word, bool) {
	ws := n.words[min(skip, len(n.words)):]
	if len(ws) < least || len(ws) > most {
		at := n.head()
		if len(ws) > most {
			at = ws[most]
		}
		p.wrong(n, at, "want "+want)
		return nil, false
	}
	return ws, true
}
