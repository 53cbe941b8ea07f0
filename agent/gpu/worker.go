package gpu

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// WorkerOptions configure Serve.
type WorkerOptions struct {
	// Library is NVML's path; "" looks where drivers put it.
	Library string
	// Processes lists each process that holds GPU memory.
	Processes bool
	// Limit is how long one GPU may take in a poll; 0 means 3 s.
	Limit time.Duration
}

// Serve reads the host's NVIDIA GPUs through NVML each time a line comes in, and
// answers with a Reading in one line of JSON, until in ends. It is meant to run
// in a process of its own: the library is the vendor's, a call into a broken
// driver may never return, and a process in such a call cannot even end.
//
// Each GPU is asked in a goroutine of its own. One whose call does not return
// within the limit is reported stuck and left alone until it does.
func Serve(in io.Reader, out io.Writer, opt WorkerOptions) error {
	if opt.Limit <= 0 {
		opt.Limit = 3 * time.Second
	}
	w := &worker{opt: opt}
	lines := bufio.NewScanner(in)
	enc := json.NewEncoder(out)
	for lines.Scan() {
		r, open := w.poll()
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("answer poll: %w", err)
		}
		if !open {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	return nil
}

// worker owns the library and knows which GPUs are being asked.
type worker struct {
	opt    WorkerOptions
	nvml   *nvml
	driver string
	slots  []*slot
}

// slot is one GPU by the driver's index.
type slot struct {
	answer chan Device // holds one
	busy   bool
	known  atomic.Pointer[Device] // address and labels; nil until they are known
}

// poll asks every GPU that is not stuck. open is false once NVML is of no use
// or has to be begun anew.
func (w *worker) poll() (r Reading, open bool) {
	r = Reading{Vendor: "nvidia", Source: "nvml"}
	if err := w.begin(&r); err != nil {
		r.Err = err.Error()
		return r, false
	}
	r.Driver = w.driver
	var n uint32
	if res := w.nvml.count(&n); res != resultOK {
		r.Err = fmt.Errorf("count GPUs: %w", res).Error()
		return r, false
	}
	r.Count = int(n)
	for len(w.slots) < int(n) {
		w.slots = append(w.slots, &slot{answer: make(chan Device, 1)})
	}
	for i, s := range w.slots {
		w.ask(i, s)
	}
	timer := time.NewTimer(w.opt.Limit)
	defer timer.Stop()
	over := false
	for i, s := range w.slots {
		if s.busy && !over {
			select {
			case d := <-s.answer:
				r.Devices = append(r.Devices, s.took(d))
				continue
			case <-timer.C:
				over = true
			}
		}
		r.Devices = append(r.Devices, s.late(i))
	}
	return r, true
}

// ask begins a read unless the last one still runs.
func (w *worker) ask(i int, s *slot) {
	if s.busy {
		select {
		case <-s.answer: // of an earlier poll: too old to be told
			s.busy = false
		default:
			return
		}
	}
	s.busy = true
	known := func(d Device) {
		if d.GPU != "" {
			s.known.Store(&d)
		}
	}
	go func() { s.answer <- w.nvml.device(i, w.opt.Processes, known) }()
}

// took names a GPU that no longer says who it is.
func (s *slot) took(d Device) Device {
	s.busy = false
	if known := s.known.Load(); d.GPU == "" && known != nil {
		d.GPU, d.Info = known.GPU, known.Info
	}
	return d
}

// late is a GPU whose answer is not there in time. It may have come just now.
func (s *slot) late(i int) Device {
	select {
	case d := <-s.answer:
		return s.took(d)
	default:
		d := Device{Index: i, Stuck: true}
		if known := s.known.Load(); known != nil {
			d.GPU, d.Info = known.GPU, known.Info
		}
		return d
	}
}

// begin loads NVML and starts it, once.
func (w *worker) begin(r *Reading) error {
	if w.nvml != nil {
		return nil
	}
	n, err := openNVML(w.opt.Library)
	if err != nil {
		r.Unusable = true
		return err
	}
	if res := n.init(); res != resultOK {
		return fmt.Errorf("start NVML: %w", res)
	}
	w.nvml = n
	if n.driverVersion != nil {
		buf := make([]byte, 96)
		if n.driverVersion(&buf[0], uint32(len(buf))) == resultOK {
			w.driver = cString(buf)
		}
	}
	return nil
}
