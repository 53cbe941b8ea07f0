package host

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"nines/internal/telemetry"
)

// nicRule says which of drivers' statistics a series is. from holds
// alternatives, separated by blanks, of which the first that a driver has is
// taken: totals stand before what they are the totals of. Names joined by + are
// added up, and so are those that differ in the number for which # stands, such
// as a queue's, unless that is the label priority.
type nicRule struct {
	name     string
	labels   []string // name, value, …
	from     string
	per      float64 // of the statistic are one of the series' unit; 0 is 1
	priority bool
}

// nicRules are the drops, errors and pause frames of the drivers of Linux:
// mlx5, mlx4, ixgbe, igb, e1000e, i40e, iavf, ice, bnxt, tg3, hns3, qede, ena,
// gve, virtio_net, veth.
func nicRules() []nicRule {
	return []nicRule{
		// What the host did not make room for in time.
		{name: "nic_receive_drops_total", labels: []string{"reason", "no_buffer"}, from: "rx_out_of_buffer rx_no_dma_resources rx_no_buffer_count " +
			"rx_dropped.nic port.rx_discards rx_total_discard_pkts rx_total_ring_discards [#]:_rx_discards rxbds_empty rx_discards no_buff_discards rx_hw_drop_overruns " +
			"rx_overruns rx_drops rx_queue_#_drops rx#_drops rx_dropped"},
		// What the card itself had no room for.
		{name: "nic_receive_drops_total", labels: []string{"reason", "port"}, from: "rx_discards_phy rx_missed_errors rx_missed rx_stat_discard port.rx_dropped rx_fifo_errors"},
		{name: "nic_transmit_drops_total", labels: []string{"reason", "port"}, from: "tx_discards_phy tx_stat_discard"},
		{name: "nic_transmit_drops_total", labels: []string{"reason", "link_down"}, from: "tx_dropped_link_down.nic port.tx_dropped_link_down"},
		{name: "nic_transmit_drops_total", labels: []string{"reason", "queue"}, from: "tx_queue_dropped tx_total_discard_pkts tx_drops tx_queue_#_drops tx#_drops tx_dropped"},

		{name: "nic_receive_errors_total", labels: []string{"reason", "crc"}, from: "rx_crc_errors_phy rx_crc_errors.nic port.rx_crc_errors rx_fcs_err_frames " +
			"mac_rx_fcs_err_pkt_num rx_fcs_errors rx_crc_errors"},
		{name: "nic_receive_errors_total", labels: []string{"reason", "symbol"}, from: "rx_symbol_err_phy rx_pcs_symbol_err rx_symbol_errors"},
		{name: "nic_receive_errors_total", labels: []string{"reason", "fec"}, from: "rx_fec_uncorrectable_blocks"},
		{name: "nic_receive_errors_total", labels: []string{"reason", "length"}, from: "rx_in_range_len_errors_phy+rx_out_of_range_len_phy rx_length_errors.nic " +
			"port.rx_length_errors rx_length_errors rx_long_length_errors+rx_short_length_errors"},

		// Whoever sends pause frames asks the other side to stop for a while.
		{name: "nic_pause_frames_total", labels: []string{"direction", "receive"}, from: "rx_pause_ctrl_phy rx_global_pause rx_pause_frames mac_rx_mac_pause_num " +
			"link_xon_rx.nic+link_xoff_rx.nic port.link_xon_rx+port.link_xoff_rx rx_flow_control_xon+rx_flow_control_xoff rx_xon_pause_rcvd+rx_xoff_pause_rcvd rx_pause"},
		{name: "nic_pause_frames_total", labels: []string{"direction", "transmit"}, from: "tx_pause_ctrl_phy tx_global_pause tx_pause_frames mac_tx_mac_pause_num " +
			"link_xon_tx.nic+link_xoff_tx.nic port.link_xon_tx+port.link_xoff_tx tx_flow_control_xon+tx_flow_control_xoff tx_xon_sent+tx_xoff_sent tx_pause"},
		{name: "nic_pause_frames_total", labels: []string{"direction", "receive"}, priority: true, from: "rx_prio#_pause rx_pfc_ena_frames_pri# rx_pause_prio_# " +
			"rx_priority_#_xon.nic+rx_priority_#_xoff.nic port.rx_priority_#_xon+port.rx_priority_#_xoff rx_pb_#_pxon+rx_pb_#_pxoff mac_rx_pfc_pri#_pkt_num"},
		{name: "nic_pause_frames_total", labels: []string{"direction", "transmit"}, priority: true, from: "tx_prio#_pause tx_pfc_ena_frames_pri# tx_pause_prio_# " +
			"tx_priority_#_xon.nic+tx_priority_#_xoff.nic port.tx_priority_#_xon+port.tx_priority_#_xoff tx_pb_#_pxon+tx_pb_#_pxoff mac_tx_pfc_pri#_pkt_num"},
		// For how long transmission stood still, or was asked of the other side to.
		{name: "nic_pause_seconds_total", labels: []string{"direction", "receive"}, per: 1e6, from: "rx_global_pause_duration"},
		{name: "nic_pause_seconds_total", labels: []string{"direction", "transmit"}, per: 1e6, from: "tx_global_pause_duration"},
		{name: "nic_pause_seconds_total", labels: []string{"direction", "receive"}, priority: true, per: 1e6,
			from: "rx_prio#_pause_duration pfc_pri#_rx_duration_us rx_pause_duration_prio_#"},
		{name: "nic_pause_seconds_total", labels: []string{"direction", "transmit"}, priority: true, per: 1e6,
			from: "tx_prio#_pause_duration pfc_pri#_tx_duration_us tx_pause_duration_prio_#"},
		{name: "nic_pause_storms_total", from: "tx_pause_storm_warning_events"},

		{name: "nic_link_down_total", from: "link_down_events_phy link_down_events"},
		// Limits that the cloud sets to an instance.
		{name: "nic_allowance_exceeded_total", labels: []string{"allowance", "bandwidth_in"}, from: "bw_in_allowance_exceeded"},
		{name: "nic_allowance_exceeded_total", labels: []string{"allowance", "bandwidth_out"}, from: "bw_out_allowance_exceeded"},
		{name: "nic_allowance_exceeded_total", labels: []string{"allowance", "packets"}, from: "pps_allowance_exceeded"},
		{name: "nic_allowance_exceeded_total", labels: []string{"allowance", "conntrack"}, from: "conntrack_allowance_exceeded"},
		{name: "nic_allowance_exceeded_total", labels: []string{"allowance", "link_local"}, from: "linklocal_allowance_exceeded"},
	}
}

