package telegraf

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/inputs"
)

// Own is an input of the agent's own: a struct with toml tags and its defaults,
// configured in the same files as Telegraf's. Options.Replace gives its Reader.
// Embed Settings to be one, and add it to ownInputs.
type Own interface {
	telegraf.Input
	ownInput()
}

// Settings makes a struct of settings an Own.
type Settings struct{}

// SampleConfig implements telegraf.Input; docs/agent.md describes the inputs.
func (Settings) SampleConfig() string { return "" }

// Gather implements telegraf.Input and is never called: a Reader gathers.
func (Settings) Gather(telegraf.Accumulator) error {
	return errors.New("gather input: it has no reader")
}

func (Settings) ownInput() {}

// ownInputs are the inputs of the agent's own by the name that configuration
// calls them. Telegraf has none of these names.
func ownInputs() map[string]inputs.Creator {
	return map[string]inputs.Creator{
		"chronyd": func() telegraf.Input { return &Chronyd{} },
		"ntp":     func() telegraf.Input { return &NTP{} },
		"gpu":     func() telegraf.Input { return &GPU{Timeout: config.Duration(3 * time.Second)} },
		"edac":    func() telegraf.Input { return &EDAC{} },
		"hwmon":   func() telegraf.Input { return &HWMon{} },
		"link":    func() telegraf.Input { return &Link{} },
		"mdraid":  func() telegraf.Input { return &MDRaid{} },
		"nvme":    func() telegraf.Input { return &NVMe{} },
		"nic":     func() telegraf.Input { return &NIC{} },
		"softnet": func() telegraf.Input { return &Softnet{Total: true} },

		"container":    func() telegraf.Input { return &Container{} },
		"cpu_throttle": func() telegraf.Input { return &CPUThrottle{} },
	}
}

// EDAC configures the errors that memory controllers corrected and could not
// correct.
type EDAC struct{ Settings }

// GPU configures the figures of the host's GPUs, of whichever vendor.
type GPU struct {
	Settings
	// Expected is how many GPUs this host should have; 0 takes the most ever seen.
	Expected int `toml:"expected"`
	// Processes gives a series to each process that holds GPU memory.
	Processes bool `toml:"processes"`
	// Timeout is how long one GPU may take.
	Timeout config.Duration `toml:"timeout"`
	// Library is NVML; NvidiaSMI and ROCmSMI are the vendors' programs. Empty ones
	// are looked for.
	Library   string `toml:"nvml"`
	NvidiaSMI string `toml:"nvidia_smi"`
	ROCmSMI   string `toml:"rocm_smi"`
}

// Init implements telegraf.Initializer.
func (g *GPU) Init() error {
	if g.Expected < 0 {
		return fmt.Errorf("expected: must be 0 or more, got %d", g.Expected)
	}
	if d := time.Duration(g.Timeout); d < 100*time.Millisecond || d > time.Minute {
		return fmt.Errorf("timeout: must be between 100ms and 1m, got %s", d)
	}
	return nil
}

// HWMon configures the sensors of chips.
type HWMon struct {
	Settings
	// Timeout is how long one chip may take; 0 means 2 s.
	Timeout config.Duration `toml:"timeout"`
}

// NVMe configures NVMe controllers.
type NVMe struct {
	Settings
	// Timeout is how long one controller may take; 0 means 2 s.
	Timeout config.Duration `toml:"timeout"`
}

// Container configures control groups.
type Container struct {
	Settings
	// MaxGroups bounds how many are measured; 0 means 300.
	MaxGroups int `toml:"max_groups"`
}

// MDRaid configures Linux software RAID.
type MDRaid struct{ Settings }

// CPUThrottle configures how often CPUs slowed down for heat.
type CPUThrottle struct{ Settings }

// register makes registerOwn work once: Telegraf's registry is a global.
var register sync.Once

// registerOwn adds our inputs to those that Telegraf's configuration knows.
func registerOwn() {
	register.Do(func() {
		for name, create := range ownInputs() {
			inputs.Add(name, create)
		}
	})
}

// absence is why an input is left out.
type absence string

func (a absence) Error() string { return string(a) }

// Absent is the error by which Options.Replace says that this host lacks what
// an input measures: the input is left out with this reason, and nothing fails.
func Absent(format string, args ...any) error { return absence(fmt.Sprintf(format, args...)) }

// reader asks for what gathers in the plugin's place; nil lets the plugin do it.
func (in *input) reader() (Reader, error) {
	_, own := in.ri.Input.(Own)
	if in.ri.Config.Filter.MetricPass != "" {
		if own {
			return nil, errors.New("metricpass is not for inputs of the agent's own: use fieldinclude, fieldexclude, tagpass or tagdrop")
		}
		return nil, nil
	}
	if in.opt.Replace == nil {
		return nil, nil
	}
	reader, err := in.opt.Replace(in.ri.Input)
	if err == nil && reader == nil && own {
		return nil, errors.New("nothing reads it")
	}
	return reader, err
}
