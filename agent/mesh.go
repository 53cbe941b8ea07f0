package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"nines/agent/host"
	"nines/agent/mesh"
)

// newMesh prepares this host's part in the mesh; nil where the configuration has
// none. It starts nothing.
func (a *Agent) newMesh(cfg *Config) (*mesh.Mesh, error) {
	if !cfg.Mesh.Enabled() {
		return nil, nil
	}
	if a.client == nil {
		return nil, errors.New("mesh.listen: a mesh needs Kafka, where agents find each other; this agent has none")
	}
	c := cfg.Mesh
	c.KeyFile = cfg.keyFile()
	labels := cfg.hostLabels()
	return mesh.New(mesh.Options{
		Config: c, Host: mesh.Host{Name: labels.Get("host"), Region: labels.Get("region"), Zone: labels.Get("zone")}, Boot: a.boot,
		Board: newBoard(a.client, a.clock.Now), Route: a.route, Now: a.clock.Now, Clock: clockState,
		Sink: a.framer.Sink, Figures: &a.meshFigures, Log: a.log,
	})
}

// checkMesh says what is wrong with a mesh before there is one.
func (c *Config) checkMesh() error {
	if err := c.Mesh.Validate(); err != nil {
		return err
	}
	if c.Mesh.Enabled() && c.Labels["zone"] == "" {
		return mesh.ErrNoZone
	}
	return nil
}

func clockState() mesh.ClockState {
	st, err := host.ReadClock()
	if err != nil {
		return mesh.ClockState{}
	}
	return mesh.ClockState{Synchronised: st.Synchronised, Bound: st.MaxError}
}

// routeTo is an address of documentation (RFC 5737) that stands for any: nothing
// is sent there.
const routeTo = "192.0.2.1:9"

// routeWait is how long a broker's name may take to be looked up.
const routeWait = 5 * time.Second

// route finds the address from which this host reaches a broker, else from which
// it reaches the world. A UDP socket that is connected sends nothing.
func (a *Agent) route(ctx context.Context) (netip.Addr, error) {
	var errs []error
	for _, to := range append(slices.Clone(a.cfg().Kafka.Brokers), routeTo) {
		conn, err := (&net.Dialer{Timeout: routeWait}).DialContext(ctx, "udp", to)
		if err != nil {
			errs = append(errs, fmt.Errorf("look for the way to %s: %w", to, err))
			continue
		}
		own := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		_ = conn.Close()
		return own, nil
	}
	return netip.Addr{}, errors.Join(errs...)
}

// runMesh runs the mesh of the configuration in force, and the next one when a
// reload brings it, until ctx ends.
func (a *Agent) runMesh(ctx context.Context) {
	for current := (*mesh.Mesh)(nil); ; {
		running, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if current != nil {
				_ = current.Run(running) // it only ever ends with its context
			}
		}()
		select {
		case <-ctx.Done():
		case current = <-a.nextMesh:
		}
		stop()
		<-done
		if ctx.Err() != nil {
			return
		}
	}
}

// setMesh makes a mesh the one in force, unless it would do the same. It is
// called by one reload at a time, and by New.
func (a *Agent) setMesh(next *mesh.Mesh) {
	if next == nil && a.mesh == nil || next.Same(a.mesh) {
		return
	}
	a.mesh = next
	select { // what was not taken up yet is out of date
	case <-a.nextMesh:
	default:
	}
	a.nextMesh <- next
}
