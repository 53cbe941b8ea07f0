package mesh

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Config is the section mesh of an agent's YAML. The zero value is no mesh.
type Config struct {
	// Listen is where the reflector listens, UDP: ":9862", or an address of this
	// host and a port. Empty runs no mesh.
	Listen string `yaml:"listen,omitempty"`
	// Advertise is where others reach it, an address or address:port; where empty,
	// Listen's address, or that by which this host reaches Kafka.
	Advertise string `yaml:"advertise,omitempty"`
	// PacketsPerSecond is what this host sends, to all peers together; 5.
	PacketsPerSecond float64 `yaml:"packets_per_second,omitempty"`
	// K is how many pairs of hosts measure each ordered pair of zones; 3. The same in
	// the whole fleet, as are MaxPeers and Slots.
	K int `yaml:"k,omitempty"`
	// MaxPeers is the most that one host asks; 64.
	MaxPeers int `yaml:"max_peers,omitempty"`
	// Slots is how many hosts of a zone take part; 32. Others stand by.
	Slots int `yaml:"slots,omitempty"`
	// KeyFile holds the fleet's key for authenticated packets; without one they are
	// unauthenticated.
	KeyFile string `yaml:"key_file,omitempty"`
	// Anyone answers hosts that the roster does not know too.
	Anyone bool `yaml:"anyone,omitempty"`
}

// Bounds and defaults of Config.
const (
	defaultRate      = 5
	minRate, maxRate = 0.1, 50
	maxK             = 16
	mostPeers        = 1024
	defaultSlots     = 32
	maxSlots         = 256
	minKey, maxKey   = 16, 4096
)

// Enabled tells whether there is to be a mesh.
func (c Config) Enabled() bool { return c.Listen != "" }

// Validate returns all that is wrong, joined, each as "mesh.path: reason". It
// reads no file.
func (c Config) Validate() error {
	if !c.Enabled() {
		if c != (Config{}) {
			return fmt.Errorf(`mesh.listen: is empty, so that the rest of mesh has no effect; set it, to ":%d" for instance`, DefaultPort)
		}
		return nil
	}
	var errs []error
	bad := func(path, f string, a ...any) { errs = append(errs, fmt.Errorf("mesh."+path+": "+f, a...)) }
	listen, err := c.listen()
	if err != nil {
		bad("listen", "%w", err)
	}
	if own, err := c.advertise(); err != nil {
		bad("advertise", "%w", err)
	} else if a := listen.Addr(); a.IsValid() && own.Addr().IsValid() && a.Is4() != own.Addr().Is4() {
		bad("advertise", "must be of the family of mesh.listen, IPv4 or IPv6, got %q", c.Advertise)
	}
	if v := c.PacketsPerSecond; v != 0 && !(v >= minRate && v <= maxRate) {
		bad("packets_per_second", "must lie within %g and %d, got %g", minRate, maxRate, v)
	}
	within := func(path string, v, most int) {
		if v < 0 || v > most {
			bad(path, "must lie within 1 and %d, got %d", most, v)
		}
	}
	within("k", c.K, maxK)
	within("max_peers", c.MaxPeers, mostPeers)
	within("slots", c.Slots, maxSlots)
	return errors.Join(errs...)
}

// WithDefaults returns it with every bound that it does not name.
func (c Config) WithDefaults() Config {
	c.PacketsPerSecond = cmp.Or(c.PacketsPerSecond, defaultRate)
	c.K = cmp.Or(c.K, defaultK)
	c.MaxPeers = cmp.Or(c.MaxPeers, defaultMaxPeers)
	c.Slots = cmp.Or(c.Slots, defaultSlots)
	return c
}

// listen parses Listen; the address is invalid where it names none.
func (c Config) listen() (netip.AddrPort, error) {
	if port, ok := strings.CutPrefix(c.Listen, ":"); ok {
		n, err := parsePort(port)
		return netip.AddrPortFrom(netip.Addr{}, n), err
	}
	at, err := netip.ParseAddrPort(c.Listen)
	if err != nil || at.Port() == 0 {
		return at, fmt.Errorf("must be :port, or an address of this host and a port, got %q", c.Listen)
	}
	if a := at.Addr().Unmap(); !a.IsUnspecified() {
		if err := usable(a); err != nil {
			return at, err
		}
		return netip.AddrPortFrom(a, at.Port()), nil
	}
	return at, nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("the port must be a number from 1 to 65535, got %q", s)
	}
	return uint16(n), nil
}

// advertise parses Advertise; the parts that it does not name come from Listen,
// and the address is invalid where that names none either.
func (c Config) advertise() (netip.AddrPort, error) {
	listen, err := c.listen()
	if err != nil {
		return netip.AddrPort{}, nil // said already
	}
	own := listen
	if own.Addr().IsValid() && own.Addr().IsUnspecified() {
		own = netip.AddrPortFrom(netip.Addr{}, own.Port())
	}
	if c.Advertise == "" {
		return own, nil
	}
	if a, err := netip.ParseAddr(c.Advertise); err == nil {
		return netip.AddrPortFrom(a.Unmap(), own.Port()), usable(a.Unmap())
	}
	at, err := netip.ParseAddrPort(c.Advertise)
	if err != nil || at.Port() == 0 {
		return own, fmt.Errorf("must be an address, or address:port, got %q", c.Advertise)
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), usable(at.Addr().Unmap())
}

// usable tells whether packets can be sent to one host at the address.
func usable(a netip.Addr) error {
	switch {
	case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast(), a.Zone() != "", a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("must be the address of one host, reachable from others, got %q", a)
	}
	return nil
}

// CheckKey tells whether the key file, if there is one, holds a key.
func (c Config) CheckKey() error {
	_, err := c.key()
	return err
}

// key reads the key file; a line break at its end is not part of the key.
func (c Config) key() ([]byte, error) {
	if c.KeyFile == "" {
		return nil, nil
	}
	b, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("mesh.key_file: read key: %w", err)
	}
	b = bytes.TrimRight(b, "\r\n")
	if len(b) < minKey || len(b) > maxKey {
		return nil, fmt.Errorf("mesh.key_file: the key must have %d to %d bytes, got %d in %s", minKey, maxKey, len(b), c.KeyFile)
	}
	return b, nil
}
