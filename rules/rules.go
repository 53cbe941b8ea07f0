// Package rules reads what people promise: OpenSLO v1 objectives and nines/v1
// contracts (kind SLA) become the streams, objectives and contracts that
// aggregate, evaluate and the statement run. It promises that every mistake of
// all files is reported at once with its position, that what is not supported is
// refused by name instead of ignored, and that a set is returned whole or not at
// all. cmd calls Load at start and at each reload, and CheckFiles for nines
// check.
package rules

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/yamlconf"
)

// Set is everything that a list of files promises.
type Set struct {
	// RuleSet is what the pipeline judges by; it carries the contracts too.
	RuleSet *slo.RuleSet
	// Contracts in order of their names.
	Contracts []*sla.Contract
	// PrometheusFiles are the files among those loaded that hold Prometheus
	// rules; the ruler reads them.
	PrometheusFiles []string
	// Warnings are what was accepted and probably not meant.
	Warnings yamlconf.Errors
}

// Source is one file, read.
type Source struct {
	Name string
	Data []byte
}

// Load reads files, folders (their *.yaml, *.yml and *.json, not deeper) and
// globs, and compiles them together. Mistakes are returned as yamlconf.Errors.
func Load(paths []string) (*Set, error) {
	sources, err := read(paths)
	if err != nil {
		return nil, err
	}
	return Compile(sources)
}

// LoadFS does what Load does within a file system, such as embedded files.
func LoadFS(fsys fs.FS, globs ...string) (*Set, error) {
	var sources []Source
	for _, g := range globs {
		names, err := fs.Glob(fsys, g)
		if err != nil {
			return nil, fmt.Errorf("read rules %s: %w", g, err)
		}
		for _, name := range names {
			data, err := fs.ReadFile(fsys, name)
			if err != nil {
				return nil, fmt.Errorf("read rules %s: %w", name, err)
			}
			sources = append(sources, Source{name, data})
		}
	}
	return Compile(sources)
}

// CheckFiles returns every mistake in the files, none if they can be loaded
// together.
func CheckFiles(paths []string) yamlconf.Errors {
	_, err := Load(paths)
	return yamlconf.Errors(nil).Append(strings.Join(paths, " "), err).Sorted()
}

func read(paths []string) ([]Source, error) {
	var sources []Source
	seen := map[string]bool{}
	for _, p := range paths {
		files, err := expand(p)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if seen[filepath.Clean(f)] {
				continue
			}
			seen[filepath.Clean(f)] = true
			data, err := os.ReadFile(f)
			if err != nil {
				return nil, fmt.Errorf("read rules: %w", err)
			}
			sources = append(sources, Source{f, data})
		}
	}
	return sources, nil
}

// expand returns the files that a path means.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return []string{path}, nil
	case err == nil:
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		var files []string
		for _, e := range entries {
			if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
		return files, nil
	case !strings.ContainsAny(path, "*?["):
		return nil, fmt.Errorf("read rules: %w", err)
	}
	files, err := filepath.Glob(path)
	if err != nil {
		return nil, fmt.Errorf("read rules %s: %w", path, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("read rules %s: no file matches", path)
	}
	return files, nil
}

// Compile compiles files that are already read.
func Compile(sources []Source) (*Set, error) {
	c := newCompiler()
	for _, s := range sources {
		c.file(s)
	}
	c.objectives()
	c.unusedAlerts()
	c.contracts()
	if err := c.errs.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(c.set.Contracts, func(a, b *sla.Contract) int { return strings.Compare(a.Name, b.Name) })
	c.set.Warnings = c.set.Warnings.Sorted()
	return c.set, nil
}

// compiler collects documents first, so that references work in any order.
type compiler struct {
	set  *Set
	errs yamlconf.Errors

	slos        []*document[sloSpec]
	slas        []*document[slaSpec]
	slis        map[string]*document[sliSpec]
	dataSources map[string]*document[dataSourceSpec]
	texts       map[string]string // by file
	names       map[string]bool   // kind/name of every document
	bases       map[string]*base  // by objective name, for contracts

	policies   map[string]*document[alertPolicySpec]
	conditions map[string]*document[conditionSpec]
	notified   map[string]*document[targetSpec]
	usedAlerts map[string]bool // kind/name of those that some SLO leads to
}

func newCompiler() *compiler {
	return &compiler{
		set:  &Set{RuleSet: &slo.RuleSet{Streams: map[string]*slo.Stream{}}},
		slis: map[string]*document[sliSpec]{}, dataSources: map[string]*document[dataSourceSpec]{},
		texts: map[string]string{}, names: map[string]bool{}, bases: map[string]*base{},
		policies: map[string]*document[alertPolicySpec]{}, conditions: map[string]*document[conditionSpec]{},
		notified: map[string]*document[targetSpec]{}, usedAlerts: map[string]bool{},
	}
}

// document is a decoded document with its positions.
type document[T any] struct {
	doc        *yamlconf.Doc
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   meta   `yaml:"metadata"`
	Spec       T      `yaml:"spec"`
}

