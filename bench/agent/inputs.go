package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// compared are the inputs of configs/agent/inputs.toml that both programs run:
// those that Telegraf has too, and that give the same fields in both.
func compared() []string {
	return []string{"cpu", "mem", "swap", "system", "kernel", "net", "diskio", "nstat", "conntrack", "disk", "linux_sysctl_fs", "bond", "infiniband"}
}

// apart says why the comparison leaves an input out of both.
func apart(name string) string {
	why := map[string]string{
		"processes":     "nines asks the kernel for totals, Telegraf reads a file of each process and tells their states apart",
		"netstat":       "nines reads the kernel's tables of sockets, Telegraf every process's open files, and counts Unix sockets too",
		"systemd_units": "both ask systemd, with the same code, and only where it runs",
		"ipmi_sensor":   "both run the same program",
		"smartctl":      "both run the same program",
		"chronyd":       "both ask chronyd, with the same code, and only where it runs",
	}[name]
	return cmp.Or(why, "Telegraf has no such input, or no such fields")
}

// choose returns the blocks of the named inputs of a Telegraf configuration, in
// their order, as they are written but for comments.
func choose(toml string, names []string) string {
	var b strings.Builder
	take := false
	for line := range strings.Lines(toml) {
		if name, ok := blockOf(line); ok {
			take = slices.Contains(names, name)
		}
		text := strings.TrimSpace(line)
		if !take || text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		b.WriteString(line)
		if text == "[[inputs.system]]" {
			// A text, which is no sample: nines sends none.
			b.WriteString("  fieldexclude = [\"uptime_format\"]\n")
		}
	}
	return b.String()
}

// blocks are the inputs that a Telegraf configuration names.
func blocks(toml string) (names []string) {
	for line := range strings.Lines(toml) {
		if name, ok := blockOf(line); ok {
			names = append(names, name)
		}
	}
	return names
}

func blockOf(line string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "[[inputs.")
	name, _, _ = strings.Cut(rest, "]]")
	return name, ok
}

// absentOf returns the inputs that an agent said it leaves out, as this host
// lacks their hardware or kernel module.
func absentOf(log string) ([]string, error) {
	const key = "not_on_this_host="
	_, rest, ok := strings.Cut(log, key)
	if !ok {
		return nil, fmt.Errorf("read the agent's log: it does not say %s", key)
	}
	value, _, _ := strings.Cut(rest, "\n")
	value, _, _ = strings.Cut(value, " ")
	value = strings.Trim(value, `"`)
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' }), nil
}
