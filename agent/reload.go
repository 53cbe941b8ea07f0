package agent

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"nines/agent/telegraf"
)

// ErrRestart says that a changed configuration needs a new process: it changes
// who the agent is or where its frames go. Nothing of it was taken up.
var ErrRestart = errors.New("takes effect only after a restart; nothing was changed")

// ReloadFile reads the configuration file and takes it up, as Reload does. What
// is wrong with it is in the agent's log and figures too. It is safe to call at
// any time, from any goroutine.
func (a *Agent) ReloadFile(file string) error {
	cfg, err := Load(file)
	if err != nil {
		a.noteReload(err)
		return err
	}
	cfg.StateDir, cfg.GPUWorker = a.opt.Config.StateDir, a.opt.Config.GPUWorker
	return a.Reload(cfg)
}

// Reload takes up a changed configuration: inputs and probes that stayed the
// same go on undisturbed, the others change between two ticks. Boot, frame
// numbers, spool and connection stay. Where anything is wrong, all of the old
// goes on. Errors name file, line and path, or wrap ErrRestart.
func (a *Agent) Reload(cfg Config) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	change, err := a.reload(cfg)
	if err == nil {
		a.log.Info("configuration reloaded", "inputs_kept", len(change.Kept), "replaced", strings.Join(change.Replaced, ","),
			"added", strings.Join(change.Added, ","), "removed", strings.Join(change.Removed, ","))
	}
	a.noteReload(err)
	return err
}

func (a *Agent) reload(to Config) (telegraf.Change, error) {
	none := telegraf.Change{}
	if err := to.Validate(); err != nil {
		return none, fmt.Errorf("configure agent: %w", err)
	}
	to, err := to.withDefaults()
	if err != nil {
		return none, fmt.Errorf("configure agent: %w", err)
	}
	if err := a.needsRestart(&to); err != nil {
		return none, err
	}
	opt, sec, err := inputOptions(to, a.log)
	if err != nil {
		return none, err
	}
	next, err := a.inputs.Prepare(opt)
	if err != nil {
		return none, fmt.Errorf("configure inputs:\n%w", hideIn(err, sec))
	}
	m, err := a.newMesh(&to)
	if err != nil {
		next.Discard()
		return none, fmt.Errorf("configure agent: %w", err)
	}
	if err := a.prober.Reload(to.Probes); err != nil {
		next.Discard()
		return none, fmt.Errorf("configure probes: %w", err)
	}
	a.secrets.Store(&sec)
	a.inputs.Apply(next)
	if host := to.hostLabels(); !slices.Equal(host, a.framer.Host()) {
		a.framer.SetHost(host)
	}
	a.setMesh(m)
	a.live.Store(&to)
	return next.Change(), nil
}

// NeedsRestart tells whether Reload would refuse a configuration, which is right
// otherwise, with ErrRestart.
func (a *Agent) NeedsRestart(to Config) bool {
	to, err := to.withDefaults()
	return err == nil && a.needsRestart(&to) != nil
}

// needsRestart names what a reload cannot change.
func (a *Agent) needsRestart(to *Config) error {
	now := a.cfg()
	differs := map[string]bool{
		"agent": to.Agent != now.Agent,
		"topic": to.Topic != now.Topic,
		"kafka": a.own != nil && !reflect.DeepEqual(to.Kafka, now.Kafka),
		"spool": to.Spool != now.Spool,
		"dir":   to.Dir != now.Dir,
	}
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(differs)) {
		if differs[path] {
			errs = append(errs, fmt.Errorf("%s%s: %w", to.at(path), path, ErrRestart))
		}
	}
	return errors.Join(errs...)
}

// reloads is what became of attempts to change the configuration.
type reloads struct {
	done, failed uint64
	last         time.Time // of the last success; the start counts
	err          error     // of the last attempt
}

// noteReload counts an attempt, and logs what is wrong.
func (a *Agent) noteReload(err error) {
	a.mu.Lock()
	a.reloads.err = err
	if err == nil {
		a.reloads.done++
		a.reloads.last = time.Now()
	} else {
		a.reloads.failed++
	}
	a.mu.Unlock()
	if err != nil {
		a.log.Error("configuration refused; the old one goes on", "error", err)
	}
}

// reloaded returns what became of reloads so far.
func (a *Agent) reloaded() reloads {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reloads
}
