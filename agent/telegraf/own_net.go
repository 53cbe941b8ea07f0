package telegraf

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
