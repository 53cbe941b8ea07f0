package inventory

// Standing is what holds of a resource at an instant.
type Standing struct {
	Name string `json:"name"`
	// Facts are the values by attribute, those without one left out, and Since
	// the instants from which they hold, Unix milliseconds.
	Facts map[Attribute]string `json:"facts"`
	Since map[Attribute]int64  `json:"since"`
}

// Snapshot returns what holds of every resource of which something does, by
// name.
func (v *View) Snapshot(at int64) []Standing {
	out := []Standing{}
	for _, r := range v.Resources() {
		s := Standing{Name: r.Name, Facts: map[Attribute]string{}, Since: map[Attribute]int64{}}
		for a, list := range r.facts {
			for _, f := range list {
				switch {
				case f.From > at:
				case f.Value == "":
					delete(s.Facts, a)
					delete(s.Since, a)
				case s.Facts[a] != f.Value: // else it went on as it was
					s.Facts[a], s.Since[a] = f.Value, f.From
				}
			}
		}
		if len(s.Facts) > 0 {
			out = append(out, s)
		}
	}
	return out
}
