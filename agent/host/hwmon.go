package host

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nines/internal/telemetry"
)

// HWMon reads the sensors of the chips below /sys/class/hwmon: temperatures with
// their limits, fans, voltages, currents, power, energy, humidity, and the
// chips' own alarms and faults. Labels: chip (its driver's name), device, sensor
// (temp1) and label (the driver's name for the sensor). hwmon_stuck is 1 while a
// chip does not answer; the others' figures flow.
type HWMon struct{ points }

// NewHWMon returns the reader, or a MissingError where there is no sensor. A
// chip may take limit to answer; 0 means 2 s.
func NewHWMon(r Roots, limit time.Duration) (*HWMon, error) {
	if limit <= 0 {
		limit = 2 * time.Second
	}
	dir := r.fill().Sys + "/class/hwmon"
	h := &HWMon{points{scan: func() []device { return scanHWMon(dir) }, limit: limit, stuck: "hwmon_stuck"}}
	if len(h.scan()) == 0 {
		return nil, MissingError("no sensor below " + dir)
	}
	return h, nil
}

// hwmonFiles are the files of a sensor by kind and what follows its number: the
// series and how much of the file's unit is one of the series'.
func hwmonFiles(kind, item string) (name string, per float64, ok bool) {
	units := map[string]struct {
		unit string
		per  float64
	}{
		"temp": {"celsius", 1e3}, "fan": {"rpm", 1}, "in": {"volts", 1e3}, "curr": {"amperes", 1e3},
		"power": {"watts", 1e6}, "energy": {"joules_total", 1e6}, "humidity": {"ratio", 1e5}, "freq": {"hertz", 1},
	}
	u, known := units[kind]
	switch {
	case known && item == "input", kind == "power" && item == "average":
		return "hwmon_" + kind + "_" + u.unit, u.per, true
	case kind == "temp" && (item == "max" || item == "crit"), kind == "fan" && item == "min":
		return "hwmon_" + kind + "_" + item + "_" + u.unit, u.per, true
	case item == "fault" && known:
		return "hwmon_fault", 1, true
	case item == "alarm", strings.HasSuffix(item, "_alarm"):
		return "hwmon_alarm", 1, true
	}
	return "", 0, false
}

func scanHWMon(dir string) []device {
	var list []device
	seen := map[string]bool{}
	for _, hw := range entries(dir) {
		path := filepath.Join(dir, hw)
		base := map[string]string{}
		put(base, "chip", cmp.Or(text(path, "name"), text(path, "device", "name")))
		if to, err := os.Readlink(filepath.Join(path, "device")); err == nil {
			if name := filepath.Base(to); strings.Trim(name, ".") != "" {
				base["device"] = name
			}
		}
		// Chips alike would share their series: the second one tells its number.
		if key := base["chip"] + "\x00" + base["device"]; seen[key] || key == "\x00" {
			base["hwmon"] = hw
		} else {
			seen[key] = true
		}
		d := device{labels: telemetry.NewLabels(base)}
		if d.sensors(path, base); len(d.points) == 0 {
			d.sensors(filepath.Join(path, "device"), base) // old drivers
		}
		if len(d.points) > 0 {
			list = append(list, d)
		}
	}
	return list
}

func (d *device) sensors(dir string, base map[string]string) {
	averaged := map[string]bool{}
	for _, f := range entries(dir) {
		sensor, item, ok := strings.Cut(f, "_")
		kind := strings.TrimRight(sensor, "0123456789")
		if !ok || kind == sensor {
			continue
		}
		name, per, ok := hwmonFiles(kind, item)
		// power1_average stands before power1_input, where a chip has both.
		if !ok || name == "hwmon_power_watts" && averaged[sensor] {
			continue
		}
		averaged[sensor] = averaged[sensor] || item == "average"
		labels := map[string]string{"sensor": sensor}
		for k, v := range base {
			labels[k] = v
		}
		put(labels, "label", text(dir, sensor+"_label"))
		if name == "hwmon_alarm" {
			put(labels, "alarm", strings.TrimSuffix(strings.TrimSuffix(item, "alarm"), "_"))
		}
		kindOf := telemetry.Gauge
		if strings.HasSuffix(name, "_total") {
			kindOf = telemetry.Counter
		}
		d.points = append(d.points, point{name: name, kind: kindOf, labels: telemetry.NewLabels(labels), path: filepath.Join(dir, f), per: per})
	}
}

// put adds a label that has a value.
func put(labels map[string]string, name, value string) {
	if value != "" {
		labels[name] = value
	}
}
