package inventory

import (
	"slices"
	"strings"
)

// Index finds which of many sets of labels agree with a group's: none that both
// name has two values, and at least one is named by both. It is built once, and
// then used by one goroutine.
type Index struct {
	byNames map[string]*sets
	all     []int
}

// sets are those that name the same labels.
type sets struct {
	names  []string
	labels []map[string]string
	ids    []int
	// found are the ids by the values that they have in common with groups which
	// name the same of these labels.
	found map[string]map[string][]int
}

// NewIndex returns an empty index.
func NewIndex() *Index { return &Index{byNames: map[string]*sets{}} }

// Add adds a set of labels under an id, which several may share.
func (x *Index) Add(labels map[string]string, id int) {
	names := make([]string, 0, len(labels))
	for name := range labels {
		names = append(names, name)
	}
	slices.Sort(names)
	key := strings.Join(names, ",")
	s := x.byNames[key]
	if s == nil {
		s = &sets{names: names}
		x.byNames[key] = s
	}
	s.labels, s.ids, s.found = append(s.labels, labels), append(s.ids, id), nil
	x.all = append(x.all, id)
}

// Find returns the ids of the sets that agree with a group's labels, ascending,
// each once. The group without labels is everybody's.
func (x *Index) Find(group map[string]string) []int {
	if len(group) == 0 {
		return slices.Compact(slices.Sorted(slices.Values(x.all)))
	}
	var out []int
	for _, s := range x.byNames {
		var common []string
		for _, name := range s.names {
			if _, ok := group[name]; ok {
				common = append(common, name)
			}
		}
		if len(common) > 0 {
			out = append(out, s.by(common)[values(group, common)]...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// by returns the ids by the values of some of their labels.
func (s *sets) by(names []string) map[string][]int {
	key := strings.Join(names, ",")
	if found := s.found[key]; found != nil {
		return found
	}
	found := map[string][]int{}
	for i, labels := range s.labels {
		v := values(labels, names)
		found[v] = append(found[v], s.ids[i])
	}
	if s.found == nil {
		s.found = map[string]map[string][]int{}
	}
	s.found[key] = found
	return found
}

func values(labels map[string]string, names []string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString(labels[name])
		b.WriteByte(0)
	}
	return b.String()
}
