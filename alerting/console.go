package alerting

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/common/model"
)

// consoleName is the integration's name, and the name of the receiver that gets
// it even when no console is always on.
const consoleName = "console"

// console prints a line when an alert starts or ends. It is shared by all
// receivers, so an alert that goes to several is printed once.
type console struct {
	w   io.Writer
	now func() time.Time

	mu    sync.Mutex
	shown map[model.Fingerprint]bool // how it was last printed: true as firing
}

func newConsole(w io.Writer) *console {
	return &console{w: w, now: time.Now, shown: map[model.Fingerprint]bool{}}
}

// integration returns the console as a channel of a receiver.
func (c *console) integration(receiver string) notify.Integration {
	return notify.NewIntegration(c, always{}, consoleName, 0, receiver)
}

// always sends resolved notices.
type always struct{}

func (always) SendResolved() bool { return true }

// Notify implements notify.Notifier.
func (c *console) Notify(_ context.Context, alerts ...*amalert.Alert) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range alerts {
		firing := !a.Resolved()
		was, known := c.shown[a.Fingerprint()]
		if known && was == firing {
			continue
		}
		if len(c.shown) > 10_000 {
			maps.DeleteFunc(c.shown, func(_ model.Fingerprint, firing bool) bool { return !firing })
		}
		c.shown[a.Fingerprint()] = firing
		if _, err := io.WriteString(c.w, c.line(a, firing)); err != nil {
			return true, fmt.Errorf("print alert: %w", err)
		}
	}
	return false, nil
}

// line is e.g. "12:04:31 PAGE firing ConfirmedDown region=eu-1 target=api: api is down".
func (c *console) line(a *amalert.Alert, firing bool) string {
	var b strings.Builder
	state := "firing"
	if !firing {
		state = "resolved"
	}
	severity := strings.ToUpper(string(a.Labels["severity"]))
	if severity == "" {
		severity = "ALERT"
	}
	fmt.Fprintf(&b, "%s %s %s %s", c.now().Format(time.TimeOnly), severity, state, a.Name())
	for _, n := range slices.Sorted(maps.Keys(a.Labels)) {
		if n != model.AlertNameLabel && n != "severity" && n != "kind" {
			fmt.Fprintf(&b, " %s=%s", n, oneLine(string(a.Labels[n])))
		}
	}
	if s := a.Annotations["summary"]; s != "" {
		b.WriteString(": " + oneLine(string(s)))
	}
	b.WriteByte('\n')
	return b.String()
}

// oneLine keeps a value from moving the cursor or breaking the line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
