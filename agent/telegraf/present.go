package telegraf

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/inputs/amd_rocm_smi"
	"github.com/influxdata/telegraf/plugins/inputs/bond"
	"github.com/influxdata/telegraf/plugins/inputs/conntrack"
	"github.com/influxdata/telegraf/plugins/inputs/ethtool"
	"github.com/influxdata/telegraf/plugins/inputs/infiniband"
	"github.com/influxdata/telegraf/plugins/inputs/ipmi_sensor"
	"github.com/influxdata/telegraf/plugins/inputs/mdstat"
	"github.com/influxdata/telegraf/plugins/inputs/nvidia_smi"
	"github.com/influxdata/telegraf/plugins/inputs/sensors"
	"github.com/influxdata/telegraf/plugins/inputs/smart"
	"github.com/influxdata/telegraf/plugins/inputs/smartctl"
	"github.com/influxdata/telegraf/plugins/inputs/systemd_units"
	"github.com/influxdata/telegraf/plugins/inputs/temp"
	"github.com/influxdata/telegraf/plugins/inputs/wireless"
	"github.com/influxdata/telegraf/plugins/inputs/zfs"
)

// missing says why an input cannot measure anything on this host, or "". One
// shipped configuration thereby serves hosts with and without the hardware.
// It is decided when the agent starts.
func missing(in telegraf.Input) string {
	switch p := in.(type) {
	case *nvidia_smi.NvidiaSMI:
		return noTool(p.BinPath, "nvidia-smi")
	case *amd_rocm_smi.ROCmSMI:
		return noTool(p.BinPath, "rocm-smi")
	case *ipmi_sensor.Ipmi:
		if len(p.Servers) == 0 && !anyExists("/dev/ipmi*", "/dev/ipmi/*", "/dev/ipmidev/*") {
			return "no IPMI device /dev/ipmi*"
		}
		return noTool(p.Path, "ipmitool")
	case *smart.Smart:
		return noTool(p.PathSmartctl, "smartctl")
	case *smartctl.Smartctl:
		if p.Path != "" {
			return noTool(p.Path, "")
		}
		return noTool("/usr/sbin/smartctl", "")
	case *sensors.Sensors:
		return noTool("", "sensors")
	}
	for _, need := range needs(in) {
		if !anyExists(need...) {
			return "nothing at " + strings.Join(need, " or ")
		}
	}
	return ""
}

// needs lists, for inputs that only read files, the patterns of which one must
// match something.
func needs(in telegraf.Input) [][]string {
	switch p := in.(type) {
	case *infiniband.Infiniband:
		return [][]string{{orDefault(os.Getenv("HOST_SYS"), "/sys") + "/class/infiniband/*"}}
	case *ethtool.Ethtool:
		// Virtual and loopback links have no device behind them.
		return [][]string{{"/sys/class/net/*/device"}}
	case *temp.Temperature:
		return [][]string{{"/sys/class/hwmon/*/temp*_input", "/sys/class/hwmon/*/device/temp*_input", "/sys/class/thermal/thermal_zone*/temp"}}
	case *mdstat.Mdstat:
		return [][]string{{orDefault(p.FileName, "/proc/mdstat")}}
	case *conntrack.Conntrack:
		if len(p.Dirs) > 0 {
			return nil
		}
		proc := orDefault(os.Getenv("HOST_PROC"), "/proc")
		return [][]string{{proc + "/sys/net/netfilter/nf_conntrack_count", proc + "/sys/net/ipv4/netfilter/ip_conntrack_count"}}
	case *bond.Bond:
		return [][]string{{orDefault(p.HostProc, "/proc") + "/net/bonding/*"}}
	case *zfs.Zfs:
		return [][]string{{orDefault(p.KstatPath, "/proc/spl/kstat/zfs")}}
	case *systemd_units.SystemdUnits:
		return [][]string{{"/run/systemd/private", "/run/dbus/system_bus_socket"}}
	case *wireless.Wireless:
		return [][]string{{"/proc/net/wireless"}}
	}
	return nil
}

func orDefault(path, def string) string {
	if path != "" {
		return path
	}
	return def
}

func anyExists(patterns ...string) bool {
	for _, p := range patterns {
		if found, _ := filepath.Glob(p); len(found) > 0 {
			return true
		}
	}
	return false
}

// noTool says why neither the configured path nor the name in PATH is a
// program, or "".
func noTool(path, name string) string {
	if path != "" {
		if _, err := os.Stat(path); err == nil {
			return ""
		}
	}
	if name == "" {
		return fmt.Sprintf("no program %s", path)
	}
	if _, err := exec.LookPath(name); err != nil {
		return fmt.Sprintf("no program %s in PATH", name)
	}
	return ""
}
