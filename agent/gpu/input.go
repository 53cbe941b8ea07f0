package gpu

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"nines/internal/telemetry"
)

// InputOptions configure a Reader.
type InputOptions struct {
	// Sys is where sysfs is mounted; "" means /sys.
	Sys string
	// Library is NVML's path; "" looks where drivers put it.
	Library string
	// NvidiaSMI and ROCmSMI are the programs; "" looks for them in PATH.
	NvidiaSMI, ROCmSMI string
	// Worker is the command that runs Serve in a process of its own; nil runs
	// it in this one.
	Worker []string
	// Expected is how many GPUs this host should have; 0 takes the most that
	// were ever seen, on the bus or by a driver.
	Expected int
	// Processes gives a series to each process that holds GPU memory.
	Processes bool
	// Timeout is how long one GPU may take; 0 means 3 s.
	Timeout time.Duration
	// Now is the clock of retries; nil is the machine's.
	Now func() time.Time
	// Log says what changes; nil discards it.
	Log *slog.Logger
}

// Reader measures the GPUs of a host. It belongs to one goroutine.
type Reader struct {
	opt     InputOptions
	sources []source
	known   map[string]Device // by address
	vendor  map[string]string // by address
	most    map[string]int    // GPUs, by vendor
	trouble map[string]string // what is wrong, by address or source
	table   table
}

// Missing says why there is nothing to measure on this host, or "".
func Missing(opt InputOptions) string {
	opt.fill()
	if opt.Expected > 0 || opt.Library != "" || Present() || len(pciGPUs(opt.Sys)) > 0 {
		return ""
	}
	if find(opt.NvidiaSMI, "nvidia-smi") != "" || find(opt.ROCmSMI, "rocm-smi") != "" {
		return ""
	}
	return "no NVIDIA driver or GPU on the bus, no nvidia-smi, no rocm-smi"
}

// NewReader returns the reader. It asks nothing yet.
func NewReader(opt InputOptions) *Reader {
	opt.fill()
	r := &Reader{opt: opt, known: map[string]Device{}, vendor: map[string]string{}, most: map[string]int{}, trouble: map[string]string{}}
	smi, rocm := find(opt.NvidiaSMI, "nvidia-smi"), find(opt.ROCmSMI, "rocm-smi")
	bus := func() []string { return pciGPUs(opt.Sys) }
	if opt.Library != "" || smi != "" || rocm == "" || Present() || len(bus()) > 0 {
		nv := &nvmlSource{start: opt.worker, limit: opt.Timeout, log: opt.Log}
		if smi != "" {
			nv.instead = &smiSource{path: smi, limit: opt.Timeout, processes: opt.Processes, addresses: bus}
		}
		r.sources = append(r.sources, nv)
	}
	if rocm != "" {
		r.sources = append(r.sources, newROCm(rocm, opt.Timeout))
	}
	return r
}

