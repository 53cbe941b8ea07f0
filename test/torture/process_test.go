package torture

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is one program of the site, over any number of lives.
type process struct {
	name string
	make func() *exec.Cmd
	log  string

	cmd  *exec.Cmd
	in   io.WriteCloser
	done chan struct{}
	err  error
	want bool // it was told to end
}

// start begins a life. The child ends with this process: it reads an input that
// closes then, and the kernel kills it.
func (p *process) start() error {
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	p.cmd = p.make()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n--- %s starts %s ---\n", p.name, time.Now().Format(clockFormat))
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.done, p.want = make(chan struct{}), false
	cmd, done := p.cmd, p.done
	go func() {
		p.err = cmd.Wait()
		close(done)
	}()
	return nil
}

// ended tells whether the life is over.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return p.cmd == nil
	}
}

func (p *process) signal(s syscall.Signal) {
	if !p.ended() {
		p.cmd.Process.Signal(s)
	}
}

// end signals and waits; one that does not end by itself within limit is
// killed, which is an error.
func (p *process) end(s syscall.Signal, limit time.Duration) error {
	if p.ended() {
		return nil
	}
	p.want = true
	p.signal(s)
	select {
	case <-p.done:
		return nil
	case <-time.After(limit):
		p.signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("%s did not end within %s after %s", p.name, limit, s)
	}
}

// tell writes a command to the child's standard input.
func (p *process) tell(format string, args ...any) {
	fmt.Fprintf(p.in, format+"\n", args...) // a dead child takes none: the next life knows
}

// clean ends the process with the test, and shows its last words if that failed.
func (p *process) clean(t *testing.T) {
	t.Cleanup(func() {
		if p.cmd != nil {
			p.want = true
			p.signal(syscall.SIGCONT)
			p.signal(syscall.SIGKILL)
			<-p.done
		}
		if t.Failed() {
			text, _ := os.ReadFile(p.log)
			t.Logf("%s wrote at last:\n%s", p.name, tail(string(text), 15))
		}
	})
}

func tail(s string, lines int) string {
	all := strings.Split(s, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
