package rules

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// dump prints what a set holds, and its warnings.
func dump(set *Set, file string) string {
	var b strings.Builder
	line := func(what string, v any) {
		raw, err := json.Marshal(v)
		if err != nil {
			raw = []byte(err.Error())
		}
		b.WriteString(what + " " + string(raw) + "\n")
	}
	for _, id := range slices.Sorted(maps.Keys(set.RuleSet.Streams)) {
		line("stream "+id, set.RuleSet.Streams[id])
	}
	for _, o := range set.RuleSet.Objectives {
		line("objective", o)
	}
	for _, w := range set.Warnings {
		b.WriteString("warning " + strings.TrimPrefix(w.Error(), file+":") + "\n")
	}
	return b.String()
}

func FuzzShorthand(f *testing.F) {
	for _, s := range []string{"1m", "4w", "1M", "1Q", "366d", "m", "-1d", "99999999999999999999Y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, unit, ok := parseShorthand(text); ok && (n < 1 || shorthand[unit].length == 0) {
			t.Errorf("%q is %d %c", text, n, unit)
		}
		_, _ = parseSlice(text)
	})
}
