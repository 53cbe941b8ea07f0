// Package service runs the parts of a program as one: it starts them in order,
// stops them in reverse order, and answers for their health and their reload.
//
// It promises that Run returns only when every part has returned or has used up
// its grace, that the first part to fail is named and stops the others, and
// that a part is stopped only after everything that was started after it, so
// that a part may rely on those added before it. The programs in cmd call it.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Part is one long-running piece of a program.
type Part struct {
	// Name appears in logs, errors and health.
	Name string
	// Run blocks until ctx ends or the part cannot go on. Returning nil before
	// ctx ends means that the part has nothing left to do.
	Run func(ctx context.Context) error
	// Health returns nil when the part works. Nil means that running is enough.
	Health func() error
	// Reload takes up a changed configuration, or returns an error and keeps
	// the last good one. Nil means that there is nothing to reload.
	Reload func(ctx context.Context) error
	// CheckReload tells what Reload would refuse and changes nothing. Where any
	// part refuses, none is reloaded. Its error names the file. Nil means that
	// there is nothing to check.
	CheckReload func(ctx context.Context) error
	// Grace is how long the part may take to stop; 0 means 2 s.
	Grace time.Duration
}

const defaultGrace = 2 * time.Second

// Options may have a nil Log.
type Options struct {
	Log *slog.Logger
}

// Group is a set of parts. Add all of them before Run; the other methods are
// safe at any time.
type Group struct {
	log       *slog.Logger
	reloading sync.Mutex

	mu    sync.Mutex
	parts []*running
}

// running is a part and what became of it.
type running struct {
	Part
	cancel  context.CancelFunc
	done    chan struct{} // closed when Run has returned
	started bool
	ended   bool
	err     error // with ended
}

// New returns an empty group.
func New(o Options) *Group {
	g := &Group{log: o.Log}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	return g
}

// Add appends a part. Parts start in the order in which they are added.
func (g *Group) Add(p Part) {
	if p.Grace == 0 {
		p.Grace = defaultGrace
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.parts = append(g.parts, &running{Part: p, done: make(chan struct{})})
}

// Run starts every part and blocks until ctx ends or one fails. Then it stops
// them one by one, the last first. It returns the first failure, with the name
// of the part, or nil. A part's context does not end with ctx but when its turn
// to stop has come.
func (g *Group) Run(ctx context.Context) error {
	parts := g.all()
	failed := make(chan struct{}, len(parts))
	for _, p := range parts {
		g.start(context.WithoutCancel(ctx), p, failed)
	}
	select {
	case <-ctx.Done():
	case <-failed:
	}
	first := g.failure(parts)
	for i := len(parts) - 1; i >= 0; i-- {
		g.stop(parts[i])
	}
	if first == nil {
		first = g.failure(parts)
	}
	return first
}

func (g *Group) all() []*running {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]*running(nil), g.parts...)
}

func (g *Group) start(ctx context.Context, p *running, failed chan<- struct{}) {
	pctx, cancel := context.WithCancel(ctx)
	g.mu.Lock()
	p.cancel, p.started = cancel, true
	g.mu.Unlock()
	go func() {
		err := p.Run(pctx)
		if pctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = nil // stopped as asked
		}
		g.mu.Lock()
		p.ended, p.err = true, err
		g.mu.Unlock()
		if err != nil {
			g.log.Error("part failed", "part", p.Name, "err", err)
			failed <- struct{}{}
		}
		close(p.done)
	}()
}

// stop ends a part's context and waits for it, but not for ever.
func (g *Group) stop(p *running) {
	p.cancel()
	t := time.NewTimer(p.Grace)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		g.log.Warn("part does not stop, going on without it", "part", p.Name, "grace", p.Grace)
	}
}

// failure returns the error of a part that failed, in the order of the parts.
func (g *Group) failure(parts []*running) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range parts {
		if p.ended && p.err != nil {
			return fmt.Errorf("%s: %w", p.Name, p.err)
		}
	}
	return nil
}

// Health returns each part's health by name, nil for a healthy one. A part that
// is not running is not healthy.
func (g *Group) Health() map[string]error {
	out := map[string]error{}
	for _, p := range g.all() {
		out[p.Name] = g.health(p)
	}
	return out
}

func (g *Group) health(p *running) error {
	g.mu.Lock()
	started, ended, err := p.started, p.ended, p.err
	g.mu.Unlock()
	switch {
	case !started:
		return errors.New("not started")
	case ended && err != nil:
		return err
	case ended:
		return errors.New("has stopped")
	case p.Health != nil:
		return p.Health()
	}
	return nil
}

// Reload checks every part's new configuration and, where all of it is right,
// reloads every part. It joins the errors: those of a check as they are, since
// they name files, those of a reload with their part's name. After a failed
// check every part works as before.
func (g *Group) Reload(ctx context.Context) error {
	g.reloading.Lock() // two at once would mix what each of them read
	defer g.reloading.Unlock()
	parts := g.all()
	var errs []error
	for _, p := range parts {
		if p.CheckReload != nil {
			errs = append(errs, p.CheckReload(ctx))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, p := range parts {
		if p.Reload == nil {
			continue
		}
		if err := p.Reload(ctx); err != nil {
			errs = append(errs, fmt.Errorf("reload %s: %w", p.Name, err))
		}
	}
	return errors.Join(errs...)
}
