package gpu

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pciGPUs returns the addresses of NVIDIA's GPUs on the bus that this host's
// driver should drive: display and 3D controllers that are bound to it, or to
// none while it is loaded. What another driver has, such as vfio-pci for a
// virtual machine, is not this host's to measure.
func pciGPUs(sys string) []string {
	devices, _ := filepath.Glob(filepath.Join(sys, "bus/pci/devices/*"))
	_, err := os.Stat(filepath.Join(sys, "module/nvidia"))
	loaded := err == nil
	var out []string
	for _, dir := range devices {
		if word(dir, "vendor") != "0x10de" || !strings.HasPrefix(word(dir, "class"), "0x03") {
			continue
		}
		driver, err := os.Readlink(filepath.Join(dir, "driver"))
		if err == nil && filepath.Base(driver) != "nvidia" || err != nil && !loaded {
			continue
		}
		if a := Address(filepath.Base(dir)); a != "" {
			out = append(out, a)
		}
	}
	slices.Sort(out)
	return out
}

func word(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
