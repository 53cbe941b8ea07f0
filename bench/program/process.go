// Package program starts other people's programs and ours as users do, and
// measures what each takes of the machine. It promises that a program ends with
// the process that started it, that CPU time is all of its threads' by the
// kernel's own count, and that a failure tells what the program said last.
// Benchmarks against other programs call it.
package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a process has used since it started.
type Usage struct {
	Name string
	// CPU is user and system time of all threads, and of the programs that it
	// started and that have ended.
	CPU time.Duration
	// RSS is the most memory that was resident, bytes.
	RSS int64
}

// Process is a running program.
type Process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
	err  error         // then: how
}

// Start runs a program with its output in dir/NAME.log. It dies with this
// process, whatever that dies of.
func Start(dir, name, binary string, args ...string) (*Process, error) {
	p := &Process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
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

// Usage reads what the process has used until now.
func (p *Process) Usage() (Usage, error) {
	u := Usage{Name: p.name}
	select {
	case <-p.done:
		return u, p.Failure("it ended")
	default:
	}
	var err error
	if u.CPU, err = CPU(p.cmd.Process.Pid); err != nil {
		return u, fmt.Errorf("read CPU time of %s: %w", p.name, err)
	}
	children, err := childrenTime(p.cmd.Process.Pid)
	if err != nil {
		return u, fmt.Errorf("read CPU time of %s: %w", p.name, err)
	}
	u.CPU += children
	u.RSS, err = peak(p.cmd.Process.Pid)
	return u, err
}

// CPU is the user and system time of all threads of a process, whoever started
// it; not of programs that it started.
func CPU(pid int) (time.Duration, error) {
	var now unix.Timespec
	err := unix.ClockGettime(cpuClock(pid), &now)
	return time.Duration(now.Nano()), err
}

// Busy is the CPU time that all programs of the machine and its kernel have used
// since it started, to clockTick.
func Busy() (sum time.Duration, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, errors.New("/proc/stat has an unknown form")
	}
	for i, f := range fields[1:8] { // user, nice, system, idle, iowait, irq, softirq; see proc_stat(5)
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		if i != 3 && i != 4 {
			sum += time.Duration(n) * clockTick
		}
	}
	return sum, nil
}

// cpuClock is the clock of a process's CPU time, to the nanosecond, as
// clock_getcpuclockid(3) makes it: the figures in /proc count hundredths of a
// second, which is what an idle program takes in half a minute.
func cpuClock(pid int) int32 { return int32(^pid)<<3 | 2 }

// clockTick is the unit of CPU time in /proc/PID/stat (USER_HZ), which is 100 a
// second on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// childrenTime is the CPU time of a process's children that have ended, to
// clockTick, which is all that the kernel tells of them.
func childrenTime(pid int) (sum time.Duration, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 15 {
		return 0, errors.New("/proc has an unknown form")
	}
	for _, f := range fields[13:15] { // cutime and cstime, the 16th and 17th of all
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * clockTick
	}
	return sum, nil
}

// Resident is how much memory the process has resident, pages of its program's
// file included, bytes.
func (p *Process) Resident() (int64, error) {
	return field(fmt.Sprintf("/proc/%d/smaps_rollup", p.cmd.Process.Pid), "Rss:")
}

// Name is what it was started as.
func (p *Process) Name() string { return p.name }

// Dir is the folder that it runs in.
func (p *Process) Dir() string { return p.cmd.Dir }

// Args are its command line.
func (p *Process) Args() []string { return p.cmd.Args }

// Log is the file with its output.
func (p *Process) Log() string { return p.log }

// Done is closed when it has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// peak is the most memory that a process had resident.
func peak(pid int) (int64, error) {
	return field(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
}

// field reads a size in kB from a file of /proc.
func field(path, name string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), name)
	line, _, _ := strings.Cut(rest, "kB")
	kb, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return kb << 10, err
}

// Wait waits until the process has ended by itself, and returns what it used.
func (p *Process) Wait(ctx context.Context) (Usage, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Stop()
		return Usage{}, fmt.Errorf("%s did not end in time", p.name)
	}
	u := Usage{Name: p.name}
	if p.err != nil {
		return u, p.Failure("it failed")
	}
	s := p.cmd.ProcessState
	u.CPU = s.UserTime() + s.SystemTime()
	if r, ok := s.SysUsage().(*syscall.Rusage); ok {
		u.RSS = r.Maxrss << 10
	}
	return u, nil
}

// Stop ends the process, in good order if it can.
func (p *Process) Stop() {
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

// Failure is an error with what the process said last.
func (p *Process) Failure(what string) error {
	b, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s: %s: %v; it said at last:\n%s", p.name, what, p.err, b[max(0, len(b)-2000):])
}

// Until asks each 100 ms whether something holds, while the processes live.
func Until(ctx context.Context, what string, ps []*Process, holds func() (bool, error)) error {
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
				return p.Failure("it ended while we waited until " + what)
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
