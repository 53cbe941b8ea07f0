package kafka

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// undoer removes directories, mounts and namespaces when it is told to, and
// when this process dies without a word: it is a shell that reads what to do
// from a pipe and does it, last things first, when the pipe closes.
type undoer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

func newUndoer() (*undoer, error) {
	u := &undoer{cmd: exec.Command("sh", "-c", `trap "" INT TERM HUP; eval "$(tac)"`)}
	u.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the test
	var err error
	if u.in, err = u.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := u.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a shell that cleans up: %w", err)
	}
	return u, nil
}

// later notes a line of shell.
func (u *undoer) later(format string, args ...any) {
	fmt.Fprintf(u.in, format+"\n", args...) // it reads for as long as we live
}

// now does all of it; the second call does nothing.
func (u *undoer) now() error {
	if u.in == nil {
		return nil
	}
	u.in.Close()
	u.in = nil
	if err := u.cmd.Wait(); err != nil {
		return fmt.Errorf("clean up after Kafka: %w", err)
	}
	return nil
}
