package agent

import (
	"errors"
	"fmt"
	"net"
	"strconv"
)

// DefaultListen is where nines-agent serves its figures where nothing else is
// said: this host alone reaches it.
const DefaultListen = "127.0.0.1:9998"

// Local is the agent's own port on its host, of nines-agent alone.
type Local struct {
	// Listen is host:port of /metrics, /healthz, /readyz and /-/reload; "off" for
	// none, DefaultListen where empty.
	Listen string `yaml:"listen,omitempty"`
	// TokenFile holds the token that /-/reload wants as "Authorization: Bearer";
	// without one, only this host may ask for a reload. Read for each request.
	TokenFile string `yaml:"token_file,omitempty"`
}

// validate returns all that is wrong, joined.
func (l Local) validate() error {
	if l.Listen == "" || l.Listen == "off" {
		return nil
	}
	_, port, err := net.SplitHostPort(l.Listen)
	if err != nil {
		return fmt.Errorf("local.listen: must be host:port or off, got %q", l.Listen)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return errors.New("local.listen: the port must be a number up to 65535, got " + strconv.Quote(l.Listen))
	}
	return nil
}
