package host

import (
	"path/filepath"
	"strings"

	"nines/internal/telemetry"
)

// EDAC reads what memory controllers count: errors that they corrected
// (edac_ce_total) and that they could not (edac_ue_total) by controller, and the
// same by module (edac_dimm_ce_total, edac_dimm_ue_total). Counts that no module
// can be blamed for are edac_ce_noinfo_total and edac_ue_noinfo_total. Labels:
// controller; dimm, label (the board's name of the slot) and location of
// modules, or csrow and channel with drivers that only know those.
type EDAC struct{ points }

// NewEDAC returns the reader, or a MissingError on a host whose memory controller
// no driver watches.
func NewEDAC(r Roots) (*EDAC, error) {
	dir := r.fill().Sys + "/devices/system/edac/mc"
	e := &EDAC{points{scan: func() []device { return scanEDAC(dir) }}}
	if len(scanEDAC(dir)) == 0 {
		return nil, MissingError("no memory controller at " + dir)
	}
	return e, nil
}

func scanEDAC(dir string) []device {
	var list []device
	for _, mc := range entries(dir) {
		if !numbered(mc, "mc") {
			continue
		}
		path := filepath.Join(dir, mc)
		d := device{labels: label("controller", mc)}
		d.counters(path, "edac_", d.labels, "ce_count", "ue_count", "ce_noinfo_count", "ue_noinfo_count")
		modules := len(d.points)
		for _, sub := range entries(path) {
			if numbered(sub, "dimm") || numbered(sub, "rank") {
				d.module(filepath.Join(path, sub), mc, sub)
			}
		}
		if len(d.points) == modules {
			for _, sub := range entries(path) {
				if numbered(sub, "csrow") {
					d.csrow(filepath.Join(path, sub), mc, sub)
				}
			}
		}
		list = append(list, d)
	}
	return list
}

// counters adds the files of a folder that are there: ce_count is <prefix>ce_total.
func (d *device) counters(dir, prefix string, labels telemetry.Labels, files ...string) {
	for _, f := range files {
		if exists(dir, f) {
			name := prefix + strings.TrimSuffix(f, "_count") + "_total"
			d.points = append(d.points, point{name: name, kind: telemetry.Counter, labels: labels, path: filepath.Join(dir, f), per: 1})
		}
	}
}

// module adds a memory module, as present drivers show them.
func (d *device) module(dir, mc, dimm string) {
	labels := map[string]string{"controller": mc, "dimm": dimm}
	for name, file := range map[string]string{"label": "dimm_label", "location": "dimm_location"} {
		if v := text(dir, file); v != "" {
			labels[name] = v
		}
	}
	for _, k := range []string{"ce", "ue"} {
		if f := filepath.Join(dir, "dimm_"+k+"_count"); exists(f) {
			d.points = append(d.points, point{name: "edac_dimm_" + k + "_total", kind: telemetry.Counter, labels: telemetry.NewLabels(labels), path: f, per: 1})
		}
	}
}

// csrow adds a chip-select row, as older drivers show them: corrected errors by
// channel; those that could not be corrected are known by row alone.
func (d *device) csrow(dir, mc, row string) {
	for _, f := range entries(dir) {
		ch, ok := strings.CutSuffix(f, "_ce_count")
		if !ok || !numbered(ch, "ch") {
			continue
		}
		labels := map[string]string{"controller": mc, "csrow": row, "channel": ch}
		if v := text(dir, ch+"_dimm_label"); v != "" {
			labels["label"] = v
		}
		d.points = append(d.points, point{name: "edac_dimm_ce_total", kind: telemetry.Counter, labels: telemetry.NewLabels(labels), path: filepath.Join(dir, f), per: 1})
	}
	if f := filepath.Join(dir, "ue_count"); exists(f) {
		labels := telemetry.NewLabels(map[string]string{"controller": mc, "csrow": row})
		d.points = append(d.points, point{name: "edac_dimm_ue_total", kind: telemetry.Counter, labels: labels, path: f, per: 1})
	}
}

// numbered tells whether a name is prefix and a number.
func numbered(name, prefix string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return false
	}
	_, ok = parseUint([]byte(rest))
	return ok
}
