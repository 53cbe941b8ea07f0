package agent

import (
	"context"
	"fmt"
	"time"
)

// Once gathers every input, twice with a second between since some figures are
// differences, sends what the second gave, and the agent's own figures, and
// returns when it is acknowledged. It is called in the place of Run. What was
// not acknowledged when ctx ended is an error, and on disk where there is a
// spool.
func (a *Agent) Once(ctx context.Context) error {
	defer a.closeOwn()
	defer a.self.close()
	for _, r := range a.inputs.Once(ctx, time.Second) {
		if r.Err != nil {
			a.log.Warn("input fails; the others are sent", "input", r.Input, "error", r.Err)
		}
		for _, round := range r.Rounds {
			a.framer.Sink(round)
		}
	}
	a.framer.Sink(a.self.round(a.clock.Now()))
	a.flush()
	stopped := make(chan struct{})
	close(stopped)
	if err := a.deliver(ctx, stopped, make(chan struct{})); err != nil {
		return err
	}
	st := a.spool.Stats()
	if st.Frames > 0 {
		return fmt.Errorf("send frames: %d not acknowledged in time, %d of them wait on disk for the next process", st.Frames, st.DiskFrames)
	}
	a.log.Info("measured once; acknowledged", "frames", a.self.framesSent.Load(), "bytes", a.self.bytesSent.Load())
	return nil
}
