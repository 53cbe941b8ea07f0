package host

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newLink(t testing.TB, r Roots, opt LinkOptions) *Link {
	t.Helper()
	l, err := NewLink(r, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Values as they stand in the recordings, and as node_exporter 1.5.0 gives them.
func TestLinksOfRecordedHosts(t *testing.T) {
	got := values(t, newLink(t, Roots{Sys: unpacked(t, exporterSys) + "/sys"}, LinkOptions{}))
	for _, name := range []string{"bond0", "dmz", "eth0", "int"} {
		of := `{interface="` + name + `"}`
		expect(t, got, map[string]float64{
			"link_admin_up" + of: 1, "link_operstate" + of: 1, "link_up" + of: 1, "link_carrier" + of: 1, "link_carrier_changes_total" + of: 2,
			"link_carrier_up_total" + of: 1, "link_carrier_down_total" + of: 1, "link_full_duplex" + of: 1, "link_mtu_bytes" + of: 1500,
		})
		// bond0 has no slave, and the kernel says -1.
		if v, ok := got["link_speed_bits_per_second"+of]; ok == (name == "bond0") || ok && v != 1e9 {
			t.Errorf("%s: speed %v (there: %v)", name, v, ok)
		}
	}
	expect(t, got, map[string]float64{
		`link_bond_slaves{master="bond0"}`: 0, `link_bond_slaves_up{master="bond0"}`: 0, `link_bond_slaves{master="dmz"}`: 2,
		`link_bond_slaves_up{master="dmz"}`: 2, `link_bond_slaves{master="int"}`: 2, `link_bond_slaves_up{master="int"}`: 1,
		`link_bond_slave_up{interface="eth0",master="dmz"}`: 1, `link_bond_slave_up{interface="eth4",master="dmz"}`: 1,
		`link_bond_slave_up{interface="eth1",master="int"}`: 0, `link_bond_slave_up{interface="eth5",master="int"}`: 1, "link_poll_stuck": 0,
	})
	if len(got) != 3*10+9+6+4+1 {
		t.Errorf("%d series: %v", len(got), got)
	}
	const of = `{interface="eth0"}`
	got = values(t, newLink(t, Roots{Sys: unpacked(t, procfsTree) + "/fixtures/sys"}, LinkOptions{}))
	expect(t, got, map[string]float64{
		"link_admin_up" + of: 1, "link_operstate" + of: 1, "link_up" + of: 1, "link_carrier" + of: 1, "link_carrier_changes_total" + of: 2,
		"link_carrier_up_total" + of: 1, "link_carrier_down_total" + of: 1, "link_full_duplex" + of: 1, "link_mtu_bytes" + of: 1500,
		"link_speed_bits_per_second" + of: 1e9,
	})
	if len(got) != nicSeries+1 {
		t.Errorf("%d series: %v", len(got), got)
	}
}

const eth1 = "sys/class/net/eth1/"

// linked is a host with one card at 25 Gbit/s, and one of a container.
func linked(t testing.TB) Roots {
	r := tree(t, map[string]string{
		eth1 + "flags": "0x1003\n", eth1 + "operstate": "up\n", eth1 + "carrier": "1\n", eth1 + "carrier_changes": "1\n", eth1 + "mtu": "9000\n",
		eth1 + "carrier_up_count": "1\n", eth1 + "carrier_down_count": "0\n", eth1 + "speed": "25000\n", eth1 + "duplex": "full\n",
		"sys/devices/virtual/net/veth7/operstate": "up\n", "sys/class/net/bonding_masters": "\n",
	})
	if err := os.Symlink("../../devices/virtual/net/veth7", r.Sys+"/class/net/veth7"); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCableIsPulled(t *testing.T) {
	r := linked(t)
	l := newLink(t, r, LinkOptions{})
	const of = `{interface="eth1"}`
	got := values(t, l)
	expect(t, got, map[string]float64{"link_up" + of: 1, "link_speed_bits_per_second" + of: 25e9, "link_full_duplex" + of: 1, "link_mtu_bytes" + of: 9000})
	if len(got) != nicSeries+1 {
		t.Errorf("a container's interface is among them: %v", got)
	}
	// The driver is asked at once, although it was a moment ago.
	for name, text := range map[string]string{"operstate": "down", "carrier": "0", "carrier_changes": "2", "carrier_down_count": "1", "speed": "-1", "duplex": "unknown"} {
		rewrite(t, r, eth1+name, text+"\n")
	}
	got = values(t, l)
	expect(t, got, map[string]float64{
		"link_up" + of: 0, "link_operstate" + of: 2, "link_admin_up" + of: 1, "link_carrier" + of: 0,
		"link_carrier_changes_total" + of: 2, "link_carrier_down_total" + of: 1,
	})
	for _, name := range []string{"link_speed_bits_per_second", "link_full_duplex"} {
		if v, ok := got[name+of]; ok {
			t.Errorf("%s is %v without a carrier", name, v)
		}
	}
	if got = values(t, newLink(t, r, LinkOptions{Match: func(name string) bool { return strings.HasPrefix(name, "veth") }})); got[`link_up{interface="veth7"}`] != 1 {
		t.Errorf("an interface that was asked for: %v", got)
	}
}

// A pipe without a writer is a file whose open never returns.
func TestDriverThatHangsLeavesTheStateOfLinks(t *testing.T) {
	r := linked(t)
	pipe := r.Sys + "/class/net/eth1/speed"
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	l := newLink(t, r, LinkOptions{Limit: 10 * time.Millisecond})
	const of = `{interface="eth1"}`
	for range 3 {
		got := values(t, l)
		expect(t, got, map[string]float64{"link_poll_stuck": 1, "link_up" + of: 1, "link_carrier_changes_total" + of: 1})
		if _, ok := got["link_carrier"+of]; ok {
			t.Error("what a driver did not say has a value")
		}
	}
	// Let the goroutine go.
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
}

func TestHostWithoutCards(t *testing.T) {
	_, err := NewLink(tree(t, map[string]string{"sys/class/net/bonding_masters": "\n"}), LinkOptions{})
	if missing := MissingError(""); !errors.As(err, &missing) {
		t.Errorf("%v", err)
	}
}

func TestLinkAllocatesNothing(t *testing.T) {
	allocatesNothing(t, newLink(t, linked(t), LinkOptions{}))
}

func FuzzLink(f *testing.F) {
	f.Add("0x1003", "up", "25000")
	f.Add("", "unknown", "-1")
	f.Add("0xfffffffff", "UP", "4294967295")
	f.Fuzz(func(t *testing.T, flags, oper, speed string) {
		n := newNIC("", "eth1")
		for i, text := range []string{flags, oper, speed, speed, oper} {
			a := []*attr{&n.flags, &n.oper, &n.driver.speed, &n.changed, &n.driver.duplex}[i]
			w := written(t, text)
			a.fd, a.open = w.fd, true
		}
		defer n.close()
		defer n.driver.close()
		v := make([]float64, nicSeries)
		var buf [attrSize]byte
		n.read(v, &buf)
		n.driver.ask()
		n.finish(v, false)
		if v[8] <= 0 || v[2] < 0 || v[2] > 1 || v[0] < 0 || v[0] > 1 {
			t.Fatalf("%v", v)
		}
		if n.read(v, &buf) {
			t.Fatal("a link that did not change did")
		}
	})
}

func BenchmarkLink(b *testing.B) { benchmarkReader(b, newLink(b, linked(b), LinkOptions{})) }
