package web

import (
	"fmt"
	"net"
	"strings"
)

// DefaultListen is where web listens unless told otherwise: this host only.
const DefaultListen = "127.0.0.1:9999"

// Config is what an operator sets.
type Config struct {
	// Listen is the address to serve on, host:port; DefaultListen unless set.
	// There is no login yet: whoever reaches the address sees everything.
	Listen string `yaml:"listen"`
	// AllowedHosts are names, without port, that the Host header may carry
	// besides loopback ones while Listen is on loopback: the name of a reverse
	// proxy in front, say.
	AllowedHosts []string `yaml:"allowed_hosts"`
}

// normalize fills in defaults and rejects what cannot work.
func (c *Config) normalize() error {
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("read listen address %q: %w; give host:port, e.g. %s", c.Listen, err, DefaultListen)
	}
	for _, h := range c.AllowedHosts {
		if h == "" || strings.ContainsAny(h, "/: ") {
			return fmt.Errorf("read allowed_hosts: %q is not a host name without port", h)
		}
	}
	return nil
}

// isLoopback tells whether the address host:port is reached from this host
// only.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	return isLoopbackHost(host)
}

func isLoopbackHost(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
