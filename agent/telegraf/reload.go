package telegraf

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/models"
)

// leaveAfter is how long a gather under way is waited for, at a stop and at a
// reload.
const leaveAfter = 2 * time.Second

// Change says what a reload does, by the names of the inputs.
type Change struct {
	// Kept inputs go on undisturbed: their settings are the same.
	Kept []string
	// Replaced ones go on under new settings, Added ones begin, Removed ones end.
	Replaced, Added, Removed []string
}

// Next is a prepared reload: Apply makes it so, Discard forgets it.
type Next struct {
	opt    Options
	inputs []*input // in the order in which they are shown
	absent []string
	fresh  []*input
	before map[*input]*input // fresh → the one it replaces
	gone   []*input
	change Change
}

// Change says what Apply will do.
func (n *Next) Change() Change { return n.change }

// Discard closes what was prepared.
func (n *Next) Discard() {
	for _, in := range n.fresh {
		in.stop()
	}
}

// Prepare loads the inputs of a changed configuration and initialises those
// that are new or changed. It changes nothing that runs. Clock, Sink and Log
// stay those of New.
func (s *Inputs) Prepare(opt Options) (*Next, error) {
	opt.Clock, opt.Sink, opt.Log = s.opt.Clock, s.opt.Sink, s.opt.Log
	opt.fill()
	loaded, err := Load(opt.Files, opt.Interval)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	old := slices.Clone(s.inputs)
	s.mu.Unlock()
	n := &Next{opt: opt, before: map[*input]*input{}}
	changed := n.keep(loaded, &old)
	if err := n.create(changed, old); err != nil {
		n.Discard()
		return nil, err
	}
	slices.SortStableFunc(n.inputs, byName)
	return n, nil
}

// keep takes over the running inputs whose settings stayed. It returns what is
// new, and leaves in old what is no longer wanted as it is.
func (n *Next) keep(loaded []*models.RunningInput, old *[]*input) (changed []*models.RunningInput) {
	for _, ri := range loaded {
		key := n.opt.key(ri)
		i := slices.IndexFunc(*old, func(in *input) bool { return in.key == key })
		if i < 0 {
			changed = append(changed, ri)
			continue
		}
		in := (*old)[i]
		*old = slices.Delete(*old, i, i+1)
		n.inputs = append(n.inputs, in)
		n.change.Kept = append(n.change.Kept, in.name)
	}
	return changed
}

// create initialises the inputs that are new or changed. One that replaces
// another of its plugin carries on its name.
func (n *Next) create(changed []*models.RunningInput, old []*input) error {
	used := map[string]bool{}
	for _, in := range n.inputs {
		used[in.name] = true
	}
	var errs []error
	for _, ri := range changed {
		if reason := missing(ri.Input); reason != "" {
			n.absent = append(n.absent, ri.Config.Name)
			continue
		}
		var before *input
		if i := slices.IndexFunc(old, func(in *input) bool { return baseName(in.ri) == baseName(ri) }); i >= 0 {
			before = old[i]
			old = slices.Delete(old, i, i+1)
			used[before.name] = true
		}
		name := ""
		if before != nil {
			name = before.name
		} else {
			name = uniqueName(ri, used)
		}
		in, err := newInput(ri, name, &n.opt)
		if why := absence(""); errors.As(err, &why) {
			n.absent = append(n.absent, ri.Config.Name)
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		n.add(in, before)
	}
	n.gone = old
	for _, in := range old {
		n.change.Removed = append(n.change.Removed, in.name)
	}
	return errors.Join(errs...)
}

func (n *Next) add(in, before *input) {
	n.inputs = append(n.inputs, in)
	n.fresh = append(n.fresh, in)
	if before == nil {
		n.change.Added = append(n.change.Added, in.name)
		return
	}
	n.before[in] = before
	n.change.Replaced = append(n.change.Replaced, in.name)
}

// Apply makes the prepared inputs those that run. Each changed input is
// replaced by itself, so that one that hangs delays no other.
func (s *Inputs) Apply(n *Next) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for in, before := range n.before {
		in.succeed(before)
	}
	s.inputs, s.absent = n.inputs, n.absent
	if s.ctx == nil { // Run has not begun
		for _, in := range n.gone {
			in.stop()
		}
		for _, before := range n.before {
			before.stop()
		}
		return
	}
	for _, in := range n.gone {
		in.cancel()
	}
	for _, in := range n.fresh {
		s.launch(in, n.before[in])
	}
}

// succeed goes on with what the input before it has counted.
func (in *input) succeed(before *input) {
	before.acc.mu.Lock()
	defer before.acc.mu.Unlock()
	in.turns = before.turns
	in.turns.errs.Add(before.acc.errs)
}

// launch starts an input, in the place of before where there is one. It does
// nothing after Run's end. The caller holds the lock.
func (s *Inputs) launch(in, before *input) {
	if s.ended || s.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	in.cancel = cancel
	s.crew.Go(func() {
		defer cancel()
		if before == nil {
			in.run(ctx, 0)
			return
		}
		in.prime()
		in.run(ctx, before.retire(ctx))
	})
}

// prime measures once and forgets it, while the input that is to be replaced
// still measures: what is a difference then has its beginning. Services wait
// for their turn, because two may not share a port or a process.
func (in *input) prime() {
	if _, service := in.ri.Input.(telegraf.ServiceInput); service {
		return
	}
	in.since.Store(time.Now().UnixNano())
	err := protect(func() error { return in.measure(in.opt.Clock()) })
	in.since.Store(0)
	if err != nil {
		in.log.Debug("first measurement of a changed input failed", "error", err)
	}
	clear(in.rounds)
	in.rounds = in.rounds[:0]
}

// retire ends an input at a boundary between two ticks and returns the last
// tick that it measured or counted as missed, 0 where it measured none.
func (in *input) retire(ctx context.Context) (last int64) {
	in.cancel()
	timer := time.NewTimer(leaveAfter)
	defer timer.Stop()
	select {
	case <-in.done:
	case <-ctx.Done():
	case <-timer.C:
		in.log.Warn("input left behind: its gather does not return; its successor begins", "seconds", leaveAfter.Seconds())
	}
	return in.tick.Load()
}

// key tells whether two inputs are the same: the plugin's own settings and all
// else that decides how it is run.
func (o *Options) key(ri *models.RunningInput) string {
	return fmt.Sprintf("%s %s %d %s", ri.Config.ID, ri.Config.Interval, o.maxSeries(), o.Variant)
}
