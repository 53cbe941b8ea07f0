package probe

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"nines/agent/discovery"
	"nines/internal/yamlconf"
)

// Kinds are the kinds of probes, as jobs and the label __probe name them.
var kinds = []string{"dns", "grpc", "http", "icmp", "llm", "tcp", "tls"}

// complaints collects what is wrong, each with the path of its field.
type complaints []complaint

type complaint struct{ path, reason string }

func (c *complaints) add(path, format string, args ...any) {
	*c = append(*c, complaint{path, fmt.Sprintf(format, args...)})
}

func (c *complaints) check(path string, err error) {
	if err != nil {
		c.add(path, "%v", err)
	}
}

// Validate returns everything that is wrong, joined, each error as
// "jobs[0].http.status[1]: reason, got X". It reads no file.
func (c Config) Validate() error {
	var errs []error
	for _, w := range c.complaints() {
		errs = append(errs, fmt.Errorf("%s: %s", w.path, w.reason))
	}
	return errors.Join(errs...)
}

// Check returns what Validate does, each mistake with its position in the file
// that the configuration was read from; at is the configuration's path there.
func (c Config) Check(doc *yamlconf.Doc, at string) yamlconf.Errors {
	var errs yamlconf.Errors
	for _, w := range c.complaints() {
		path := w.path
		if at != "" {
			path = at + "." + path
		}
		errs = append(errs, doc.Errorf(path, nil, "%s", w.reason))
	}
	return errs
}

func (c Config) complaints() complaints {
	var e complaints
	checkTimes(&e, "", c.Interval, c.Timeout, c)
	if c.InFlight < 0 || c.InFlight > 100_000 {
		e.add("in_flight", "must lie within 1 and 100000, got %d", c.InFlight)
	}
	for i, a := range c.Control {
		_, err := compileControl(c, a, env{})
		e.check(fmt.Sprintf("control[%d]", i), err)
	}
	names := map[string]bool{}
	for i, j := range c.Jobs {
		path := fmt.Sprintf("jobs[%d].", i)
		if j.Name == "" {
			e.add(path+"name", "is missing; it becomes the label job")
		} else if names[j.Name] {
			e.add(path+"name", "is used by two jobs, got %q", j.Name)
		}
		names[j.Name] = true
		c.validateJob(&e, path, j)
	}
	return e
}

func checkTimes(e *complaints, path string, interval, timeout time.Duration, c Config) {
	if interval != 0 {
		switch {
		case interval < minInterval || interval > maxInterval:
			e.add(path+"interval", "must lie within 10ms and 24h, got %s", interval)
		case interval%time.Millisecond != 0:
			e.add(path+"interval", "must be whole milliseconds, got %s", interval)
		}
	}
	interval = first(interval, c.Interval, defaultInterval)
	if timeout < 0 || timeout > 0 && timeout < time.Millisecond {
		e.add(path+"timeout", "must be at least 1ms, got %s", timeout)
	} else if n := time.Duration(max(1, c.inFlight())); interval > 0 && timeout > interval*n {
		e.add(path+"timeout", "would keep more than %d attempts of a target under way (in_flight); at an interval of %s it can be %s, got %s",
			n, interval, interval*n, timeout)
	}
}

func (c Config) validateJob(e *complaints, path string, j Job) {
	checkTimes(e, path, j.Interval, j.Timeout, c.timesFor(j))
	if !slices.Contains(kinds, j.Probe) {
		e.add(path+"probe", "must be one of %s, got %q", strings.Join(kinds, ", "), j.Probe)
	}
	checkLabels(e, path+"labels", j.Labels)
	for i, f := range j.FileSD {
		e.check(fmt.Sprintf("%sfile_sd[%d]", path, i), discovery.CheckPattern(f))
	}
	for i, u := range j.HTTPSD {
		e.check(fmt.Sprintf("%shttp_sd[%d]", path, i), discovery.CheckURL(u))
	}
	if len(j.Targets)+len(j.FileSD)+len(j.HTTPSD) == 0 {
		e.add(path+"targets", "the job has no targets, file_sd or http_sd")
	}
	j = c.withDefaults(j)
	validateICMP(e, path+"icmp.", j, c)
	checkIPVersion(e, path+"tcp.", j.TCP.IPVersion)
	validateHTTP(e, path+"http.", j.HTTP)
	validateDNS(e, path+"dns.", j)
	validateLLM(e, path, j)
	if j.TLS.MinValidity < 0 {
		e.add(path+"tls.min_validity", "must be at least 0, got %s", j.TLS.MinValidity)
	}
	if !slices.Contains(kinds, j.Probe) {
		return
	}
	for i, a := range j.Targets {
		err := checkAddress(j, a)
		e.check(fmt.Sprintf("%stargets[%d]", path, i), err)
	}
}

