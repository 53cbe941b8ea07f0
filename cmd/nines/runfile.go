package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// running tells the other commands how to reach the process that runs on a data
// directory. Passwords are not in it.
type running struct {
	PID     int      `json:"pid"`
	Listen  string   `json:"listen"`
	Brokers []string `json:"brokers"`
}

func runFile(dataDir string) string { return filepath.Join(dataDir, "running.json") }

func writeRunFile(cfg *Config) error {
	b, err := json.Marshal(running{PID: os.Getpid(), Listen: cfg.Web.Listen, Brokers: cfg.Kafka.Brokers})
	if err != nil {
		return err
	}
	if err := os.WriteFile(runFile(cfg.DataDir), append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write to data directory: %w", err)
	}
	return nil
}

func readRunFile(dataDir string) (running, error) {
	var r running
	b, err := os.ReadFile(runFile(dataDir))
	if errors.Is(err, os.ErrNotExist) {
		return r, fmt.Errorf("nothing runs on data directory %s: start `nines up`, or name another with --data-dir", dataDir)
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("read %s: %w; a running nines writes it anew when it starts", runFile(dataDir), err)
	}
	if !alive(r.PID) {
		return r, fmt.Errorf("nothing runs on data directory %s: process %d of the last run is gone; start `nines up`, or name another with --data-dir", dataDir, r.PID)
	}
	return r, nil
}

// alive tells whether a process exists.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil || pid <= 0 {
		return false
	}
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}
