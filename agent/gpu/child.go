package gpu

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

// peer is a worker at the other end of two pipes. One goroutine asks; answers
// come when they come.
type peer struct {
	in      io.WriteCloser
	answers chan Reading // closed when the worker has gone
	kill    func()
	asked   time.Time // when the question under way was put; zero where none is
	killed  bool
}

// startProcess starts a worker as a process of its own.
func startProcess(command []string) (*peer, error) {
	cmd := exec.Command(command[0], command[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start GPU worker: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start GPU worker: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start GPU worker: %w", err)
	}
	p := &peer{in: in, answers: make(chan Reading, 1), kill: func() { _ = cmd.Process.Kill() }}
	go func() {
		p.receive(out)
		_ = cmd.Wait()
		close(p.answers)
	}()
	return p, nil
}

// startHere starts a worker within this process. It cannot be killed.
func startHere(opt WorkerOptions) *peer {
	in, questions := io.Pipe()
	answers, out := io.Pipe()
	var once sync.Once
	stop := func() { once.Do(func() { _ = in.Close(); _ = answers.Close() }) }
	p := &peer{in: questions, answers: make(chan Reading, 1), kill: stop}
	go func() { _ = out.CloseWithError(Serve(in, out, opt)) }()
	go func() {
		p.receive(answers)
		stop()
		close(p.answers)
	}()
	return p
}

// receive hands over answers until the worker ends. At most one is under way.
func (p *peer) receive(out io.Reader) {
	dec := json.NewDecoder(bufio.NewReader(out))
	for {
		var r Reading
		if dec.Decode(&r) != nil {
			return
		}
		p.answers <- r
	}
}

// ask puts a question unless one is under way, and waits at most limit for the
// answer. gone says that there is no worker any more.
func (p *peer) ask(now time.Time, limit time.Duration) (r Reading, ok, gone bool) {
	if p.asked.IsZero() {
		p.asked = now
		if _, err := p.in.Write([]byte("poll\n")); err != nil {
			p.asked = time.Time{}
		}
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case r, ok = <-p.answers:
		p.asked = time.Time{}
		return r, ok, !ok
	case <-timer.C:
		return Reading{}, false, false
	}
}

// end lets the worker go: it ends at the end of its input, or is killed.
func (p *peer) end() {
	_ = p.in.Close()
	p.kill()
	p.killed = true
}
