package script

import (
	"regexp"
	"time"

	"nines/internal/yamlconf"
)

const wantTime = "want a time: 10m (after the start), 10:15 (on the start's day), 2026-11-02T10:15 (local), or with an offset such as 2026-11-02T10:15:00Z"

// Bounds of the times of a scenario: what the arithmetic of log time takes.
const (
	firstYear = 1971
	lastYear  = 2200
	// maxSpan bounds how long a scenario lasts, in milliseconds.
	maxSpan = 400 * 86_400_000
)

// instant reads a time as Unix milliseconds.
func (p *parser) instant(n *node, w word) (int64, bool) {
	if d, err := yamlconf.ParseDuration(w.text); err == nil {
		if p.now.Start == 0 {
			p.wrong(n, w, "counts from the start: want a line such as start 2026-11-02T10:00 above")
			return 0, false
		}
		p.begun = true
		if ms := d.Milliseconds(); d >= 0 && ms <= maxSpan && time.Duration(ms)*time.Millisecond == d {
			return p.now.Start + ms, true
		}
		p.wrong(n, w, "want whole milliseconds from 0 to 400d after the start")
		return 0, false
	}
	t, ok := p.calendar(w.text)
	if !ok {
		p.wrong(n, w, wantTime)
		return 0, false
	}
	if y := t.Year(); y < firstYear || y > lastYear || t.Nanosecond()%1_000_000 != 0 {
		p.wrong(n, w, "want a time from 1971 to 2200, to the millisecond")
		return 0, false
	}
	return t.UnixMilli(), true
}

// calendar reads a date, a local time or one with its offset.
func (p *parser) calendar(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, p.now.Zone); err == nil {
			return t, true
		}
	}
	if p.now.Start == 0 {
		return time.Time{}, false
	}
	day := time.UnixMilli(p.now.Start).In(p.now.Zone).Format("2006-01-02T")
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(layout, day+text, p.now.Zone); err == nil {
			p.begun = true
			return t, true
		}
	}
	return time.Time{}, false
}

// length reads a duration in whole milliseconds above zero.
func (p *parser) length(n *node, w word) (int64, bool) {
	d, err := yamlconf.ParseDuration(w.text)
	ms := d.Milliseconds()
	if err != nil || ms <= 0 || ms > maxSpan || time.Duration(ms)*time.Millisecond != d {
		p.wrong(n, w, "want a duration such as 5s, 1m30s or 28d, in whole milliseconds")
		return 0, false
	}
	return ms, true
}

// between reads "from TIME to TIME" or "from TIME for DURATION" at the beginning
// of ws and returns the words behind it.
func (p *parser) between(n *node, ws []word) (from, to int64, rest []word, ok bool) {
	if len(ws) < 4 || ws[0].text != "from" || ws[2].text != "to" && ws[2].text != "for" {
		at := n.head()
		if len(ws) > 0 {
			at = ws[0]
		}
		p.wrong(n, at, "want from TIME to TIME, or from TIME for DURATION")
		return 0, 0, nil, false
	}
	from, ok = p.instant(n, ws[1])
	if !ok {
		return 0, 0, nil, false
	}
	if ws[2].text == "for" {
		length, ok := p.length(n, ws[3])
		return from, from + length, ws[4:], ok
	}
	to, ok = p.instant(n, ws[3])
	if ok && to <= from {
		p.wrong(n, ws[3], "want an end after the beginning")
		ok = false
	}
	return from, to, ws[4:], ok
}

func (p *parser) zone(n *node) {
	p.none(n)
	ws, ok := p.args(n, 1, 1, 1, "a time zone such as zone Europe/London")
	if !ok {
		return
	}
	if p.now.Start != 0 {
		p.wrong(n, n.head(), "comes behind start: its times are in the zone, so give the zone first")
		return
	}
	loc, err := time.LoadLocation(ws[0].text)
	if err != nil || !regexp.MustCompile(`^[A-Za-z0-9_+/-]+$`).MatchString(ws[0].text) || ws[0].text == "Local" {
		p.wrong(n, ws[0], "want an IANA time zone such as Europe/London")
		return
	}
	p.now.Zone = loc
}

func (p *parser) start(n *node) {
	p.none(n)
	ws, ok := p.args(n, 1, 1, 1, "a time such as start 2026-11-02T10:00")
	if !ok {
		return
	}
	if p.begun {
		p.wrong(n, n.head(), "comes behind statements whose times count from it")
		return
	}
	p.now.Start = 0
	t, ok := p.instant(n, ws[0])
	if !ok {
		t = time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() // one mistake is enough
	}
	p.now.Start = t
}

func (p *parser) end(n *node) {
	p.none(n)
	if ws, ok := p.args(n, 1, 1, 1, "a time such as end 30d"); ok {
		if t, ok := p.instant(n, ws[0]); ok {
			p.now.End = t
		}
	}
}

func (p *parser) tick(n *node) {
	p.none(n)
	ws, ok := p.args(n, 1, 1, 1, "a duration such as tick 250ms")
	if !ok {
		return
	}
	d, ok := p.length(n, ws[0])
	if ok && (d < 10 || d > 10_000) {
		p.wrong(n, ws[0], "want 10ms to 10s: a collector that is away for longer judges no silence")
		return
	}
	p.now.Tick = d
}
