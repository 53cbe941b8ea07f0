package telegraf

import (
	"strings"

	"github.com/influxdata/telegraf"

	"nines/internal/telemetry"
)

// fieldSet names fields of one plugin: exactly, or by prefix.
type fieldSet struct {
	names    map[string]bool
	prefixes []string
}

func fields(list string) fieldSet {
	s := fieldSet{names: map[string]bool{}}
	for _, f := range strings.Fields(list) {
		if p, ok := strings.CutSuffix(f, "*"); ok {
			s.prefixes = append(s.prefixes, p)
		} else {
			s.names[f] = true
		}
	}
	return s
}

func (s fieldSet) has(field string) bool {
	if s.names[field] {
		return true
	}
	for _, p := range s.prefixes {
		if strings.HasPrefix(field, p) {
			return true
		}
	}
	return false
}

// kindTable corrects the value types of plugins. Telegraf types whole metrics,
// not fields: it marks states that travel beside counters as counters, and
// leaves many cumulative figures untyped.
type kindTable struct {
	// gauges are states although the plugin adds them as counters.
	gauges map[string]fieldSet
	// counters are cumulative although the plugin adds them untyped.
	counters map[string]fieldSet
	// cumulative plugins add untyped metrics of which every field is
	// cumulative but those in gauges.
	cumulative map[string]bool
}

func newKindTable() kindTable {
	return kindTable{
		gauges: map[string]fieldSet{
			"net":           fields("speed"),
			"diskio":        fields("iops_in_progress io_await io_svctm io_util"),
			"kernel":        fields("entropy_avail boot_time ksm_max_page_sharing ksm_merge_across_nodes ksm_pages_* ksm_run ksm_sleep_millisecs ksm_stable_node_* ksm_use_zero_pages ksm_general_profit avg10 avg60 avg300"),
			"conntrack":     fields("entries ip_conntrack_count ip_conntrack_max"),
			"nstat":         fields("IpForwarding IpDefaultTTL TcpRtoAlgorithm TcpRtoMin TcpRtoMax TcpMaxConn TcpCurrEstab"),
			"kernel_vmstat": fields("nr_* workingset_nodes"),
			"ethtool":       fields("interface_up speed duplex autoneg link"),
			"wireless":      fields("status link level noise"),
			"system":        fields("load1 load5 load15 n_users n_unique_users n_cpus n_physical_cpus"),
			"infiniband":    fields("lifespan"),
		},
		counters: map[string]fieldSet{
			"procstat": fields("cpu_time_user cpu_time_system cpu_time_iowait voluntary_context_switches involuntary_context_switches " +
				"minor_faults major_faults child_minor_faults child_major_faults read_count write_count read_bytes write_bytes disk_read_bytes disk_write_bytes"),
			"cpu":        fields("time_*"),
			"bond":       fields("failures"),
			"cgroup":     fields("cpuacct.usage cpu.stat.* blkio.* io.stat.*"),
			"linux_cpu":  fields("throttle_count throttle_max_time throttle_total_time"),
			"nvidia_smi": fields("remapped_rows_correctable remapped_rows_uncorrectable retired_pages_multiple_single_bit retired_pages_double_bit"),
		},
		cumulative: map[string]bool{
			"nstat": true, "kernel_vmstat": true, "ethtool": true, "interrupts": true,
			"soft_interrupts": true, "infiniband": true, "nfsclient": true,
		},
	}
}

// kindOf returns how the field of a plugin is to be read.
func (t kindTable) kindOf(plugin, field string, typ telegraf.ValueType) telemetry.Kind {
	if t.gauges[plugin].has(field) {
		return telemetry.Gauge
	}
	if typ == telegraf.Counter || typ == telegraf.Histogram || t.counters[plugin].has(field) || typ == telegraf.Untyped && t.cumulative[plugin] {
		return telemetry.Counter
	}
	return telemetry.Gauge
}
