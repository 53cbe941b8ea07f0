package host

import (
	"strings"
	"testing"
)

// Values as they stand in the recording, and as node_exporter 1.5.0 adds them.
func TestConntrackOfARecordedHost(t *testing.T) {
	r := Roots{Proc: unpacked(t, exporterProc) + "/collector/fixtures/proc"}
	c := NewConntrack(r, PerCPUOptions{Total: true, PerCPU: true})
	defer c.Close()
	got := values(t, c)
	expect(t, got, map[string]float64{
		"conntrack_ip_conntrack_count": 123, "conntrack_ip_conntrack_max": 65536,
		`conntrack_entries{cpu="all"}`: 0x21, `conntrack_entries{cpu="cpu3"}`: 0x21,
		`conntrack_invalid{cpu="all"}`: 53, `conntrack_invalid{cpu="cpu0"}`: 3, `conntrack_invalid{cpu="cpu3"}`: 0x2f,
		`conntrack_ignore{cpu="all"}`: 89738, `conntrack_ignore{cpu="cpu1"}`: 0x56a4,
		`conntrack_search_restart{cpu="all"}`: 7, `conntrack_search_restart{cpu="cpu3"}`: 4,
	})
	for _, zero := range strings.Fields("searched found new delete delete_list insert insert_failed drop early_drop icmp_error expect_new expect_create expect_delete") {
		expect(t, got, map[string]float64{
			`conntrack_` + zero + `{cpu="all"}`: 0, `conntrack_` + zero + `{cpu="cpu0"}`: 0, `conntrack_` + zero + `{cpu="cpu3"}`: 0,
		})
	}
	if len(got) != 2+5*17 {
		t.Errorf("%d series: %v", len(got), got)
	}
}

const (
	conntrackHead = "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart\n"
	conntrackStat = "proc/net/stat/nf_conntrack"
)

func conntrackHost(t testing.TB, stat string) Roots {
	return tree(t, map[string]string{
		"proc/sys/net/netfilter/nf_conntrack_count": "262100\n", "proc/sys/net/netfilter/nf_conntrack_max": "262144\n", conntrackStat: stat,
	})
}

// The columns of a kernel of today: some have other names, under which they are
// found. A full table drops on one CPU; another's counter wraps.
func TestConntrackTableIsFull(t *testing.T) {
	r := conntrackHost(t, conntrackHead+
		"0003ffd4  00000001 00000000 00000000 0000000a 00000000 00000000 00000003 00000000 00000000 00000000 00000000 00000000  00000000 00000000 00000000 00000000\n"+
		"0003ffd4  00000000 00000000 00000000 ffffffff 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000  00000000 00000000 00000000 00000000\n")
	c := NewConntrack(r, PerCPUOptions{Total: true})
	defer c.Close()
	expect(t, values(t, c), map[string]float64{
		"conntrack_ip_conntrack_count": 262100, "conntrack_ip_conntrack_max": 262144, `conntrack_entries{cpu="all"}`: 262100,
		`conntrack_clashres{cpu="all"}`: 1, `conntrack_chainlength{cpu="all"}`: 3, `conntrack_invalid{cpu="all"}`: 0xffffffff + 10,
		`conntrack_drop{cpu="all"}`: 0,
	})
	rewrite(t, r, conntrackStat, conntrackHead+
		"00040000  00000001 00000000 00000000 0000000a 00000000 00000000 00000003 00000000 00000002 0000001f 00000007 00000000  00000000 00000000 00000000 00000000\n"+
		"00040000  00000000 00000000 00000000 00000004 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000  00000000 00000000 00000000 00000000\n")
	expect(t, values(t, c), map[string]float64{
		`conntrack_entries{cpu="all"}`: 262144, `conntrack_drop{cpu="all"}`: 31, `conntrack_early_drop{cpu="all"}`: 7,
		`conntrack_insert_failed{cpu="all"}`: 2, `conntrack_invalid{cpu="all"}`: 0xffffffff + 15,
	})
}

func TestConntrackGivesTheSizeWhereThereIsNoMore(t *testing.T) {
	r := tree(t, map[string]string{"proc/sys/net/ipv4/netfilter/ip_conntrack_count": "5\n", "proc/sys/net/ipv4/netfilter/ip_conntrack_max": "65536\n"})
	c := NewConntrack(r, PerCPUOptions{Total: true, PerCPU: true})
	defer c.Close()
	got := values(t, c)
	expect(t, got, map[string]float64{"conntrack_ip_conntrack_count": 5, "conntrack_ip_conntrack_max": 65536})
	if len(got) != 2 {
		t.Errorf("%v", got)
	}
	none := NewConntrack(tree(t, map[string]string{"proc/stat": ""}), PerCPUOptions{})
	if _, _, err := none.Read(); err == nil || !strings.Contains(err.Error(), "_conntrack_count") {
		t.Errorf("a host without conntrack: %v", err)
	}
}

func TestConntrackAllocatesNothing(t *testing.T) {
	c := NewConntrack(conntrackHost(t, conntrackHead+strings.Repeat("0000000a "+strings.Repeat(" 00000001", 16)+"\n", 64)), PerCPUOptions{Total: true, PerCPU: true})
	defer c.Close()
	allocatesNothing(t, c)
}

func FuzzConntrack(f *testing.F) {
	f.Add(conntrackHead+"00000021  00000001\n", "entries drop\n1 2\n3 4\n")
	f.Add("", "\n\n")
	f.Add("entries entries\nffffffff 1\n", "drop\n\n x\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		c := NewConntrack(conntrackHost(t, ""), PerCPUOptions{Total: true, PerCPU: true})
		defer c.Close()
		for _, text := range []string{a, b, b, a} {
			c.stat.close()
			c.stat = written(t, text)
			series, vs, err := c.Read()
			if err != nil || len(series) != len(vs) {
				t.Fatalf("%d series, %d values: %v", len(series), len(vs), err)
			}
			for i, s := range series {
				if s.Labels.Get("cpu") != "" && !(vs[i] >= 0) {
					t.Fatalf("%s%s is %v", s.Name, s.Labels, vs[i])
				}
			}
		}
	})
}

func BenchmarkConntrack(b *testing.B) {
	c := NewConntrack(conntrackHost(b, conntrackHead+strings.Repeat("0000000a "+strings.Repeat(" 00000001", 16)+"\n", 128)), PerCPUOptions{Total: true})
	defer c.Close()
	benchmarkReader(b, c)
}
