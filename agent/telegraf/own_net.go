package telegraf

// Softnet configures what each CPU takes from its network cards.
type Softnet struct {
	Settings
	// Total adds the CPUs up; PerCPU gives each its own series.
	Total  bool `toml:"total"`
	PerCPU bool `toml:"percpu"`
}
