package script

import (
	"math"
	"strconv"
	"strings"

	"nines/internal/yamlconf"
)

const (
	// maxSamples bounds a series, and maxRuns its runs: a month of samples each
	// second, and more patterns than anybody writes.
	maxSamples = 3_000_000
	maxRuns    = 100_000
)

// Run is consecutive samples of a series.
type Run struct {
	// First is the first value, and Step what each next one adds.
	First, Step float64
	// N is how many samples there are; -1 for as many as fit before the end.
	N int
	// Missing says that these samples are not made.
	Missing bool
	// Events, where there are any, are the values of each step instead: as many
	// samples, spread evenly over the interval.
	Events []Event
}

// Event is a value that occurs N times in an interval.
type Event struct {
	Value float64
	N     int
}

// Values are the samples of a series, in order of time.
type Values []Run

// Len returns how many samples there are, steps of events counted once; open
// tells that they go on to the end.
func (v Values) Len() (n int, open bool) {
	for _, r := range v {
		if r.N < 0 {
			return n, true
		}
		n += r.N
	}
	return n, false
}

// At returns the value of sample k of the run.
func (r *Run) At(k int) float64 { return r.First + float64(k)*r.Step }

// last returns the run's last value.
func (r *Run) last() float64 { return r.At(max(r.N, 1) - 1) }

// valueReader reads the notation of one series.
type valueReader struct {
	every int64
	runs  Values
	total int
	count float64 // the last value
	depth int
	// inside holds the words of patterns, which are read as often as they repeat.
	inside map[string][]word
}

// readValues reads the words that hold a series' values; it returns the index of
// the word with a mistake, or -1.
func readValues(ws []word, every int64) (v Values, bad int, reason string) {
	r := &valueReader{every: every, inside: map[string][]word{}}
	for i, w := range ws {
		if n := len(r.runs); n > 0 && r.runs[n-1].N < 0 {
			return nil, i, "stands behind values that go on to the end"
		}
		if reason := r.item(w.text); reason != "" {
			return nil, i, reason
		}
	}
	return r.runs, -1, ""
}

const wantValue = "want a value such as 1, 0.25, +5 (more than the last), _ (missing), Inf, or [0.05:990 0.2:10]; then nothing, x9 (and 9 more), *10 (10 of them), *5m (for 5 minutes) or ... (to the end)"

// item reads one word: a value or a pattern in parentheses, and how often.
func (r *valueReader) item(text string) string {
	if strings.HasPrefix(text, "(") {
		return r.pattern(text)
	}
	head, n, reason := r.times(text)
	if reason != "" {
		return reason
	}
	run, reason := r.value(head)
	if reason != "" {
		return reason
	}
	run.N = n
	return r.add(run)
}

// add appends a run, within the bounds.
func (r *valueReader) add(run Run) string {
	if len(r.runs) >= maxRuns {
		return "makes too many runs of values, at most " + strconv.Itoa(maxRuns)
	}
	if run.N > 0 {
		if r.total += run.N * max(1, events(run.Events)); r.total > maxSamples {
			return "makes too many samples, at most " + strconv.Itoa(maxSamples)
		}
	}
	if !run.Missing && run.Events == nil {
		r.count = run.last()
	}
	r.runs = append(r.runs, run)
	return ""
}

func events(es []Event) (n int) {
	for _, e := range es {
		n += e.N
	}
	return n
}

// pattern reads (…)*N.
func (r *valueReader) pattern(text string) string {
	end := strings.LastIndexByte(text, ')')
	if r.depth > 3 {
		return "is nested too deep"
	}
	tail := text[end+1:]
	digits, ok := strings.CutPrefix(tail, "*")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || n > maxRuns {
		return "want how often the pattern repeats, such as (1*55s 0*5s)*12"
	}
	inner, seen := r.inside[text[1:end]]
	if !seen {
		var reason string
		if inner, _, reason = words(text[1:end]); reason != "" {
			return reason
		}
		r.inside[text[1:end]] = inner
	}
	if len(inner) == 0 {
		return "holds no values"
	}
	r.depth++
	defer func() { r.depth-- }()
	for range n {
		for _, w := range inner {
			if strings.HasSuffix(w.text, "...") {
				return "cannot go on to the end inside parentheses"
			}
			if reason := r.item(w.text); reason != "" {
				return reason
			}
		}
	}
	return ""
}

