package telegraf

import "github.com/influxdata/telegraf/config"

// Softnet configures what each CPU takes from its network cards.
type Softnet struct {
	Settings
	// Total adds the CPUs up; PerCPU gives each its own series.
	Total  bool `toml:"total"`
	PerCPU bool `toml:"percpu"`
}

// Link configures the state of network interfaces and bonds.
type Link struct {
	Settings
	// Interfaces chooses by name, with wildcards; none takes network cards and
	// bonds.
	Interfaces []string `toml:"interfaces"`
}

// NIC configures what the drivers of network cards count.
type NIC struct {
	Settings
	// Interfaces chooses by name, with wildcards; none takes those with a device
	// behind them.
	Interfaces []string `toml:"interfaces"`
	// Stats chooses statistics of the driver by its own names, with wildcards,
	// besides those that every driver's are mapped to.
	Stats []string `toml:"stats"`
	// Timeout is how long one driver may take; 0 means 2 s.
	Timeout config.Duration `toml:"timeout"`
}
