package script

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// word is one word of a line.
type word struct {
	text string
	col  int
	// quoted says that the text stood in quotes, which are taken off.
	quoted bool
}

// words splits a line at blanks. Quotes, braces, brackets and parentheses hold
// blanks together; # at the beginning of a word begins a comment. It returns the
// column and reason of a mistake.
func words(line string) (out []word, badCol int, reason string) {
	for i := 0; i < len(line); {
		switch line[i] {
		case ' ', '\t', '\r':
			i++
			continue
		case '#':
			return out, 0, ""
		}
		end, why := wordEnd(line, i)
		if why != "" {
			return out, column(line, end), why
		}
		w := word{text: line[i:end], col: column(line, i)}
		if w.text[0] == '"' && end == quoteEnd(line, i) {
			text, err := strconv.Unquote(w.text)
			if err != nil {
				return out, w.col, `is no text in quotes: inside, write \" for a quote and \\ for a backslash`
			}
			w.text, w.quoted = text, true
		}
		out = append(out, w)
		i = end
	}
	return out, 0, ""
}

// column counts characters, not bytes, from 1.
func column(line string, at int) int { return utf8.RuneCountInString(line[:at]) + 1 }

// wordEnd returns where the word that begins at i ends.
func wordEnd(line string, i int) (end int, reason string) {
	var open []int // positions of brackets that are open
	for at := i; at < len(line); at++ {
		switch c := line[at]; c {
		case '"':
			q := quoteEnd(line, at)
			if q < 0 {
				return at, "has no closing quote"
			}
			at = q - 1
		case '{', '[', '(':
			open = append(open, at)
		case '}', ']', ')':
			if len(open) == 0 || strings.IndexByte("{[(", line[open[len(open)-1]]) != strings.IndexByte("}])", c) {
				return at, "closes what is not open"
			}
			open = open[:len(open)-1]
		case ' ', '\t', '\r':
			if len(open) == 0 {
				return at, ""
			}
		}
	}
	if len(open) > 0 {
		return open[len(open)-1], "is not closed"
	}
	return len(line), ""
}

// quoteEnd returns where the quoted text that begins at i ends, -1 if it does
// not.
func quoteEnd(line string, i int) int {
	for at := i + 1; at < len(line); at++ {
		switch line[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return -1
}

// selector splits name{label="value",…}, or only a name, or only labels.
func selector(text string) (name string, labels map[string]string, reason string) {
	name, rest, found := strings.Cut(text, "{")
	if !found {
		return name, nil, ""
	}
	rest, closed := strings.CutSuffix(rest, "}")
	if !closed {
		return name, nil, `want a name and labels such as up{target="shop"}`
	}
	labels = map[string]string{}
	for rest = strings.TrimSpace(rest); rest != ""; {
		label, after, found := strings.Cut(rest, "=")
		label = strings.TrimSpace(label)
		after = strings.TrimSpace(after)
		if !found || label == "" || !strings.HasPrefix(after, `"`) {
			return name, nil, `want labels such as {target="shop"}`
		}
		end := quoteEnd(after, 0)
		if end < 0 {
			return name, nil, "has no closing quote"
		}
		value, err := strconv.Unquote(after[:end])
		if err != nil {
			return name, nil, `want labels such as {target="shop"}`
		}
		if _, twice := labels[label]; twice {
			return name, nil, "names the label " + label + " twice"
		}
		labels[label] = value
		rest = strings.TrimSpace(after[end:])
		if rest == "" {
			break
		}
		if rest[0] != ',' {
			return name, nil, "want a comma between labels"
		}
		rest = strings.TrimSpace(rest[1:])
	}
	return name, labels, ""
}

// metricName tells whether a series or label may be called so.
func metricName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r == ':' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
