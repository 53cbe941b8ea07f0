package ruler

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
)

// CheckRules reads Prometheus rule files and reports every error in all of
// them, each as file:line:col: reason.
func CheckRules(files []string) error {
	var errs []error
	p := newParser()
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("read rules: %w", err))
			continue
		}
		_, bad := rulefmt.Parse(b, false, model.UTF8Validation, p, slog.New(slog.DiscardHandler))
		for _, e := range bad {
			errs = append(errs, positioned(f, e)...)
		}
	}
	return errors.Join(errs...)
}

var (
	startsWithPosition = regexp.MustCompile(`^\d+:\d+: `)
	yamlLine           = regexp.MustCompile(`line (\d+): (.*)`)
)

// positioned puts the file before the error's line and column. The YAML library
// knows no column and collects several errors in one text; errors about a map
// have no position at all and are reported at the start of the file.
func positioned(file string, err error) []error {
	text := err.Error()
	if startsWithPosition.MatchString(text) {
		return []error{fmt.Errorf("%s:%s", file, text)}
	}
	if m := yamlLine.FindAllStringSubmatch(text, -1); m != nil {
		var out []error
		for _, l := range m {
			out = append(out, fmt.Errorf("%s:%s:1: %s", file, l[1], l[2]))
		}
		return out
	}
	return []error{fmt.Errorf("%s:1:1: %s", file, strings.TrimSpace(text))}
}
