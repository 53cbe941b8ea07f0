package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells systemd, where it started us, what the agent does. Outside of
// systemd it does nothing.
type notifier struct {
	log   *slog.Logger
	every time.Duration // between signs of life; 0 where nobody waits for them
	last  time.Time
	ready bool
}

func newNotifier(log *slog.Logger) *notifier {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog cannot be served", "error", err)
	}
	return &notifier{log: log, every: interval / 4}
}

// turned is called by the goroutine that makes frames: at first it says that
// the agent has started, then that it lives.
func (n *notifier) turned() {
	if !n.ready {
		n.ready = true
		n.tell(daemon.SdNotifyReady)
	}
	if n.every > 0 && time.Since(n.last) >= n.every {
		n.last = time.Now()
		n.tell(daemon.SdNotifyWatchdog)
	}
}

// reloading tells of a reload around it.
func (n *notifier) reloading(reload func() error) error {
	n.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	err := reload()
	status := "configuration in force"
	if err != nil {
		status = "configuration refused, the old one goes on; see the log"
	}
	n.tell(fmt.Sprintf("%s\nSTATUS=%s", daemon.SdNotifyReady, status))
	return err
}

func (n *notifier) stopping() { n.tell(daemon.SdNotifyStopping) }

func (n *notifier) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Debug("systemd cannot be told", "state", state, "error", err)
	}
}
