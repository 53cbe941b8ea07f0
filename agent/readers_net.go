package agent

import (
	"slices"
	"time"

	"github.com/influxdata/telegraf/plugins/inputs/conntrack"
	"github.com/influxdata/telegraf/plugins/inputs/infiniband"

	"nines/agent/host"
	"nines/agent/telegraf"
)

// conntrack replaces the plugin unless it is to look elsewhere: the first
// folder and file of its defaults tell, which its Init has set.
func (r replacer) conntrack(p *conntrack.Conntrack) (telegraf.Reader, error) {
	if len(p.Dirs) != 2 || p.Dirs[0] != "/proc/sys/net/ipv4/netfilter" || len(p.Files) != 4 || p.Files[0] != "ip_conntrack_count" {
		return nil, nil
	}
	return host.NewConntrack(r.roots, host.PerCPUOptions{
		Total: slices.Contains(p.Collect, "all"), PerCPU: slices.Contains(p.Collect, "percpu"),
	}), nil
}

func (r replacer) infiniband(p *infiniband.Infiniband) telegraf.Reader {
	return host.NewInfiniband(r.roots, host.InfinibandOptions{HW: p.RDMA})
}

func (r replacer) softnet(p *telegraf.Softnet) (telegraf.Reader, error) {
	return present(host.NewSoftnet(r.roots, host.PerCPUOptions{Total: p.Total, PerCPU: p.PerCPU}))
}

func (r replacer) link(p *telegraf.Link) (telegraf.Reader, error) {
	match, err := matching("interfaces", p.Interfaces)
	if err != nil {
		return nil, err
	}
	return present(host.NewLink(r.roots, host.LinkOptions{Match: match}))
}

func (r replacer) nic(p *telegraf.NIC) (telegraf.Reader, error) {
	match, err := matching("interfaces", p.Interfaces)
	if err != nil {
		return nil, err
	}
	stats, err := matching("stats", p.Stats)
	if err != nil {
		return nil, err
	}
	return present(host.NewNICStats(r.roots, host.NICOptions{Match: match, Stats: stats, Limit: time.Duration(p.Timeout)}))
}