func checkLabels(e *complaints, path string, labels map[string]string) {
	for _, n := range slices.Sorted(maps.Keys(labels)) {
		switch {
		case !discovery.ValidLabelName(n) || strings.HasPrefix(n, "__"):
			e.add(path, "not a label name (letters, digits and _, not first a digit or __), got %q", n)
		case reserved[n]:
			e.add(path+"."+n, "is set by the prober; choose another name")
		}
	}
}

func checkIPVersion(e *complaints, path string, v int) {
	if v != 0 && v != 4 && v != 6 {
		e.add(path+"ip_version", "must be 4 or 6, got %d", v)
	}
}

func validateICMP(e *complaints, path string, j Job, c Config) {
	o := j.ICMP
	if o.Size < minPayload || o.Size > 65_000 {
		e.add(path+"size", "must lie within %d and 65000 bytes, got %d", minPayload, o.Size)
	}
	checkIPVersion(e, path, o.IPVersion)
	if m := *o.MaxLoss; !(m >= 0 && m < 1) {
		e.add(path+"max_loss", "must be at least 0 and below 1, got %v", m)
	}
	n := time.Duration(c.inFlight())
	switch {
	case o.Packets < 1 || o.Packets > 1 && j.Interval/time.Duration(o.Packets) < minInterval:
		e.add(path+"packets", "must be at least 1, with 10ms between two: %d at an interval of %s, got %d", max(1, j.Interval/minInterval), j.Interval, o.Packets)
	case o.Packets > 1 && o.roundTimeout(j.Interval, j.Timeout) > n*j.Interval:
		e.add(path+"packets", "a round takes up to %s, and would keep more than %d under way (in_flight)", o.roundTimeout(j.Interval, j.Timeout), n)
	}
}

func validateHTTP(e *complaints, path string, o HTTP) {
	if !httpguts.ValidHeaderFieldName(o.Method) || o.Method == "CONNECT" {
		e.add(path+"method", "is not a method that can be probed with, got %q", o.Method)
	}
	for i, s := range o.Status {
		if s < 200 || s > 599 {
			e.add(fmt.Sprintf("%sstatus[%d]", path, i), "must lie within 200 and 599, got %d", s)
		}
	}
	if _, err := regexp.Compile(o.BodyRegexp); err != nil {
		e.check(path+"body_regexp", err)
	}
	if o.MaxBody < 0 || o.MaxBody > 1<<30 {
		e.add(path+"max_body", "must lie within 1 and 1073741824 bytes, got %d", o.MaxBody)
	}
	for _, n := range slices.Sorted(maps.Keys(o.HeaderRegexp)) {
		_, err := regexp.Compile(o.HeaderRegexp[n])
		e.check(path+"header_regexp."+n, err)
	}
	for _, n := range slices.Sorted(maps.Keys(o.HeadersFile)) {
		if !httpguts.ValidHeaderFieldName(n) || o.HeadersFile[n] == "" {
			e.add(path+"headers_file", "not a header's name and a file: %q", n+": "+o.HeadersFile[n])
		}
	}
	if o.Body != "" && o.BodyFile != "" {
		e.add(path+"body_file", "give body or body_file, not both")
	}
	for _, n := range slices.Sorted(maps.Keys(o.Headers)) {
		if !httpguts.ValidHeaderFieldName(n) || !httpguts.ValidHeaderFieldValue(o.Headers[n]) {
			e.add(path+"headers", "not a valid header: %q", n+": "+o.Headers[n])
		}
	}
	checkIPVersion(e, path, o.IPVersion)
}

func validateDNS(e *complaints, path string, j Job) {
	o := j.DNS
	if j.Probe == "dns" && (o.Name == "") == (o.Server == "") {
		e.add(path+"name", "give either dns.name, to ask each target for it, or dns.server, to ask it for each target")
	}
	if _, err := queryType(o.Type); err != nil {
		e.check(path+"type", err)
	}
	if _, err := rcode(o.RCode); err != nil {
		e.check(path+"rcode", err)
	}
	if _, err := regexp.Compile(o.AnswerRegexp); err != nil {
		e.check(path+"answer_regexp", err)
	}
	if o.Transport != "udp" && o.Transport != "tcp" {
		e.add(path+"transport", "must be udp or tcp, got %q", o.Transport)
	}
}

// checkAddress tells whether an address of the job can be probed, without what
// needs files or sockets.
func checkAddress(j Job, address string) error {
	j.HTTP.CAFile, j.HTTP.BodyFile, j.HTTP.BodyRegexp, j.DNS.AnswerRegexp = "", "", "", ""
	j.LLM.APIKeyFile, j.LLM.APIKeyEnv, j.HTTP.HeaderRegexp, j.HTTP.HeadersFile = "", "", nil, nil
	_, err := compileTarget(j, discovery.Target{Address: address}, env{})
	return err
}

// absolute returns p, or p below dir where p is relative.
func absolute(dir, p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(dir, p)
}
