package gpu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// tool is a program that is run again and again, never twice at a time: one that
// hangs in the driver cannot even be killed, and is left alone until it ends.
type tool struct {
	path string
	args []string
	done chan output // of the run under way; nil where none is
}

type output struct {
	data []byte
	err  error
}

// errStuck says that a program neither answers nor ends.
var errStuck = errors.New("no answer in time")

// run runs the program for at most limit. It is killed then; what does not die
// of it is stuck, and so is every run until it does.
func (t *tool) run(limit time.Duration) ([]byte, error) {
	if t.done != nil {
		select {
		case <-t.done: // of an earlier run: too old to be told
			t.done = nil
		default:
			return nil, errStuck
		}
	}
	done := make(chan output, 1)
	t.done = done
	go func() { done <- execute(t.path, t.args, limit) }()
	timer := time.NewTimer(limit + limit/4)
	defer timer.Stop()
	select {
	case o := <-done:
		t.done = nil
		return o.data, o.err
	case <-timer.C:
		return nil, errStuck
	}
}

func execute(path string, args []string, limit time.Duration) output {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = limit / 8
	out := &limited{}
	cmd.Stdout = out
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		err = errStuck
	case err != nil:
		// nvidia-smi says on its standard output why it fails.
		said, _, _ := strings.Cut(strings.TrimSpace(out.String()), "\n")
		err = fmt.Errorf("run %s: %w: %.200s", path, err, said)
	case out.over:
		err = fmt.Errorf("run %s: more than %d bytes of output", path, maxOutput)
	}
	return output{out.Bytes(), err}
}

// limited keeps as much as a tool may say.
type limited struct {
	bytes.Buffer
	over bool
}

// Write implements io.Writer.
func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > maxOutput {
		l.over = true
		return len(b), nil
	}
	return l.Buffer.Write(b)
}
