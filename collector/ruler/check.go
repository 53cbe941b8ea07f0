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

	"nines/internal/yamlconf"
)

// CheckPatterns does what CheckRules does with the files that the patterns of
// Config.Rules match.
func CheckPatterns(patterns []string) error {
	files, err := expandRules(patterns)
	if err != nil {
		return err
	}
	return CheckRules(files)
}

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
		if len(bad) == 0 {
			continue
		}
		doc, err := yamlconf.One(f, b)
		if err != nil {
			errs = append(errs, err) // not YAML: this error has the better place
			continue
		}
		for _, e := range bad {
			errs = append(errs, positioned(f, doc, e)...)
		}
	}
	return errors.Join(errs...)
}

var (
	hasPosition  = regexp.MustCompile(`^[1-9]\d*:\d+: `)
	noPosition   = regexp.MustCompile(`^0:0: (0:0: )?`)
	yamlLine     = regexp.MustCompile(`line (\d+): (.*)`)
	repeatedName = regexp.MustCompile(`groupname: "(.*)" is repeated`)
)

// positioned puts the file, line and column before an error. Prometheus knows
// them for what a rule says, not for what it lacks; the YAML library knows no
// column and collects several errors in one text.
func positioned(file string, doc *yamlconf.Doc, err error) []error {
	text := strings.TrimSpace(err.Error())
	if hasPosition.MatchString(text) {
		return []error{fmt.Errorf("%s:%s", file, text)}
	}
	text = noPosition.ReplaceAllString(text, "")
	var rule *rulefmt.Error
	if doc != nil && errors.As(err, &rule) {
		at := doc.Errorf(fmt.Sprintf("groups[%d].rules[%d]", groupIndex(doc, rule.Group, 0), rule.Rule-1), nil, "")
		return []error{fmt.Errorf("%s:%d:%d: %s", file, at.Line, at.Col, text)}
	}
	if m := repeatedName.FindStringSubmatch(text); m != nil && doc != nil {
		at := doc.Errorf(fmt.Sprintf("groups[%d].name", groupIndex(doc, m[1], 1)), nil, "")
		return []error{fmt.Errorf("%s:%d:%d: %s", file, at.Line, at.Col, text)}
	}
	if m := yamlLine.FindAllStringSubmatch(text, -1); m != nil {
		var out []error
		for _, l := range m {
			out = append(out, fmt.Errorf("%s:%s:1: %s", file, l[1], l[2]))
		}
		return out
	}
	return []error{fmt.Errorf("%s:1:1: %s", file, text)}
}

// groupIndex returns which group has the name, leaving out the first skip.
func groupIndex(doc *yamlconf.Doc, name string, skip int) int {
	for i := 0; doc.Has(fmt.Sprintf("groups[%d]", i)); i++ {
		if doc.Text(fmt.Sprintf("groups[%d].name", i)) != name {
			continue
		}
		if skip == 0 {
			return i
		}
		skip--
	}
	return 0
}
