package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"nines/test/ports"
)

// Node is one broker, which is a controller too, over any number of lives. Its
// methods are for one goroutine at a time.
type Node struct {
	c    *Cluster
	id   int
	dir  string
	host string
	// ports of clients, of brokers and of controllers.
	client, internal, controller int
	claims                       []*ports.Claim

	cmd   *exec.Cmd // nil while it does not run
	began int64     // where the log of this life begins
}

// Addr is where clients connect, the same over all lives.
func (n *Node) Addr() string { return net.JoinHostPort(n.host, strconv.Itoa(n.client)) }

// ID is the node's number in Kafka, from 1.
func (n *Node) ID() int { return n.id }

// DataDir is where the node keeps its logs.
func (n *Node) DataDir() string { return filepath.Join(n.dir, "disk", "data") }

// LogFile is what the node writes for people.
func (n *Node) LogFile() string { return filepath.Join(n.dir, "kafka.log") }

func (n *Node) create() error {
	disk := filepath.Join(n.dir, "disk")
	if err := os.MkdirAll(disk, 0o755); err != nil {
		return err
	}
	if size := n.c.o.DiskBytes; size > 0 {
		if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
			return fmt.Errorf("%w: mount a disk of %d bytes: %w", ErrAbsent, size, err)
		}
		n.c.undo.later("umount -l '%s'", disk)
	}
	for i, p := range []*int{&n.client, &n.internal, &n.controller} {
		if n.c.net != nil { // alone in its namespace
			*p = 9092 + i
			continue
		}
		claim, err := ports.Take(n.host)
		if err != nil {
			return err
		}
		*p, n.claims = claim.Port, append(n.claims, claim)
	}
	return nil
}

// release gives the node's ports back.
func (n *Node) release() {
	for _, c := range n.claims {
		c.Release()
	}
	n.claims = nil
}

// format prepares the storage, as Kafka's own tool does it.
func (n *Node) format() error {
	args := []string{"format", "-t", n.c.id, "-c", n.properties()}
	for _, s := range n.c.o.Security.scram() {
		args = append(args, "--add-scram", s)
	}
	cmd := n.c.in.command(context.Background(), "broker", []string{"-Xmx64m"}, "kafka.tools.StorageTool", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format the storage of node %d: %w: %s", n.id, err, out)
	}
	return nil
}

// Start begins another life and waits until the node serves clients.
func (n *Node) Start() error {
	if err := n.spawn(); err != nil {
		return err
	}
	return n.await(startLimit)
}

// Spawn is Start without the wait.
func (n *Node) Spawn() error { return n.spawn() }

func (n *Node) spawn() error {
	if n.Running() {
		return fmt.Errorf("start node %d: it runs", n.id)
	}
	out, err := os.OpenFile(n.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	st, err := out.Stat()
	if err != nil {
		return err
	}
	n.began = st.Size()
	cmd := n.Command()
	cmd.Stdout, cmd.Stderr = out, out
	// It dies with this process, whatever that dies of.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start node %d: %w", n.id, err)
	}
	n.cmd = cmd
	return nil
}

// Command is the program that is one life of the node, for harnesses that keep
// processes of their own; Start and what belongs to it must not be used then.
func (n *Node) Command() *exec.Cmd {
	flags := append([]string{"-Xms64m", "-Xmx256m", "-Dlog4j2.configurationFile=" + filepath.Join(n.dir, "log4j2.yaml"),
		"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=" + n.c.o.Security.OAuth.JWKS}, n.c.o.java...)
	cmd := n.c.in.command(context.Background(), "broker", flags, "kafka.Kafka", n.properties())
	if n.c.net != nil {
		return n.c.net.within(n.id-1, cmd)
	}
	return cmd
}

// await waits until this life serves.
func (n *Node) await(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for !strings.Contains(n.text(), "Kafka Server started") {
		if !n.Running() {
			return fmt.Errorf("node %d ended while it started", n.id)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("node %d does not serve after %s", n.id, limit)
		}
		time.Sleep(look)
	}
	return nil
}

// Running tells whether the node lives, paused or not.
func (n *Node) Running() bool {
	if n.cmd == nil {
		return false
	}
	var st syscall.WaitStatus
	pid, err := syscall.Wait4(n.cmd.Process.Pid, &st, syscall.WNOHANG, nil)
	if err == nil && pid == 0 {
		return true
	}
	_ = n.cmd.Process.Release() // it has been waited for
	n.cmd = nil
	return false
}

// Pid is the process of a running node, else 0.
func (n *Node) Pid() int {
	if !n.Running() {
		return 0
	}
	return n.cmd.Process.Pid
}

func (n *Node) signal(s syscall.Signal) {
	if n.Running() {
		_ = syscall.Kill(n.cmd.Process.Pid, s) // it may have ended since
	}
}

// Stop lets the node hand over its leaderships and end.
func (n *Node) Stop() error {
	n.signal(syscall.SIGCONT)
	n.signal(syscall.SIGTERM)
	if !n.ended(stopLimit) {
		n.Kill()
		return fmt.Errorf("node %d did not end within %s and was killed", n.id, stopLimit)
	}
	return nil
}

// Kill ends the node at once (kill -9).
func (n *Node) Kill() {
	n.signal(syscall.SIGKILL)
	n.ended(stopLimit)
}

func (n *Node) ended(limit time.Duration) bool {
	for deadline := time.Now().Add(limit); n.Running(); time.Sleep(look) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// Restart is Stop, then Start.
func (n *Node) Restart() error {
	if err := n.Stop(); err != nil {
		return err
	}
	return n.Start()
}

// Pause freezes the node: connections stay, nothing answers.
func (n *Node) Pause() {
	n.signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(stopLimit); n.Running() && !n.still() && time.Now().Before(deadline); {
		time.Sleep(look)
	}
}

// still tells whether every thread has stopped: on a busy machine some go on for
// a while after the signal was sent.
func (n *Node) still() bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", n.cmd.Process.Pid))
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if _, state, ok := strings.Cut(string(stat), ") "); err == nil && ok && state[0] != 'T' {
			return false
		}
	}
	return true
}

// Resume ends a pause.
func (n *Node) Resume() { n.signal(syscall.SIGCONT) }

// FillDisk takes all that is left of the node's own disk, which DiskBytes gave
// it; free gives it back.
func (n *Node) FillDisk() (free func() error, err error) {
	if n.c.o.DiskBytes == 0 {
		return nil, errors.New("fill a disk: the node has none of its own")
	}
	name := filepath.Join(n.dir, "disk", "ballast")
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for size := len(block); ; {
		if _, err := f.Write(block[:size]); err == nil {
			continue
		} else if !errors.Is(err, syscall.ENOSPC) {
			return nil, errors.Join(err, os.Remove(name))
		}
		if size = size / 16; size == 0 {
			return func() error { return os.Remove(name) }, nil
		}
	}
}

// Wipe empties the disk of a node that does not run, as if it were another.
// With the last copy of the data gone, a cluster of one begins anew.
func (n *Node) Wipe() error {
	if n.Running() {
		return fmt.Errorf("wipe node %d: it runs", n.id)
	}
	if err := os.RemoveAll(n.DataDir()); err != nil {
		return err
	}
	return n.format()
}

// text is what this life has logged.
func (n *Node) text() string {
	b, err := os.ReadFile(n.LogFile())
	if err != nil || int64(len(b)) < n.began {
		return ""
	}
	return string(b[n.began:])
}

// tail is the end of the log.
func (n *Node) tail(lines int) string {
	b, err := os.ReadFile(n.LogFile())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
