package host

import (
	"path/filepath"

	"nines/internal/telemetry"
)

// CPUThrottle reads how often, and for how long, CPUs slowed down because they
// were too hot: cpu_throttle_core_total by package and core, and
// cpu_throttle_package_total by package, with _seconds_total for the time where
// the kernel keeps it.
type CPUThrottle struct{ points }

// NewCPUThrottle returns the reader, or a MissingError where the CPUs do not count.
func NewCPUThrottle(r Roots) (*CPUThrottle, error) {
	dir := r.fill().Sys + "/devices/system/cpu"
	c := &CPUThrottle{points{scan: func() []device { return scanThrottle(dir) }}}
	if len(c.scan()) == 0 {
		return nil, MissingError("no thermal_throttle of a CPU below " + dir)
	}
	return c, nil
}

func scanThrottle(dir string) []device {
	var d device
	seen := map[string]bool{}
	add := func(cpu, file, name string, labels map[string]string, per float64) {
		path, ls := filepath.Join(dir, cpu, "thermal_throttle", file), telemetry.NewLabels(labels)
		// Threads of a core, and cores of a package, share one count.
		if key := name + ls.String(); exists(path) && !seen[key] {
			seen[key] = true
			d.points = append(d.points, point{name: name, kind: telemetry.Counter, labels: ls, path: path, per: per})
		}
	}
	for _, cpu := range entries(dir) {
		if !numbered(cpu, "cpu") || !exists(dir, cpu, "thermal_throttle") {
			continue
		}
		pkg, core := text(dir, cpu, "topology/physical_package_id"), text(dir, cpu, "topology/core_id")
		if pkg == "" || core == "" {
			continue
		}
		byCore, byPackage := map[string]string{"package": pkg, "core": core}, map[string]string{"package": pkg}
		add(cpu, "core_throttle_count", "cpu_throttle_core_total", byCore, 1)
		add(cpu, "core_throttle_total_time_ms", "cpu_throttle_core_seconds_total", byCore, 1e3)
		add(cpu, "package_throttle_count", "cpu_throttle_package_total", byPackage, 1)
		add(cpu, "package_throttle_total_time_ms", "cpu_throttle_package_seconds_total", byPackage, 1e3)
	}
	if len(d.points) == 0 {
		return nil
	}
	return []device{d}
}
