package telegraf

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/logger"
)

// tame makes tameLogging work once: what it sets is global in Telegraf.
var tame sync.Once

// tameLogging undoes what importing Telegraf's logger does to a process: it
// takes over the standard logger and keeps every line in memory until Telegraf's
// agent, which never comes here, sets up a sink.
func tameLogging(l *slog.Logger) {
	tame.Do(func() {
		log.SetOutput(os.Stderr)
		log.SetFlags(log.LstdFlags)
		logger.RedirectLogging(telegrafLines{&pluginLog{log: l}})
	})
}

// telegrafLines takes what Telegraf's own code, not its plugins, has to say.
type telegrafLines struct{ to *pluginLog }

// Write implements io.Writer.
func (t telegrafLines) Write(b []byte) (int, error) {
	t.to.print(slog.LevelInfo, strings.TrimSpace(string(b)))
	return len(b), nil
}

// pluginLog gives plugins the agent's logger. A plugin that repeats itself is
// heard once a minute, so that no input can flood the log.
type pluginLog struct {
	log *slog.Logger

	mu   sync.Mutex
	last map[string]time.Time
}

const repeatAfter = time.Minute

func (p *pluginLog) print(level slog.Level, msg string) {
	if !p.log.Enabled(context.Background(), level) || p.repeated(msg) {
		return
	}
	p.log.Log(context.Background(), level, msg)
}

func (p *pluginLog) repeated(msg string) bool {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if t, ok := p.last[msg]; ok && now.Sub(t) < repeatAfter {
		return true
	}
	if p.last == nil || len(p.last) > 100 {
		p.last = map[string]time.Time{}
	}
	p.last[msg] = now
	return false
}

// Level implements telegraf.Logger, as do the methods below.
func (p *pluginLog) Level() telegraf.LogLevel {
	switch {
	case p.log.Enabled(context.Background(), slog.LevelDebug):
		return telegraf.Debug
	case p.log.Enabled(context.Background(), slog.LevelInfo):
		return telegraf.Info
	}
	return telegraf.Warn
}

// AddAttribute is not needed: the logger names the input.
func (p *pluginLog) AddAttribute(string, any) {}

// Errorf logs a warning: a failing input is not a failing agent.
func (p *pluginLog) Errorf(f string, a ...any) { p.print(slog.LevelWarn, fmt.Sprintf(f, a...)) }

// Error logs a warning.
func (p *pluginLog) Error(a ...any) { p.print(slog.LevelWarn, fmt.Sprint(a...)) }

// Warnf logs a warning.
func (p *pluginLog) Warnf(f string, a ...any) { p.print(slog.LevelWarn, fmt.Sprintf(f, a...)) }

// Warn logs a warning.
func (p *pluginLog) Warn(a ...any) { p.print(slog.LevelWarn, fmt.Sprint(a...)) }

// Infof logs information.
func (p *pluginLog) Infof(f string, a ...any) { p.print(slog.LevelInfo, fmt.Sprintf(f, a...)) }

// Info logs information.
func (p *pluginLog) Info(a ...any) { p.print(slog.LevelInfo, fmt.Sprint(a...)) }

// Debugf logs details.
func (p *pluginLog) Debugf(f string, a ...any) { p.print(slog.LevelDebug, fmt.Sprintf(f, a...)) }

// Debug logs details.
func (p *pluginLog) Debug(a ...any) { p.print(slog.LevelDebug, fmt.Sprint(a...)) }

// Tracef is dropped.
func (p *pluginLog) Tracef(string, ...any) {}

// Trace is dropped.
func (p *pluginLog) Trace(...any) {}
