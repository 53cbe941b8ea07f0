package telegraf

import "github.com/influxdata/telegraf/config"

// Chronyd configures the question to chronyd how far the clock is off.
type Chronyd struct {
	Settings
	// Server is udp://HOST:PORT or unix:///PATH; empty tries the host's own.
	Server string `toml:"server"`
	// Timeout is how long it may take; 0 means 1 s.
	Timeout config.Duration `toml:"timeout"`
}

// NTP configures servers that the clock is compared with.
type NTP struct {
	Settings
	// Servers are HOST or HOST:PORT.
	Servers []string `toml:"servers"`
	// Poll is how often each is asked, 16 s or more; 0 means a minute.
	Poll config.Duration `toml:"poll"`
	// Timeout is how long one may take; 0 means 1 s.
	Timeout config.Duration `toml:"timeout"`
}