// times splits off how often a value occurs: x9, *10, *5m or ….
func (r *valueReader) times(text string) (head string, n int, reason string) {
	if head, open := strings.CutSuffix(text, "..."); open {
		return head, -1, ""
	}
	at := strings.LastIndexAny(text, "x*")
	if at < 0 || strings.LastIndexByte(text, ']') > at {
		return text, 1, ""
	}
	head, tail := text[:at], text[at+1:]
	if n, err := strconv.Atoi(tail); err == nil && tail[0] != '+' && tail[0] != '-' {
		switch {
		case text[at] == 'x' && n <= maxSamples:
			return head, n + 1, ""
		case text[at] == '*' && n >= 1 && n <= maxSamples:
			return head, n, ""
		}
		return "", 0, "want how often, up to " + strconv.Itoa(maxSamples)
	}
	d, err := yamlconf.ParseDuration(tail)
	if text[at] == 'x' || err != nil || d <= 0 {
		return "", 0, wantValue
	}
	if ms := d.Milliseconds(); r.every > 0 && ms%r.every == 0 {
		return head, int(min(ms/r.every, maxSamples+1)), ""
	}
	return "", 0, "lasts no whole number of intervals"
}

// value reads what stands before how often.
func (r *valueReader) value(head string) (Run, string) {
	switch {
	case head == "_", head == "stale":
		return Run{Missing: true}, ""
	case strings.HasPrefix(head, "["):
		es, reason := r.distribution(head)
		return Run{Events: es}, reason
	case strings.HasPrefix(head, "+"):
		step, ok := number(head[1:])
		if !ok || math.IsInf(step, 0) {
			return Run{}, wantValue
		}
		return Run{First: r.count + step, Step: step}, ""
	}
	first, rest := head, ""
	if at := stepAt(head); at > 0 {
		first, rest = head[:at], head[at:]
	}
	v, ok := number(first)
	if !ok {
		return Run{}, wantValue
	}
	run := Run{First: v}
	if rest != "" {
		if run.Step, ok = number(strings.TrimPrefix(rest, "+")); !ok || math.IsInf(run.Step, 0) {
			return Run{}, wantValue
		}
	}
	return run, ""
}

// stepAt returns where a+b or a-b splits, 0 where it does not. The sign of an
// exponent does not split.
func stepAt(s string) int {
	for i := 1; i < len(s); i++ {
		if (s[i] == '+' || s[i] == '-') && s[i-1] != 'e' && s[i-1] != 'E' {
			return i
		}
	}
	return 0
}

// number reads a decimal number or Inf. NaN says nothing: write _.
func number(s string) (float64, bool) {
	if s == "" || strings.ContainsAny(s, "xXpP_") {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsNaN(f)
}

// distribution reads [value:count …].
func (r *valueReader) distribution(text string) ([]Event, string) {
	inner, ok := strings.CutSuffix(text[1:], "]")
	want := "want values and how often each occurs, such as [0.05:990 0.2:10]"
	if !ok {
		return nil, want
	}
	var out []Event
	total := 0
	for _, part := range strings.Fields(inner) {
		value, count, _ := strings.Cut(part, ":")
		v, ok := number(value)
		n, err := strconv.Atoi(count)
		if !ok || err != nil || n < 1 {
			return nil, want
		}
		if total += n; total > maxSamples || int64(total) > r.every {
			return nil, "has more values than the interval has milliseconds"
		}
		out = append(out, Event{v, n})
	}
	if out == nil {
		return nil, want
	}
	return out, ""
}

// Events tells whether some step holds several values.
func (v Values) Events() bool {
	for i := range v {
		if v[i].Events != nil {
			return true
		}
	}
	return false
}
