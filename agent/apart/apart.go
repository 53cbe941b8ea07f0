// Package apart runs calls that may hang, such as statfs of a dead mount or a
// question to a broken driver, each on a goroutine of its own. It promises that
// the caller waits for a bounded time, that a call which hangs is not begun
// again before it has returned, and that a panic in a call is its error. The
// readers of package agent's inputs use it.
package apart

import (
	"fmt"
	"runtime/debug"
	"time"
)

// Call is one thing that is done again and again, and may hang. Its methods
// belong to one goroutine; what it does runs on another.
type Call struct {
	do    func() error
	begin chan struct{}
	done  chan error
	busy  bool
	since time.Time
	err   error
	open  bool
}

// New returns a call of do, which is first made by a Group. What do writes is
// the caller's to read while Stuck is 0.
func New(do func() error) *Call {
	return &Call{do: do, begin: make(chan struct{}), done: make(chan error, 1)}
}

// Stuck returns how long the call under way has lasted by now, 0 where it has
// returned.
func (c *Call) Stuck(now time.Time) time.Duration {
	if !c.busy {
		return 0
	}
	return max(now.Sub(c.since), 1)
}

// Err returns what the last finished call returned.
func (c *Call) Err() error { return c.err }

// Close ends the goroutine once its call has returned, at once where none is
// under way. The call is not used afterwards.
func (c *Call) Close() {
	if c.open {
		close(c.begin)
		c.open = false
	}
}

func (c *Call) start(now time.Time) {
	if c.busy && !c.poll() {
		return
	}
	if !c.open {
		c.open = true
		go c.work()
	}
	c.busy, c.since = true, now
	c.begin <- struct{}{}
}

func (c *Call) work() {
	for range c.begin {
		c.done <- protect(c.do)
	}
}

// poll takes the result if the call has returned.
func (c *Call) poll() bool {
	select {
	case c.err = <-c.done:
		c.busy = false
	default:
	}
	return !c.busy
}

// Group makes calls together. It belongs to one goroutine.
type Group struct{ timer *time.Timer }

// Do makes all the calls at once and returns when they have returned, or after
// limit: then those that have not are Stuck. A call that hung before and has
// returned since is made anew.
func (g *Group) Do(calls []*Call, limit time.Duration) {
	now := time.Now()
	for _, c := range calls {
		c.start(now)
	}
	if g.timer == nil {
		g.timer = time.NewTimer(limit)
	} else {
		g.timer.Reset(limit)
	}
	defer g.timer.Stop()
	for i, c := range calls {
		if !c.busy {
			continue
		}
		select {
		case c.err = <-c.done:
			c.busy = false
		case <-g.timer.C:
			for _, c := range calls[i:] {
				if c.busy {
					c.poll()
				}
			}
			return
		}
	}
}

// protect turns a panic into an error.
func protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