func (o *InputOptions) fill() {
	o.Sys = cmp.Or(o.Sys, "/sys")
	o.Timeout = cmp.Or(o.Timeout, 3*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// worker starts Serve, in a process of its own where it can.
func (o *InputOptions) worker() (*peer, error) {
	if len(o.Worker) == 0 {
		return startHere(WorkerOptions{Library: o.Library, Processes: o.Processes, Limit: o.Timeout}), nil
	}
	args := append(slices.Clone(o.Worker), "--limit", o.Timeout.String())
	if o.Library != "" {
		args = append(args, "--library", o.Library)
	}
	if o.Processes {
		args = append(args, "--processes")
	}
	return startProcess(args)
}

// find returns the configured program, or the one in PATH, or "".
func find(path, name string) string {
	if path != "" {
		if _, err := os.Stat(path); err != nil {
			return ""
		}
		return path
	}
	found, _ := exec.LookPath(name)
	return found
}

// Close ends what the reader started. A worker that hangs in the driver goes
// when the driver lets it.
func (r *Reader) Close() error {
	for _, s := range r.sources {
		s.close()
	}
	return nil
}

// Read polls once. It takes as long as the slowest GPU, at most about one and a
// half times the timeout for each source.
func (r *Reader) Read() ([]telemetry.Series, []float64, error) {
	now := r.opt.Now()
	r.table.begin(now)
	found := 0
	var errs []error
	for _, s := range r.sources {
		reading, stuck := s.poll(now)
		if reading.Err != "" {
			errs = append(errs, fmt.Errorf("%s: %s", reading.Source, reading.Err))
		}
		found += r.take(reading, stuck)
	}
	r.table.put("gpu_expected", float64(r.expected()))
	r.table.put("gpu_found", float64(found))
	series, values := r.table.end()
	// What is known is told even where a source fails: the figures say so.
	r.note("sources", errors.Join(errs...))
	return series, values, nil
}

func (r *Reader) expected() int {
	if r.opt.Expected > 0 {
		return r.opt.Expected
	}
	sum := 0
	for _, n := range r.most {
		sum += n
	}
	return sum
}

// take turns a reading into figures and returns how many GPUs answered.
func (r *Reader) take(reading Reading, stuck bool) int {
	t := &r.table
	t.put("gpu_source_up", bool01(reading.Err == ""), "source", reading.Source)
	t.put("gpu_source_stuck", bool01(stuck), "source", reading.Source)
	answered, nameless, told := 0, 0, map[string]bool{}
	for _, d := range reading.Devices {
		if d.GPU == "" && reading.Vendor == "amd" {
			d.GPU = "card" + strconv.Itoa(d.Index)
		}
		if d.GPU == "" && d.Stuck {
			nameless++
		}
		if d.GPU == "" || told[d.GPU] {
			continue // it never said who it is: the bus names it
		}
		told[d.GPU] = true
		if d.Lost == "" && !d.Stuck {
			answered++
			r.known[d.GPU] = Device{GPU: d.GPU, Index: d.Index, Info: d.Info}
			r.vendor[d.GPU] = reading.Vendor
		}
		r.device(reading, d)
	}
	most := max(r.most[reading.Vendor], reading.Count, answered)
	if reading.Vendor == "nvidia" {
		onBus := pciGPUs(r.opt.Sys)
		most = max(most, len(onBus))
		for _, a := range onBus {
			r.vendor[a] = "nvidia"
		}
	}
	r.most[reading.Vendor] = most
	r.untold(reading, told, stuck, nameless)
	return answered
}

// untold are the GPUs that are known, of the bus or of earlier, and that the
// source did not name. Where it hangs on as many, they are those.
func (r *Reader) untold(reading Reading, told map[string]bool, stuck bool, nameless int) {
	var rest []string
	for _, a := range slices.Sorted(maps.Keys(r.vendor)) {
		if r.vendor[a] == reading.Vendor && !told[a] {
			rest = append(rest, a)
		}
	}
	stuck = stuck || nameless > 0 && nameless >= len(rest)
	for _, a := range rest {
		d := r.known[a]
		r.device(reading, Device{GPU: a, Info: d.Info, Index: d.Index, Stuck: stuck, Lost: cmp.Or(reading.Err, "the driver does not know it")})
	}
}

func (r *Reader) device(reading Reading, d Device) {
	t := &r.table
	t.put("gpu_up", bool01(d.Lost == "" && !d.Stuck), "gpu", d.GPU)
	t.put("gpu_poll_stuck", bool01(d.Stuck), "gpu", d.GPU)
	switch {
	case d.Stuck:
		r.note(d.GPU, errStuck)
	case d.Lost != "":
		r.note(d.GPU, errors.New(d.Lost))
	default:
		r.note(d.GPU, nil)
	}
	if d.Info != nil {
		labels := []string{"gpu", d.GPU, "index", strconv.Itoa(d.Index), "vendor", reading.Vendor, "driver", reading.Driver, "source", reading.Source}
		for _, k := range slices.Sorted(maps.Keys(d.Info)) {
			labels = append(labels, k, d.Info[k])
		}
		t.put("gpu_info", 1, labels...)
	}
	for _, v := range d.Values {
		t.put(v.Name, v.V, append([]string{"gpu", d.GPU}, v.Labels...)...)
	}
}

// note logs a trouble when it begins, changes or ends.
func (r *Reader) note(of string, err error) {
	said := ""
	if err != nil {
		said = err.Error()
	}
	if r.trouble[of] == said {
		return
	}
	r.trouble[of] = said
	if said != "" {
		r.opt.Log.Warn("GPU cannot be read; the others go on", "gpu", of, "reason", said)
	} else {
		r.opt.Log.Info("GPU can be read again", "gpu", of)
	}
}

func bool01(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// table lays out what comes: a figure keeps its place while it comes, and for
// ten minutes after.
type table struct {
	now    time.Time
	series []telemetry.Series
	values []float64
	place  map[string]int
	keys   []string
	last   []time.Time
	grown  bool
}

const keepSeries = 10 * time.Minute

func (t *table) begin(now time.Time) {
	t.now, t.grown = now, false
	t.forget()
	for i := range t.values {
		t.values[i] = math.NaN()
	}
}

// forget takes out what has not come for long.
func (t *table) forget() {
	gone := func(last time.Time) bool { return t.now.Sub(last) > keepSeries }
	if !slices.ContainsFunc(t.last, gone) {
		return
	}
	old := *t
	*t = table{now: old.now}
	for i, s := range old.series {
		if !gone(old.last[i]) {
			t.add(old.keys[i], s, old.last[i])
		}
	}
}

func (t *table) add(key string, s telemetry.Series, last time.Time) int {
	if t.place == nil {
		t.place = map[string]int{}
	}
	if !t.grown {
		// Another slice tells the caller that the layout is another.
		t.series, t.grown = slices.Clone(t.series), true
	}
	t.place[key] = len(t.series)
	t.series = append(t.series, s)
	t.values = append(t.values, math.NaN())
	t.keys = append(t.keys, key)
	t.last = append(t.last, last)
	return len(t.series) - 1
}

// put sets a figure; labels are names and values in turn, empty values left out.
func (t *table) put(name string, v float64, labels ...string) {
	key := name + "\x00" + strings.Join(labels, "\x00")
	i, ok := t.place[key]
	if !ok {
		m := map[string]string{}
		for j := 0; j+1 < len(labels); j += 2 {
			if labels[j+1] != "" {
				m[labels[j]] = labels[j+1]
			}
		}
		kind := telemetry.Gauge
		if strings.HasSuffix(name, "_total") {
			kind = telemetry.Counter
		}
		i = t.add(key, telemetry.Series{Name: name, Kind: kind, Labels: telemetry.NewLabels(m)}, t.now)
	}
	t.values[i], t.last[i] = v, t.now
}

func (t *table) end() ([]telemetry.Series, []float64) { return t.series, t.values }
