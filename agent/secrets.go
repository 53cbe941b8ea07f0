package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// hidden stands where a secret stood.
const hidden = "<hidden>"

// minHidden is the shortest text that is hidden: hiding "1" would hide all.
const minHidden = 4

var (
	// secretFile is how inputs name a file that holds a secret.
	secretFile = regexp.MustCompile(`\$\{file:([^}\n]+)\}`)
	// variable is how Telegraf's configuration names a variable.
	variable = regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)`)
	// secretName tells variables that hold secrets.
	secretName = regexp.MustCompile(`(?i)pass|secret|token|key|cred|auth|dsn`)
)

// secrets are what a configuration's inputs take from elsewhere and nobody may
// see.
type secrets struct {
	files  []string
	values []string
}

// fill puts the content of the files that ${file:PATH} names in their place, as
// it stands within a TOML string in double quotes. Comments are left alone.
func (s *secrets) fill(c *Config, name string, first int, text string) (string, error) {
	var errs []error
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, m := range variable.FindAllStringSubmatch(line, -1) {
			if secretName.MatchString(m[1]) {
				s.learn(os.Getenv(m[1]))
			}
		}
		lines[i] = secretFile.ReplaceAllStringFunc(line, func(m string) string {
			path := c.path(secretFile.FindStringSubmatch(m)[1])
			s.files = append(s.files, path)
			content, err := os.ReadFile(path)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s:%d:1: ${file:}: read secret: %w", name, max(first, 1)+i, err))
				return ""
			}
			value := strings.TrimRight(string(content), "\r\n")
			s.learn(value)
			return tomlText(value)
		})
	}
	return strings.Join(lines, ""), errors.Join(errs...)
}

func (s *secrets) learn(value string) {
	if len(value) < minHidden {
		return
	}
	quoted := inQuotes(value) // as errors show it
	for _, v := range []string{value, tomlText(value), quoted, inQuotes(quoted)} {
		if !slices.Contains(s.values, v) {
			s.values = append(s.values, v)
		}
	}
}

// inQuotes is what %q shows of a text, without its quotes.
func inQuotes(s string) string {
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// tomlText writes a value as part of a TOML string in double quotes, where
// Telegraf takes $$ for $.
func tomlText(v string) string {
	var b strings.Builder
	for _, r := range v {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '$':
			b.WriteString("$$")
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Hide puts a mark in the place of each of the secrets in a text.
func Hide(text string, values []string) string {
	for _, v := range values {
		text = strings.ReplaceAll(text, v, hidden)
	}
	return text
}

// hiddenError is an error whose text shows no secret.
type hiddenError struct{ text string }

// Error returns the text without secrets.
func (e hiddenError) Error() string { return e.text }

// hideIn returns an error that shows no secret.
func hideIn(err error, values []string) error {
	if err == nil || len(values) == 0 {
		return err
	}
	return hiddenError{text: Hide(err.Error(), values)}
}

// Secrets returns the texts that nothing may print: what the inputs take by
// ${file:PATH}, and by variables whose names say that they hold a secret.
func (c Config) Secrets() []string {
	_, s, err := c.inputFiles()
	if err != nil {
		return nil // what cannot be read is used nowhere
	}
	return s.values
}

// hidingLog keeps secrets out of a log, whoever writes to it.
type hidingLog struct {
	slog.Handler
	values *atomic.Pointer[[]string] // of the configuration in force
}

// Handle implements slog.Handler.
func (h hidingLog) Handle(ctx context.Context, r slog.Record) error {
	values := h.values.Load()
	if values == nil || len(*values) == 0 {
		return h.Handler.Handle(ctx, r)
	}
	clean := slog.NewRecord(r.Time, r.Level, Hide(r.Message, *values), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if text := a.Value.String(); Hide(text, *values) != text {
			a.Value = slog.StringValue(Hide(text, *values))
		}
		clean.AddAttrs(a)
		return true
	})
	return h.Handler.Handle(ctx, clean)
}

// WithAttrs implements slog.Handler.
func (h hidingLog) WithAttrs(as []slog.Attr) slog.Handler {
	return hidingLog{h.Handler.WithAttrs(as), h.values}
}

// WithGroup implements slog.Handler.
func (h hidingLog) WithGroup(name string) slog.Handler {
	return hidingLog{h.Handler.WithGroup(name), h.values}
}

// hiding returns a log that shows none of the values.
func hiding(log *slog.Logger, values *atomic.Pointer[[]string]) *slog.Logger {
	return slog.New(hidingLog{log.Handler(), values})
}
