//go:build unix

package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lockDir creates the directory if need be and takes it for this process. The
// lock ends with the process, whatever happens to it.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create broker data directory %s: %w", dir, rootCause(err))
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("write to broker data directory %s: %w", dir, rootCause(err))
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := os.ReadFile(path)
		_ = f.Close()
		return nil, fmt.Errorf("broker data directory %s is in use by process %s: stop it or choose another directory",
			dir, strings.TrimSpace(string(holder)))
	}
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if err == nil {
		_, err = f.WriteAt(pid, 0)
	}
	if err == nil {
		err = f.Truncate(int64(len(pid)))
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("write to broker data directory %s: %w", dir, rootCause(err))
	}
	return func() { _ = f.Close() }, nil
}
