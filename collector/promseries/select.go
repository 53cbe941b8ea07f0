package promseries

import (
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Selectors keep series that match any of their matcher sets; empty keeps all.
type Selectors [][]*labels.Matcher

// ParseSelectors reads PromQL series selectors; path names the list in errors,
// which tell every mistake.
func ParseSelectors(path string, in []string) (Selectors, error) {
	var out Selectors
	var errs []error
	p := parser.NewParser(parser.Options{})
	for i, s := range in {
		ms, err := p.ParseMetricSelector(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s[%d]: must be a series selector such as {__name__=~\"cpu_.*\"}, got %q: %w", path, i, s, err))
			continue
		}
		out = append(out, ms)
	}
	return out, errors.Join(errs...)
}

// Keep tells whether the series of the labels is kept.
func (s Selectors) Keep(ls labels.Labels) bool {
	return len(s) == 0 || slices.ContainsFunc(s, func(ms []*labels.Matcher) bool {
		return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(ls.Get(m.Name)) })
	})
}