type meta struct {
	Name        string            `yaml:"name"`
	DisplayName string            `yaml:"displayName"`
	Labels      map[string]any    `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func (c *compiler) fail(d *yamlconf.Doc, path string, got any, format string, args ...any) {
	c.errs = append(c.errs, d.Errorf(path, got, format, args...))
}

func (c *compiler) warn(d *yamlconf.Doc, path string, got any, format string, args ...any) {
	c.set.Warnings = append(c.set.Warnings, d.Errorf(path, got, format, args...))
}

// file sorts the documents of one file by their kinds.
func (c *compiler) file(s Source) {
	c.texts[s.Name] = string(s.Data)
	docs, err := yamlconf.Parse(s.Name, s.Data)
	if err != nil {
		c.errs = c.errs.Append(s.Name, err)
		return
	}
	for _, doc := range docs {
		for _, d := range doc.Items() {
			c.document(d)
		}
	}
}

func (c *compiler) document(d *yamlconf.Doc) {
	version, kind := d.Text("apiVersion"), d.Text("kind")
	switch {
	case version == "openslo/v1":
		c.openSLO(d, kind)
	case version == "nines/v1" && kind == "SLA":
		if s := decode[slaSpec](c, d); s != nil {
			c.slas = append(c.slas, s)
		}
	case version == "nines/v1":
		c.fail(d, "kind", kind, "unknown kind; nines/v1 has SLA")
	case strings.HasPrefix(version, "openslo"):
		c.fail(d, "apiVersion", version, "this version of OpenSLO is not supported; convert the document to openslo/v1")
	case version == "" && d.Has("groups"):
		if !slices.Contains(c.set.PrometheusFiles, d.File()) {
			c.set.PrometheusFiles = append(c.set.PrometheusFiles, d.File())
		}
	default:
		c.fail(d, "apiVersion", version, "want openslo/v1 or nines/v1 (or a Prometheus rule file, which has groups)")
	}
}

func (c *compiler) openSLO(d *yamlconf.Doc, kind string) {
	switch kind {
	case "SLO":
		if s := decode[sloSpec](c, d); s != nil {
			c.slos = append(c.slos, s)
		}
	case "SLI":
		if s := decode[sliSpec](c, d); s != nil {
			c.slis[s.Metadata.Name] = s
		}
	case "DataSource":
		if s := decode[dataSourceSpec](c, d); s != nil {
			c.dataSources[s.Metadata.Name] = s
		}
	case "Service":
		decode[serviceSpec](c, d)
	case "AlertPolicy":
		if s := decode[alertPolicySpec](c, d); s != nil {
			c.policies[s.Metadata.Name] = s
		}
	case "AlertCondition":
		if s := decode[conditionSpec](c, d); s != nil {
			c.conditions[s.Metadata.Name] = s
		}
	case "AlertNotificationTarget":
		if s := decode[targetSpec](c, d); s != nil {
			c.notified[s.Metadata.Name] = s
		}
	default:
		c.fail(d, "kind", kind, "unknown kind; OpenSLO v1 has SLO, SLI, Service, DataSource, AlertPolicy, AlertCondition, AlertNotificationTarget")
	}
}

// decode reads a document of a known kind and checks what all kinds share; nil
// where it cannot be used.
func decode[T any](c *compiler, d *yamlconf.Doc) *document[T] {
	s := &document[T]{doc: d}
	if err := d.Decode(s); err != nil {
		c.errs = c.errs.Append(d.File(), err)
		return nil
	}
	if !validName(s.Metadata.Name) {
		c.fail(d, "metadata.name", s.Metadata.Name, "want a name of small letters, digits, - and . that begins and ends with a letter or digit, at most 253 long")
		return nil
	}
	if n := s.Metadata.Name; s.Kind == "SLA" && (n == "none" || n == "withdrawn") {
		c.fail(d, "metadata.name", n, "want another name: in an inventory this word ends or takes back a fact")
		return nil
	}
	if key := s.Kind + "/" + s.Metadata.Name; c.names[key] && s.Kind == "Service" {
		// Services are names that SLOs mention: one that is told twice says nothing
		// that the pipeline could take in two ways.
		c.warn(d, "metadata.name", s.Metadata.Name, "a Service of this name is already defined; both mean the same one")
	} else if c.names[key] {
		c.fail(d, "metadata.name", s.Metadata.Name, "a %s of this name is already defined", s.Kind)
		return nil
	} else {
		c.names[key] = true
	}
	return s
}

func validName(s string) bool {
	if s == "" || len(s) > 253 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return false
	}
	return strings.Trim(s[:1]+s[len(s)-1:], "-.") != "" && s[0] != '-' && s[0] != '.' && s[len(s)-1] != '-' && s[len(s)-1] != '.'
}

// stream adds a stream to the set, once, and returns its identity.
func (c *compiler) stream(s slo.Stream) string {
	id := s.ID()
	if _, ok := c.set.RuleSet.Streams[id]; !ok {
		c.set.RuleSet.Streams[id] = &s
	}
	return id
}

func (c *compiler) addContract(d *yamlconf.Doc, contract *sla.Contract, tierAlerts string) {
	raw, err := json.Marshal(slo.ContractRecord{File: filepath.Base(d.File()), Text: c.texts[d.File()],
		TierAlerts: tierAlerts, Contract: contract})
	if err != nil {
		c.fail(d, "", nil, "cannot be stored: %v", err)
		return
	}
	if c.set.RuleSet.Contracts == nil {
		c.set.RuleSet.Contracts = map[string]json.RawMessage{}
	}
	c.set.RuleSet.Contracts[contract.Name] = raw
	c.set.Contracts = append(c.set.Contracts, contract)
}
