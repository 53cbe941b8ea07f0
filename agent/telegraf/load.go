package telegraf

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/models"
)

// File is one piece of Telegraf configuration.
type File struct {
	// Name is what errors call it, usually its path.
	Name string
	// Line is the line of Name at which Text begins; 0 means 1.
	Line int
	// Text is Telegraf's TOML.
	Text []byte
}

// Load parses the files and returns their inputs, sorted by name. Interval
// applies to inputs that set none. Global tags join the inputs' tags. Anything
// but inputs, global_tags and agent is an error, because an agent neither
// writes nor processes. Errors read file:line:1: path: reason.
func Load(files []File, interval time.Duration) ([]*models.RunningInput, error) {
	registerOwn()
	var (
		all  []*models.RunningInput
		errs []error
	)
	for _, f := range files {
		inputs, err := loadFile(f, interval)
		if err != nil {
			errs = append(errs, f.every(err, interval))
			continue
		}
		all = append(all, inputs...)
	}
	// Telegraf hands the inputs of a file over in random order.
	slices.SortStableFunc(all, func(a, b *models.RunningInput) int {
		return cmp.Or(cmp.Compare(a.Config.Name, b.Config.Name),
			cmp.Compare(a.Config.Alias, b.Config.Alias),
			cmp.Compare(a.Config.ID, b.Config.ID))
	})
	return all, errors.Join(errs...)
}

func loadFile(f File, interval time.Duration) ([]*models.RunningInput, error) {
	c := config.NewConfig()
	c.Agent.OmitHostname = true
	c.Agent.Interval = config.Duration(interval)
	if err := c.LoadConfigData(f.Text, f.Name); err != nil {
		return nil, f.position(err)
	}
	for kind, n := range map[string]int{
		"outputs": len(c.Outputs), "processors": len(c.Processors), "aggregators": len(c.Aggregators),
	} {
		if n > 0 {
			return nil, fmt.Errorf("%s:%d:1: %s: the agent runs inputs only; remove this section", f.Name, max(f.Line, 1), kind)
		}
	}
	for _, ri := range c.Inputs {
		if ri.Config.Interval <= 0 {
			ri.Config.Interval = time.Duration(c.Agent.Interval)
		}
		if ri.Config.Interval < time.Millisecond {
			return nil, fmt.Errorf("%s:%d:1: inputs.%s.interval: must be at least 1ms, got %s", f.Name, max(f.Line, 1), ri.Config.Name, ri.Config.Interval)
		}
		ri.SetDefaultTags(c.Tags)
	}
	return c.Inputs, nil
}

// every returns all the mistakes of a file whose first one is known: Telegraf
// stops there, so the sections are read one by one.
func (f File) every(first error, interval time.Duration) error {
	var errs []error
	for _, section := range f.sections() {
		if _, err := loadFile(section, interval); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return first
	}
	return errors.Join(errs...)
}

// sections cuts the text before every header of a plugin, and of what else
// stands at the top.
func (f File) sections() []File {
	var out []File
	start, quoted := 0, false
	lines := strings.SplitAfter(string(f.Text), "\n")
	cut := func(end int) {
		if text := strings.Join(lines[start:end], ""); strings.TrimSpace(text) != "" {
			out = append(out, File{Name: f.Name, Line: max(f.Line, 1) + start, Text: []byte(text)})
		}
		start = end
	}
	for i, line := range lines {
		if !quoted && tomlTop.MatchString(line) {
			cut(i)
		}
		if (strings.Count(line, `"""`)+strings.Count(line, "'''"))%2 == 1 {
			quoted = !quoted
		}
	}
	cut(len(lines))
	return out
}

var (
	tomlTop    = regexp.MustCompile(`^\s*(\[\[\s*\w+\.\w+\s*\]\]|\[\s*(agent|global_tags)\s*\])`)
	tomlLine   = regexp.MustCompile(`(?:configuration specified at )?\bline (\d+)(?:: |, )?`)
	tomlPlugin = regexp.MustCompile(`^(?:plugin ((?:inputs|outputs|processors|aggregators)\.\w+): |error parsing (\w+)(?: array)?, )`)
	tomlField  = regexp.MustCompile(`the fields \["([^"]+)"`)
	tomlKind   = regexp.MustCompile(`undefined but requested (\w+):`)
)

// position turns Telegraf's "plugin inputs.cpu: line 3: reason" into
// "file:3:1: inputs.cpu: reason", counting lines from where the text begins.
func (f File) position(err error) error {
	msg, line, path := err.Error(), 1, ""
	msg = strings.TrimPrefix(msg, "error parsing data: ")
	// Telegraf's "error parsing cpu array, " wraps the plugin's own words.
	for {
		m := tomlPlugin.FindStringSubmatch(msg)
		if m == nil {
			break
		}
		path = m[1]
		if path == "" {
			// Telegraf names the plugin here, and its kind only in some reasons.
			path = "inputs." + m[2]
			if k := tomlKind.FindStringSubmatch(msg); k != nil {
				path = k[1] + "s." + m[2]
			}
		}
		msg = msg[len(m[0]):]
	}
	if m := tomlLine.FindStringSubmatchIndex(msg); m != nil {
		line, _ = strconv.Atoi(msg[m[2]:m[3]])
		msg = msg[:m[0]] + msg[m[1]:]
	}
	// Telegraf names the line of the file's first input: look for the right one.
	if m := tomlField.FindStringSubmatch(msg); m != nil {
		line = f.find(path, m[1], line)
	} else if tomlKind.MatchString(msg) {
		line = f.find(path, "", line)
	}
	if f.Line > 1 {
		line += f.Line - 1
	}
	if path != "" {
		msg = path + ": " + msg
	}
	return fmt.Errorf("%s:%d:1: %s", f.Name, line, strings.TrimSpace(msg))
}

// find returns the line of a field within a plugin's tables, or of the table's
// header where field is empty; otherwise where there is none.
func (f File) find(path, field string, otherwise int) int {
	inside := false
	for i, line := range strings.Split(string(f.Text), "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			table := strings.Trim(line, "[] \t")
			inside = table == path || strings.HasPrefix(table, path+".")
			if inside && field == "" {
				return i + 1
			}
			continue
		}
		if key, _, ok := strings.Cut(line, "="); inside && ok && strings.Trim(key, " \t\"'") == field {
			return i + 1
		}
	}
	return otherwise
}