const (
	// priorities are those of IEEE 802.1Q.
	priorities = 8
	// maxChosen bounds the statistics of one interface that are chosen by name.
	maxChosen = 64
)

// nicSeriesOf is a series of an interface and the statistics that it is the sum
// of.
type nicSeriesOf struct {
	name   string
	labels []string
	at     []int
	per    float64
}

// nicPlan says what a driver's statistics become. chosen are given under their
// own names besides; nil chooses none.
func nicPlan(names []string, chosen func(string) bool) []nicSeriesOf {
	byPattern := map[string][]indexed{}
	for i, n := range names {
		for _, p := range patternsOf(n) {
			byPattern[p.pattern] = append(byPattern[p.pattern], indexed{at: i, number: p.number})
		}
	}
	var out []nicSeriesOf
	for _, r := range nicRules() {
		out = append(out, r.plan(byPattern)...)
	}
	if chosen == nil {
		return out
	}
	seen := map[string]bool{}
	for i, n := range names {
		if n != "" && !seen[n] && len(seen) < maxChosen && chosen(n) {
			seen[n] = true
			out = append(out, nicSeriesOf{name: "nic_stat_total", labels: []string{"stat", n}, at: []int{i}, per: 1})
		}
	}
	return out
}

// indexed is a statistic, and the number that stands in its name.
type indexed struct{ at, number int }

// plan returns the series of the rule's first alternative of which the driver
// has every term.
func (r nicRule) plan(by map[string][]indexed) []nicSeriesOf {
	for alternative := range strings.FieldsSeq(r.from) {
		var found []indexed
		for term := range strings.SplitSeq(alternative, "+") {
			has := by[term]
			if len(has) == 0 {
				found = nil
				break
			}
			found = append(found, has...)
		}
		if len(found) > 0 {
			return r.series(found)
		}
	}
	return nil
}

func (r nicRule) series(found []indexed) []nicSeriesOf {
	per := cmp.Or(r.per, 1)
	if !r.priority {
		s := nicSeriesOf{name: r.name, labels: r.labels, per: per}
		for _, f := range found {
			s.at = append(s.at, f.at)
		}
		return []nicSeriesOf{s}
	}
	var out []nicSeriesOf
	for p := range priorities {
		s := nicSeriesOf{name: r.name, labels: append(slices.Clone(r.labels), "priority", strconv.Itoa(p)), per: per}
		for _, f := range found {
			if f.number == p {
				s.at = append(s.at, f.at)
			}
		}
		if len(s.at) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// pattern is a name with # in the place of one of its numbers.
type pattern struct {
	pattern string
	number  int
}

// patternsOf returns a name, and what it is with each of its numbers out.
// Blanks are as in rules.
func patternsOf(name string) []pattern {
	name = strings.ReplaceAll(name, " ", "_")
	out := []pattern{{name, -1}}
	for i := 0; i < len(name); i++ {
		j := i
		for j < len(name) && name[j] >= '0' && name[j] <= '9' {
			j++
		}
		if j == i {
			continue
		}
		if n, err := strconv.Atoi(name[i:j]); err == nil {
			out = append(out, pattern{name[:i] + "#" + name[j:], n})
		}
		i = j
	}
	return out
}

// telemetryLabels are the labels of a series of an interface.
func (s nicSeriesOf) telemetryLabels(nic string) telemetry.Labels {
	m := map[string]string{"interface": nic}
	for i := 0; i < len(s.labels); i += 2 {
		m[s.labels[i]] = s.labels[i+1]
	}
	return telemetry.NewLabels(m)
}
