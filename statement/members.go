package statement

import (
	"slices"

	"nines/internal/inventory"
	"nines/internal/sla"
	"nines/internal/slo"
)

// member is a resource that the inventory says belongs to a contract at some
// time of the period.
type member struct {
	*inventory.Resource
	// belongs is when it does, and stretches by what it is known meanwhile; both
	// reach beyond the period by the margin of the contract's runs.
	belongs   []sla.Interval
	stretches []inventory.Stretch
	// stopped is when in the period it did not run for this contract.
	stopped []sla.Interval
	fee     *int64
	feeFrom map[int64]int64
}

// members returns the resources of a contract over a period; none where the
// inventory knows nothing of the contract then.
func members(v *inventory.View, c *sla.Contract, p sla.Period) ([]*member, error) {
	wide := wide(c, p)
	whole := sla.Interval{Start: p.Start, End: p.End}
	var out []*member
	for _, r := range v.Resources() {
		m := &member{Resource: r, belongs: r.Belongs(c, wide)}
		inside := inventory.Intersect(m.belongs, []sla.Interval{whole})
		if len(inside) == 0 {
			continue
		}
		for _, s := range r.Stretches(wide) {
			for _, i := range inventory.Intersect(m.belongs, []sla.Interval{s.Interval}) {
				m.stretches = append(m.stretches, inventory.Stretch{Interval: i, Labels: s.Labels, Own: s.Own})
			}
		}
		m.stopped = inventory.Without(whole, inventory.Intersect(inside, r.Running(whole)))
		out = append(out, m)
	}
	return out, charge(out, c, p)
}

// wide is the period with the margin of the contract's runs on both sides.
func wide(c *sla.Contract, p sla.Period) sla.Interval {
	return sla.Interval{Start: p.Start - margin(c, p), End: p.End + margin(c, p)}
}

// margin is how far beyond the period the slots of any objective are read.
func margin(c *sla.Contract, p sla.Period) (longest int64) {
	for i := range c.Objectives {
		from, _ := reach(&c.Objectives[i], p)
		longest = max(longest, p.Start-from)
	}
	return longest
}

// about returns those of the members that an objective is about: what its stream
// counts does not speak against them.
func about(list []*member, scope *slo.Scope) []*member {
	return slices.DeleteFunc(slices.Clone(list), func(m *member) bool {
		return !slices.ContainsFunc(m.stretches, func(s inventory.Stretch) bool { return scope.Admits(s.Labels) })
	})
}
