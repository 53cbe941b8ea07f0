package host

import (
	"errors"
	"testing"
)

func TestRecordedMemoryControllers(t *testing.T) {
	r := Roots{Sys: unpacked(t, exporterSys, "sys/devices/system/edac") + "/sys"}
	e, err := NewEDAC(r)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	got := values(t, e)
	want := map[string]float64{
		`edac_ce_total{controller="mc0"}`: 1, `edac_ue_total{controller="mc0"}`: 5,
		`edac_ce_noinfo_total{controller="mc0"}`: 2, `edac_ue_noinfo_total{controller="mc0"}`: 6,
		`edac_dimm_ue_total{controller="mc0",csrow="csrow0"}`: 4, `edac_dimm_ue_total{controller="mc0",csrow="csrow1"}`: 4,
		`edac_dimm_ue_total{controller="mc0",csrow="csrow2"}`:                                         5,
		`edac_dimm_ce_total{channel="ch0",controller="mc0",csrow="csrow0",label="mc0csrow0channel0"}`: 0,
		`edac_dimm_ce_total{channel="ch1",controller="mc0",csrow="csrow2",label="mc0csrow2channel1"}`: 0,
	}
	expect(t, got, want)
	if len(got) != 13 {
		t.Errorf("%d series: %v", len(got), got)
	}
}

func TestErrorsOfAModule(t *testing.T) {
	r := tree(t, map[string]string{
		"sys/devices/system/edac/mc/mc0/ce_count":            "7\n",
		"sys/devices/system/edac/mc/mc0/dimm0/dimm_label":    "CPU_SrcID#0_MC#0_Chan#0_DIMM#0\n",
		"sys/devices/system/edac/mc/mc0/dimm0/dimm_location": "channel 0 slot 0 \n",
		"sys/devices/system/edac/mc/mc0/dimm0/dimm_ce_count": "7\n",
		"sys/devices/system/edac/mc/mc0/dimm0/dimm_ue_count": "0\n",
		"sys/devices/system/edac/mc/mc0/csrow0/ue_count":     "99\n",
		"sys/devices/system/edac/mc/power/control":           "auto\n",
	})
	e, err := NewEDAC(r)
	if err != nil {
		t.Fatal(err)
	}
	const dimm = `{controller="mc0",dimm="dimm0",label="CPU_SrcID#0_MC#0_Chan#0_DIMM#0",location="channel 0 slot 0"}`
	got := values(t, e)
	expect(t, got, map[string]float64{`edac_ce_total{controller="mc0"}`: 7, "edac_dimm_ce_total" + dimm: 7, "edac_dimm_ue_total" + dimm: 0})
	if len(got) != 3 {
		t.Errorf("a module is counted twice: %v", got)
	}
	rewrite(t, r, "sys/devices/system/edac/mc/mc0/dimm0/dimm_ce_count", "8\n")
	expect(t, values(t, e), map[string]float64{"edac_dimm_ce_total" + dimm: 8})
}

func TestMissingHardwareIsSaid(t *testing.T) {
	r := tree(t, nil)
	for name, open := range map[string]func() error{
		"edac":         func() error { _, err := NewEDAC(r); return err },
		"hwmon":        func() error { _, err := NewHWMon(r, 0); return err },
		"mdraid":       func() error { _, err := NewMDRaid(r); return err },
		"nvme":         func() error { _, err := NewNVMe(r, 0); return err },
		"container":    func() error { _, err := NewContainers(r, ContainerOptions{}); return err },
		"cpu_throttle": func() error { _, err := NewCPUThrottle(r); return err },
	} {
		if missing := MissingError(""); !errors.As(open(), &missing) || missing == "" {
			t.Errorf("%s: %v", name, open())
		}
	}
}
