package probe

import (
	"context"
	"strings"
	"sync"

	"nines/agent/discovery"
)

// source is a running discovery and the targets it found last. It goes on over
// reloads as long as a job reads the same files, so that the last good targets
// of a broken file stay too.
type source struct {
	discovery *discovery.Discovery
	targets   []discovery.Target
	stop      context.CancelFunc
}

func sourceKey(j *job) string {
	return strings.Join([]string{j.Name, strings.Join(j.FileSD, "\x00"), strings.Join(j.HTTPSD, "\x00")}, "\x01")
}

// follow starts the discoveries that jobs need and are not running, and stops
// those that no job needs.
func (p *Prober) follow(ctx context.Context, wg *sync.WaitGroup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	needed := map[string]bool{}
	for _, j := range p.compiled.jobs {
		if len(j.FileSD)+len(j.HTTPSD) == 0 {
			continue
		}
		key := sourceKey(j)
		needed[key] = true
		if p.sources[key] == nil {
			p.start(ctx, wg, key, j)
		}
	}
	for key, s := range p.sources {
		if !needed[key] {
			s.stop()
			delete(p.sources, key)
		}
	}
}

func (p *Prober) start(ctx context.Context, wg *sync.WaitGroup, key string, j *job) {
	ctx, cancel := context.WithCancel(ctx)
	s := &source{stop: cancel}
	files := make([]string, len(j.FileSD))
	for i, f := range j.FileSD {
		files[i] = absolute(p.opt.Dir, f)
	}
	d, err := discovery.New(discovery.Options{
		Name: j.Name, Files: files, URLs: j.HTTPSD, Log: p.opt.Log, Metrics: p.opt.Metrics,
		OnChange: func(ts []discovery.Target) { p.setTargets(s, ts) },
	})
	if err != nil {
		// Validate checked what New checks; this is for what it may add.
		p.opt.Log.Error("read targets", "job", j.Name, "error", err)
		cancel()
		return
	}
	s.discovery = d
	p.sources[key] = s
	wg.Go(func() {
		defer cancel()
		_ = d.Run(ctx) // nil by contract
	})
}

func (p *Prober) setTargets(s *source, ts []discovery.Target) {
	p.mu.Lock()
	s.targets = ts
	p.mu.Unlock()
	p.notify()
}
