package host

import (
	"path/filepath"
	"slices"
	"strings"

	"nines/internal/telemetry"
)

// bond is one bonded interface, and the interfaces in it.
type bond struct {
	name   string
	slaves []*bondSlave
}

type bondSlave struct {
	name          string
	mii, failures attr
}

func newBond(dir, name string) *bond {
	b := &bond{name: name}
	for _, slave := range strings.Fields(text(dir, name, "bonding/slaves")) {
		// The bond's view of a slave, under either of the names that kernels
		// give the link to it.
		at := filepath.Join(dir, name, "lower_"+slave, "bonding_slave")
		if !exists(at) {
			at = filepath.Join(dir, name, "slave_"+slave, "bonding_slave")
		}
		b.slaves = append(b.slaves, &bondSlave{name: slave, mii: attr{path: at + "/mii_status"}, failures: attr{path: at + "/link_failure_count"}})
	}
	slices.SortFunc(b.slaves, func(x, y *bondSlave) int { return strings.Compare(x.name, y.name) })
	return b
}

func (b *bond) sameAs(o *bond) bool {
	return b.name == o.name && slices.EqualFunc(b.slaves, o.slaves, func(x, y *bondSlave) bool { return x.name == y.name })
}

func (b *bond) layOut(t *table) {
	ls := label("master", b.name)
	t.add("link_bond_slaves", telemetry.Gauge, ls)
	t.add("link_bond_slaves_up", telemetry.Gauge, ls)
	for _, s := range b.slaves {
		ls := telemetry.NewLabels(map[string]string{"master": b.name, "interface": s.name})
		t.add("link_bond_slave_up", telemetry.Gauge, ls)
		t.add("link_bond_slave_failures_total", telemetry.Counter, ls)
	}
}

// read fills v and returns how many values it has.
func (b *bond) read(v []float64, buf *[attrSize]byte) int {
	v[0], v[1] = float64(len(b.slaves)), 0
	at := 2
	for _, s := range b.slaves {
		v[at] = absent
		if text, err := s.mii.read(buf); err == nil {
			v[at] = truth(string(text) == "up")
			v[1] += v[at]
		}
		v[at+1] = s.failures.number(buf)
		at += 2
	}
	return at
}

func (b *bond) close() {
	for _, s := range b.slaves {
		s.mii.close()
		s.failures.close()
	}
}
