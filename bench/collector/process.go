package collector

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of CPU time in /proc/PID/stat (USER_HZ), which is 100 a
// second on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// Usage is what a process has used since it started.
type Usage struct {
	Name string
	// CPU is user and system time of all threads.
	CPU time.Duration
	// RSS is the most memory that was resident, bytes.
	RSS int64
}

// process is a contestant's running program.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
	err  error         // then: how
}

// start runs a program with its output in dir/NAME.log. It dies with this
// process, whatever that dies of.
func start(dir, name, binary string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(binary, args...)
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// usage reads what the process has used until now.
func (p *process) usage() (Usage, error) {
	u := Usage{Name: p.name}
	select {
	case <-p.done:
		return u, p.failure("it ended")
	default:
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return u, err
	}
	_, rest, ok := bytes.Cut(stat, []byte(") "))
	fields := strings.Fields(string(rest))
	if !ok || len(fields) < 13 {
		return u, fmt.Errorf("read CPU time of %s: /proc has an unknown form", p.name)
	}
	for _, f := range fields[11:13] { // utime and stime, the 14th and 15th of all
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, fmt.Errorf("read CPU time of %s: %w", p.name, err)
		}
		u.CPU += time.Duration(n) * clockTick
	}
	u.RSS, err = peak(p.cmd.Process.Pid)
	return u, err
}

// peak is the most memory that a process had resident.
func peak(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	line, _, _ := strings.Cut(rest, "kB")
	kb, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return kb << 10, err
}

// wait waits until the process has ended by itself, and returns what it used.
func (p *process) wait(ctx context.Context) (Usage, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		p.stop()
		return Usage{}, fmt.Errorf("%s did not end in time", p.name)
	}
	u := Usage{Name: p.name}
	if p.err != nil {
		return u, p.failure("it failed")
	}
	s := p.cmd.ProcessState
	u.CPU = s.UserTime() + s.SystemTime()
	if r, ok := s.SysUsage().(*syscall.Rusage); ok {
		u.RSS = r.Maxrss << 10
	}
	return u, nil
}

// stop ends the process, in good order if it can.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// failure is an error with what the process said last.
func (p *process) failure(what string) error {
	b, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s: %s: %v; it said at last:\n%s", p.name, what, p.err, b[max(0, len(b)-2000):])
}

// until asks each 100 ms whether something holds, while the processes live.
func until(ctx context.Context, what string, ps []*process, holds func() (bool, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := holds()
		if ok && err == nil {
			return nil
		}
		for _, p := range ps {
			select {
			case <-p.done:
				return p.failure("it ended while we waited until " + what)
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w (last: %v)", what, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// ports returns free addresses on loopback.
func ports(n int) (out []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out, nil
}

// get returns what a URL answers with status 200.
func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return string(b), err
}

// metric returns the sum of a metric's series in Prometheus' text.
func metric(text, name string) (sum float64, found bool) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		i := strings.LastIndexByte(strings.TrimSpace(rest), ' ')
		if v, err := strconv.ParseFloat(strings.TrimSpace(rest[i+1:]), 64); err == nil {
			sum, found = sum+v, true
		}
	}
	return sum, found
}
