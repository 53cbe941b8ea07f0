package gpu

import (
	"bytes"
	"errors"
	"log/slog"
	"time"
)

// source is one way to ask a vendor's GPUs.
type source interface {
	// poll asks once. stuck says that the source as a whole does not answer.
	poll(now time.Time) (r Reading, stuck bool)
	close()
}

// How long an NVML worker may be silent before it is killed, how long it is
// waited after one that failed, and how long one with a lost GPU is kept: NVML
// only sees a GPU that came back when it is begun anew.
const (
	silence  = time.Minute
	pause    = 30 * time.Second
	keepLost = 5 * time.Minute
)

// nvmlSource asks a worker, and nvidia-smi once there can be none.
type nvmlSource struct {
	start   func() (*peer, error)
	limit   time.Duration
	instead source // nil without nvidia-smi
	log     *slog.Logger

	peer    *peer
	begun   time.Time
	notTill time.Time
	useless bool
	last    Reading // why there is no worker at present
}

func (s *nvmlSource) poll(now time.Time) (Reading, bool) {
	if s.useless && s.instead != nil {
		return s.instead.poll(now)
	}
	if s.peer == nil && !s.begin(now) {
		return s.last, false
	}
	r, ok, gone := s.peer.ask(now, s.limit+s.limit/2)
	switch {
	case gone:
		s.rest(now, Reading{Vendor: "nvidia", Source: "nvml", Err: "GPU worker ended"})
		return s.last, false
	case !ok:
		if now.Sub(s.peer.asked) > silence && !s.peer.killed {
			s.log.Warn("GPU worker does not answer and is killed; another is started when it has ended")
			s.peer.end()
		}
		return Reading{Vendor: "nvidia", Source: "nvml", Err: errStuck.Error()}, true
	}
	if r.Unusable && s.instead != nil {
		s.log.Info("NVML cannot be used: GPUs are read by nvidia-smi", "reason", r.Err)
		s.useless = true
		s.drop()
		return s.instead.poll(now)
	}
	if r.Err != "" {
		s.rest(now, r)
	} else if lost, stuck := troubles(r); lost && !stuck && now.Sub(s.begun) > keepLost {
		s.drop()
	}
	return r, false
}

// begin starts a worker unless it is too early.
func (s *nvmlSource) begin(now time.Time) bool {
	if now.Before(s.notTill) {
		return false
	}
	p, err := s.start()
	if err != nil {
		s.rest(now, Reading{Vendor: "nvidia", Source: "nvml", Err: err.Error()})
		return false
	}
	s.peer, s.begun = p, now
	return true
}

// rest remembers why there is no worker, and waits.
func (s *nvmlSource) rest(now time.Time, why Reading) {
	s.drop()
	s.last, s.notTill = why, now.Add(pause)
}

func (s *nvmlSource) drop() {
	if s.peer != nil {
		s.peer.end()
		s.peer = nil
	}
}

func (s *nvmlSource) close() {
	s.drop()
	if s.instead != nil {
		s.instead.close()
	}
}

func troubles(r Reading) (lost, stuck bool) {
	for _, d := range r.Devices {
		lost = lost || d.Lost != ""
		stuck = stuck || d.Stuck
	}
	return lost, stuck
}

// smiSource runs nvidia-smi for all GPUs, and for those that it says nothing of
// one by one: a single broken GPU can make it fail, or hang, for all.
type smiSource struct {
	path      string
	limit     time.Duration
	processes bool
	addresses func() []string

	all tool
	one map[string]*tool
}

func (s *smiSource) poll(time.Time) (Reading, bool) {
	if s.all.path == "" {
		s.all = tool{path: s.path, args: []string{"-q", "-x"}}
		s.one = map[string]*tool{}
	}
	r, err := s.read(&s.all)
	seen := map[string]bool{}
	for _, d := range r.Devices {
		seen[d.GPU] = true
	}
	missing := 0
	for i, a := range s.addresses() {
		if seen[a] {
			continue
		}
		missing++
		r.Devices = append(r.Devices, s.single(a, i))
	}
	r.Count = max(r.Count, len(r.Devices))
	if err != nil && missing == 0 {
		r.Err = err.Error()
	}
	return r, errors.Is(err, errStuck) && missing == 0
}

// single asks for one GPU.
func (s *smiSource) single(address string, index int) Device {
	t := s.one[address]
	if t == nil {
		t = &tool{path: s.path, args: []string{"-q", "-x", "-i", address + ".0"}}
		s.one[address] = t
	}
	r, err := s.read(t)
	if err == nil && len(r.Devices) == 1 {
		return r.Devices[0]
	}
	d := Device{GPU: address, Index: index}
	switch {
	case errors.Is(err, errStuck):
		d.Stuck = true
	case err != nil:
		d.Lost = err.Error()
	default:
		d.Lost = "nvidia-smi does not know it"
	}
	return d
}

func (s *smiSource) read(t *tool) (Reading, error) {
	out, err := t.run(s.limit)
	if err != nil {
		return Reading{Vendor: "nvidia", Source: "nvidia-smi"}, err
	}
	return ParseSMI(bytes.NewReader(out), s.processes)
}

func (s *smiSource) close() {}

// rocmSource runs rocm-smi.
type rocmSource struct {
	tool  tool
	limit time.Duration
}

func newROCm(path string, limit time.Duration) *rocmSource {
	return &rocmSource{limit: limit, tool: tool{path: path, args: []string{
		"--json", "-i", "-v", "-t", "-u", "-f", "-c", "-P", "-M", "--showmemuse", "--showmeminfo", "vram", "--showbus", "--showreplaycount",
		"--showuniqueid", "--showserial", "--showproductname", "--showdriverversion", "--showenergycounter",
	}}}
}

func (s *rocmSource) poll(time.Time) (Reading, bool) {
	out, err := s.tool.run(s.limit)
	r := Reading{Vendor: "amd", Source: "rocm-smi"}
	if err == nil {
		r, err = ParseROCm(bytes.NewReader(out))
	}
	if err != nil {
		r.Err = err.Error()
	}
	return r, errors.Is(err, errStuck)
}

func (s *rocmSource) close() {}
