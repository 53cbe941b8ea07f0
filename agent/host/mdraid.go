package host

import (
	"bytes"
	"path/filepath"
	"strings"
	"time"

	"nines/internal/telemetry"
)

// MDRaid reads the state of Linux software RAID arrays: mdraid_active (1 while
// the array can be used), mdraid_disks, mdraid_degraded (how many are missing),
// mdraid_sync by action (1 for the one under way: recover, resync, reshape,
// check, repair), mdraid_sync_ratio (how far it is), mdraid_sync_bytes_per_second,
// mdraid_mismatches, and by member mdraid_disk_faulty and mdraid_disk_errors_total.
// Labels: array, level; disk; action. mdraid_stuck is 1 while an array does not
// answer.
type MDRaid struct{ points }

// NewMDRaid returns the reader, or a MissingError where no array is.
func NewMDRaid(r Roots) (*MDRaid, error) {
	dir := r.fill().Sys + "/block"
	m := &MDRaid{points{scan: func() []device { return scanMD(dir) }, limit: 2 * time.Second, stuck: "mdraid_stuck"}}
	if len(m.scan()) == 0 {
		return nil, MissingError("no array md* below " + dir)
	}
	return m, nil
}

func scanMD(dir string) []device {
	var list []device
	for _, array := range entries(dir) {
		md := filepath.Join(dir, array, "md")
		if !strings.HasPrefix(array, "md") || !exists(md) {
			continue
		}
		base := map[string]string{"array": array}
		put(base, "level", text(md, "level"))
		d := device{labels: telemetry.NewLabels(base)}
		add := func(name, file string, labels telemetry.Labels, kind telemetry.Kind, parse func([]byte) (float64, bool)) {
			if path := filepath.Join(md, file); exists(path) {
				d.points = append(d.points, point{name: name, kind: kind, labels: labels, path: path, parse: parse, per: 1})
			}
		}
		add("mdraid_active", "array_state", d.labels, telemetry.Gauge, mdActive)
		add("mdraid_disks", "raid_disks", d.labels, telemetry.Gauge, mdFirst)
		add("mdraid_degraded", "degraded", d.labels, telemetry.Gauge, nil)
		add("mdraid_mismatches", "mismatch_cnt", d.labels, telemetry.Gauge, nil)
		add("mdraid_sync_ratio", "sync_completed", d.labels, telemetry.Gauge, mdProgress)
		add("mdraid_sync_bytes_per_second", "sync_speed", d.labels, telemetry.Gauge, mdSpeed)
		for _, action := range []string{"recover", "resync", "reshape", "check", "repair"} {
			add("mdraid_sync", "sync_action", with(base, "action", action), telemetry.Gauge, isWord(action))
		}
		for _, f := range entries(md) {
			if disk, ok := strings.CutPrefix(f, "dev-"); ok {
				labels := with(base, "disk", disk)
				add("mdraid_disk_faulty", f+"/state", labels, telemetry.Gauge, hasWord("faulty"))
				add("mdraid_disk_errors_total", f+"/errors", labels, telemetry.Counter, nil)
			}
		}
		list = append(list, d)
	}
	return list
}

// with returns the labels and one more.
func with(labels map[string]string, name, value string) telemetry.Labels {
	m := map[string]string{name: value}
	for k, v := range labels {
		m[k] = v
	}
	return telemetry.NewLabels(m)
}

// mdActive reads array_state: clear and inactive arrays, and those that lost too
// many disks, cannot be used.
func mdActive(b []byte) (float64, bool) {
	switch string(b) {
	case "clear", "inactive", "suspended", "broken":
		return 0, true
	}
	return 1, len(b) > 0
}

// mdFirst reads "11 (10)": the disks of an array that is being reshaped.
func mdFirst(b []byte) (float64, bool) {
	v, _, ok := uintField(b)
	return float64(v), ok
}

// mdProgress reads "1569888 / 2093056"; "none" is absent.
func mdProgress(b []byte) (float64, bool) {
	done, all, ok := bytes.Cut(b, []byte(" / "))
	d, ok1 := parseUint(done)
	a, ok2 := parseUint(all)
	if !ok || !ok1 || !ok2 || a == 0 {
		return 0, false
	}
	return round4(float64(d) / float64(a)), true
}

// mdSpeed reads KiB a second; "none" is absent.
func mdSpeed(b []byte) (float64, bool) {
	v, ok := parseUint(b)
	return 1024 * float64(v), ok
}

func isWord(w string) func([]byte) (float64, bool) {
	return func(b []byte) (float64, bool) { return truth(string(b) == w), len(b) > 0 }
}

// hasWord reads lists such as "faulty,write_mostly".
func hasWord(w string) func([]byte) (float64, bool) {
	return func(b []byte) (float64, bool) {
		for rest := b; len(rest) > 0; {
			var f []byte
			f, rest, _ = bytes.Cut(rest, []byte{','})
			if string(f) == w {
				return 1, true
			}
		}
		return 0, len(b) > 0
	}
}
