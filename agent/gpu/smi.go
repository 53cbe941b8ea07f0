package gpu

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// node is an element of XML, by the names below it.
type node struct {
	name, id, text string
	below          []*node
}

// maxDepth bounds how deep nvidia-smi's elements may lie; it uses six.
const maxDepth = 32

// parseTree reads one document.
func parseTree(in io.Reader) (*node, error) {
	dec := xml.NewDecoder(in)
	root := &node{}
	open := []*node{root}
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		top := open[len(open)-1]
		switch t := tok.(type) {
		case xml.StartElement:
			if len(open) > maxDepth {
				return nil, errors.New("elements lie too deep")
			}
			n := &node{name: t.Name.Local}
			for _, a := range t.Attr {
				if a.Name.Local == "id" {
					n.id = a.Value
				}
			}
			top.below = append(top.below, n)
			open = append(open, n)
		case xml.CharData:
			if len(top.text) < 256 {
				top.text += strings.TrimSpace(string(t))
			}
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
	return root, nil
}

// at returns the element at a path of names, or nil.
func (n *node) at(path string) *node {
	for name := range strings.SplitSeq(path, "/") {
		if n = n.first(name); n == nil {
			return nil
		}
	}
	return n
}

func (n *node) first(name string) *node {
	for _, b := range n.below {
		if b.name == name {
			return b
		}
	}
	return nil
}

// say returns the text at a path, "" where there is none.
func (n *node) say(path string) string {
	if m := n.at(path); m != nil {
		return m.text
	}
	return ""
}

// ParseSMI reads what nvidia-smi -q -x prints, of schema v10 to v13. What
// nvidia-smi has no value for is absent.
func ParseSMI(in io.Reader, processes bool) (Reading, error) {
	r := Reading{Vendor: "nvidia", Source: "nvidia-smi"}
	root, err := parseTree(in)
	if err != nil {
		return r, fmt.Errorf("read nvidia-smi's XML: %w", err)
	}
	log := root.first("nvidia_smi_log")
	if log == nil {
		return r, errors.New("read nvidia-smi's XML: no element nvidia_smi_log")
	}
	if v := log.say("driver_version"); !isBlank(v) {
		r.Driver = v
	}
	for _, n := range log.below {
		if n.name == "gpu" {
			r.Devices = append(r.Devices, smiDevice(n, len(r.Devices), processes))
		}
	}
	r.Count = len(r.Devices)
	if n, err := strconv.Atoi(log.say("attached_gpus")); err == nil && n > r.Count && n < 1<<10 {
		r.Count = n
	}
	return r, nil
}

func smiDevice(n *node, index int, processes bool) Device {
	d := Device{GPU: Address(n.id), Index: index}
	for _, l := range [][2]string{{"name", "product_name"}, {"uuid", "uuid"}, {"serial", "serial"}, {"vbios", "vbios_version"}} {
		d.inform(l[0], n.say(l[1]))
	}
	for _, f := range smiFigures() {
		for _, path := range f.paths {
			if v, ok := parseFigure(n.say(path)); ok {
				d.add(f.name, v*f.scale, f.labels...)
				if !f.sum {
					break
				}
			}
		}
	}
	for code, action := range []string{"None", "Reset", "Reboot", "Drain P2P", "Drain and Reset"} {
		if said := n.say("gpu_recovery_action"); said == action || said == "GPU "+action || said == "Node "+action {
			d.set("gpu_recovery_action", float64(code))
		}
	}
	smiReasons(n, &d)
	smiInstances(n, &d)
	smiProcesses(n, &d, processes)
	return d
}

// parseFigure reads a number in the metric's base unit from a text such as
// "4096 MiB", "37 %", "16x", "P8", "Not Active" or "Yes".
func parseFigure(s string) (float64, bool) {
	s = strings.Trim(strings.TrimSpace(s), "[]")
	if isBlank(s) {
		return 0, false
	}
	switch s {
	case "Active", "Yes", "Enabled":
		return 1, true
	case "Not Active", "No", "Disabled":
		return 0, true
	}
	number, unit, _ := strings.Cut(s, " ")
	if strings.HasPrefix(number, "P") {
		number = number[1:]
	} else if strings.HasSuffix(number, "x") {
		number = number[:len(number)-1]
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v != v || v > 1e18 || v < -1e18 {
		return 0, false
	}
	scale, ok := units(unit)
	return v * scale, ok
}

// units are the scales to base units of what nvidia-smi writes behind a number.
func units(unit string) (float64, bool) {
	switch unit {
	case "", "C", "W", "bank(s)":
		return 1, true
	case "%":
		return 0.01, true
	case "MiB":
		return 1 << 20, true
	case "KB/s":
		return 1 << 10, true
	case "MHz":
		return 1e6, true
	case "us":
		return 1e-6, true
	case "mV":
		return 1e-3, true
	}
	return 0, false
}

// smiReasons reads reasons under the name that they have had since driver 535
// and the one before.
func smiReasons(n *node, d *Device) {
	for _, word := range []string{"clocks_event_reason", "clocks_throttle_reason"} {
		group := n.first(word + "s")
		if group == nil {
			continue
		}
		for _, reason := range reasons {
			if v, ok := parseFigure(group.say(word + "_" + reason)); ok {
				d.set("gpu_clock_event", v, "reason", reason)
			}
		}
		return
	}
}

func smiInstances(n *node, d *Device) {
	list := n.first("mig_devices")
	if on, ok := parseFigure(n.say("mig_mode/current_mig")); !ok || on == 0 || list == nil {
		return
	}
	found := 0
	for _, m := range list.below {
		gi, ci := m.say("gpu_instance_id"), m.say("compute_instance_id")
		if m.name != "mig_device" || isBlank(gi) || isBlank(ci) {
			continue
		}
		found++
		labels := []string{"gpu_instance", gi, "compute_instance", ci}
		d.set("gpu_mig_info", 1, append(labels[:4:4], "uuid", "", "name", "")...)
		for _, memory := range []string{"memory", "bar1"} {
			path := map[string]string{"memory": "fb_memory_usage", "bar1": "bar1_memory_usage"}[memory]
			for _, part := range []string{"total", "used", "free", "reserved"} {
				if v, ok := parseFigure(m.say(path + "/" + part)); ok {
					d.set("gpu_mig_"+memory+"_"+part+"_bytes", v, labels...)
				}
			}
		}
		if v, ok := parseFigure(m.say("ecc_error_count/volatile_count/sram_uncorrectable")); ok {
			d.set("gpu_mig_ecc_errors_total", v, append(labels[:4:4], "counter", "volatile", "error", "uncorrected", "memory", "sram")...)
		}
	}
	d.set("gpu_mig_instances", float64(found))
}

func smiProcesses(n *node, d *Device, each bool) {
	list := n.first("processes")
	if list == nil || list.text != "" { // "N/A" in place of a list
		return
	}
	count, used := map[string]float64{}, map[string]float64{}
	for _, p := range list.below {
		pid, err := strconv.Atoi(p.say("pid"))
		if err != nil {
			continue
		}
		memory, ok := parseFigure(p.say("used_memory"))
		for _, k := range []struct{ letter, kind string }{{"C", "compute"}, {"G", "graphics"}} {
			if !strings.Contains(p.say("type"), k.letter) {
				continue
			}
			count[k.kind]++
			used[k.kind] += memory
			if each && ok {
				setProcess(d, pid, k.kind, shortCommand(p.say("process_name")), memory)
			}
		}
	}
	for _, kind := range []string{"compute", "graphics"} {
		d.set("gpu_processes", count[kind], "kind", kind)
		d.set("gpu_processes_memory_bytes", used[kind], "kind", kind)
	}
}

// shortCommand cuts a command line to what the kernel calls the process: the
// program's name, 15 bytes at most.
func shortCommand(s string) string {
	s, _, _ = strings.Cut(s, " ")
	s = s[strings.LastIndexByte(s, '/')+1:]
	return strings.ToValidUTF8(s[:min(len(s), 15)], "")
}
