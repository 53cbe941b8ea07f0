package alerting

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"nines/internal/yamlconf"
)

var (
	yamlLine   = regexp.MustCompile(`line (\d+): (.*)`)
	undefined  = regexp.MustCompile(`undefined (receiver|time interval) "(.*)" used in route`)
	repeatedAt = regexp.MustCompile(`(notification config name|mute time interval|time interval) "(.*)" is not unique`)
)

// positioned turns the YAML library's errors, which know lines but no columns,
// into file:line:col, and finds the place of those that Alertmanager's own
// checks report without one.
func positioned(file string, err error) error {
	text := strings.TrimSpace(err.Error())
	lines := yamlLine.FindAllStringSubmatch(text, -1)
	if lines == nil {
		return place(file, blamed(file, text), text)
	}
	var errs []error
	for _, l := range lines {
		errs = append(errs, fmt.Errorf("%s:%s:1: %s", file, l[1], l[2]))
	}
	return errors.Join(errs...)
}

// place returns the text as an error at a path of the file, at its beginning
// where that is not known.
func place(file, path, text string) error {
	doc := open(file)
	if doc == nil {
		return fmt.Errorf("%s:1:1: %s", file, text)
	}
	return doc.Errorf(path, nil, "%s", text)
}

// open returns the file's document, nil where it has none.
func open(file string) *yamlconf.Doc {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	doc, err := yamlconf.One(file, data)
	if err != nil {
		return nil
	}
	return doc
}

// blamed returns the path that one of Alertmanager's own checks is about, "" for
// the whole file.
func blamed(file, text string) string {
	doc := open(file)
	if doc == nil {
		return ""
	}
	if m := undefined.FindStringSubmatch(text); m != nil {
		return usedIn(doc, "route", m[1], m[2])
	}
	if m := repeatedAt.FindStringSubmatch(text); m != nil {
		list := map[string]string{"notification config name": "receivers", "mute time interval": "mute_time_intervals", "time interval": "time_intervals"}[m[1]]
		return named(doc, list, m[2], 1)
	}
	if strings.HasPrefix(text, "root route") {
		return "route"
	}
	return ""
}

// usedIn returns the first place below a route where a receiver or a time
// interval is used, "" if there is none.
func usedIn(doc *yamlconf.Doc, route, kind, name string) string {
	if kind == "receiver" && doc.Text(route+".receiver") == name {
		return route + ".receiver"
	}
	for _, list := range []string{"mute_time_intervals", "active_time_intervals"} {
		for i := 0; kind != "receiver" && doc.Has(fmt.Sprintf("%s.%s[%d]", route, list, i)); i++ {
			if path := fmt.Sprintf("%s.%s[%d]", route, list, i); doc.Text(path) == name {
				return path
			}
		}
	}
	for i := 0; doc.Has(fmt.Sprintf("%s.routes[%d]", route, i)); i++ {
		if path := usedIn(doc, fmt.Sprintf("%s.routes[%d]", route, i), kind, name); path != "" {
			return path
		}
	}
	return ""
}

// named returns the item of a list that has the name, leaving out the first
// skip of them.
func named(doc *yamlconf.Doc, list, name string, skip int) string {
	for i := 0; doc.Has(fmt.Sprintf("%s[%d]", list, i)); i++ {
		path := fmt.Sprintf("%s[%d].name", list, i)
		if doc.Text(path) != name {
			continue
		}
		if skip == 0 {
			return path
		}
		skip--
	}
	return list
}
