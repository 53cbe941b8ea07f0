// Package telegraf runs Telegraf's input plugins as sources of rounds. It
// promises that a Telegraf user's [[inputs.x]] snippet works unchanged, that
// series are named as Telegraf's Prometheus output names them
// (<measurement>_<field>, tags as labels, the tag host dropped), that one round
// has one sample time, and that an input that panics, hangs or is slow shows
// as figures about that input and never holds up another.
//
// A plugin that starts goroutines of its own is beyond the recovery: a panic
// there ends the process, as it does in Telegraf.
package telegraf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/models"

	"nines/internal/telemetry"
)

// Reader measures what one Telegraf input measures, under the same names, for
// less. The series' names begin with the input's name and an underscore; NaN
// marks a value that was not measured. The slices belong to the reader and hold
// until the next Read; as long as the layout stays, series is the same slice.
// A plugin's second measurement must have a name without underscore.
type Reader interface {
	Read() (series []telemetry.Series, values []float64, err error)
	Close() error
}

// Options configure Inputs.
type Options struct {
	// Files hold the inputs in Telegraf's TOML.
	Files []File
	// Interval applies to inputs without an interval of their own; 0 means 1 s.
	Interval time.Duration
	// Clock returns the sample clock in Unix milliseconds; nil means the wall
	// clock.
	Clock func() int64
	// Sink takes the rounds. Required by Run.
	Sink telemetry.Sink
	// Replace returns a cheaper reader for a configured input, or nil to run
	// the plugin itself; an Own always needs one. An error made by Absent leaves
	// the input out. It is not asked where a metricpass filter wants Telegraf's
	// own metrics. nil replaces nothing.
	Replace func(telegraf.Input) (Reader, error)
	// GoneAfter is how long a series that is no longer measured stays in the
	// schema as absent; 0 means 10 minutes.
	GoneAfter time.Duration
	// MaxSeries bounds the series of one input; 0 means 50000. What is beyond it
	// is dropped and named, see Stats.
	MaxSeries int
	// Variant names what else decides how inputs are run, such as what Replace
	// does: a reload replaces all inputs when it differs.
	Variant string
	// Log takes what the inputs have to say; nil discards it.
	Log *slog.Logger
}

// Inputs are the configured inputs of one agent.
type Inputs struct {
	opt  Options
	crew sync.WaitGroup // one for each input that runs

	mu     sync.Mutex
	ctx    context.Context // of Run
	ended  bool            // nothing is launched any more
	inputs []*input
	absent []string
}

// New loads and initialises the inputs. Inputs whose hardware this host lacks
// are left out, see Absent. Errors name file and line.
func New(opt Options) (*Inputs, error) {
	opt.fill()
	tameLogging(opt.Log)
	running, err := Load(opt.Files, opt.Interval)
	if err != nil {
		return nil, err
	}
	s := &Inputs{opt: opt}
	var errs []error
	names := map[string]bool{}
	for _, ri := range running {
		if reason := missing(ri.Input); reason != "" {
			s.leaveOut(ri.Config.Name, reason)
			continue
		}
		in, err := newInput(ri, uniqueName(ri, names), &s.opt)
		if why := absence(""); errors.As(err, &why) {
			s.leaveOut(ri.Config.Name, why.Error())
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.inputs = append(s.inputs, in)
	}
	return s, errors.Join(errs...)
}

func (s *Inputs) leaveOut(name, reason string) {
	s.absent = append(s.absent, name)
	s.opt.Log.Debug("input left out: its hardware is not on this host", "input", name, "reason", reason)
}

// Absent names the configured inputs whose hardware this host lacks.
func (s *Inputs) Absent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.absent
}

// Len returns how many inputs run.
func (s *Inputs) Len() int { return len(s.all()) }

// all returns the inputs of now.
func (s *Inputs) all() []*input {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inputs // replaced as a whole, never changed
}

// Run gathers every input at its interval until ctx ends. It waits two seconds
// for gathers under way; one that hangs for longer is left behind, because
// nothing in Go can end it.
func (s *Inputs) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	for _, in := range s.inputs {
		s.launch(in, nil)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.crew.Wait()
		close(done)
	}()
	timer := time.NewTimer(leaveAfter)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
	}
	for _, st := range s.Stats() {
		if st.Running > 0 {
			s.opt.Log.Warn("input left behind: its gather does not return", "input", st.Name, "seconds", st.Running.Seconds())
		}
	}
	return nil
}

// Stats returns the figures of each input, in the order of their names.
func (s *Inputs) Stats() []Stats {
	inputs := s.all()
	out := make([]Stats, len(inputs))
	for i, in := range inputs {
		out[i] = in.stats()
	}
	return out
}

// Result is what one input gave when it was asked once.
type Result struct {
	Input  string
	Rounds []telemetry.Round
	// Took is how long the last gather lasted.
	Took time.Duration
	// Err joins the start's and the gathers' errors.
	Err error
}

// Once starts every input, gathers it twice with pause between (some figures
// are differences) and returns what the second gather gave. Inputs that have
// not returned when ctx ends give its error.
func (s *Inputs) Once(ctx context.Context, pause time.Duration) []Result {
	inputs := s.all()
	results := make([]Result, len(inputs))
	done := make([]chan Result, len(inputs))
	for i, in := range inputs {
		done[i] = make(chan Result, 1)
		go func() { done[i] <- in.once(ctx, pause) }()
	}
	for i, in := range inputs {
		select {
		case results[i] = <-done[i]:
		case <-ctx.Done():
			results[i] = Result{Input: in.name, Err: fmt.Errorf("gather input: no answer: %w", ctx.Err())}
		}
	}
	return results
}

func (o *Options) fill() {
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	if o.Clock == nil {
		o.Clock = func() int64 { return time.Now().UnixMilli() }
	}
	if o.GoneAfter <= 0 {
		o.GoneAfter = 10 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

func (o *Options) maxSeries() int { return cmp.Or(o.MaxSeries, defaultMaxSeries) }

// baseName is the plugin's name, with the alias if it has one.
func baseName(ri *models.RunningInput) string {
	if ri.Config.Alias != "" {
		return ri.Config.Name + "::" + ri.Config.Alias
	}
	return ri.Config.Name
}

// uniqueName names an input for its figures by its base name, numbered from the
// second on.
func uniqueName(ri *models.RunningInput, used map[string]bool) string {
	base := baseName(ri)
	name := base
	for n := 2; used[name]; n++ {
		name = fmt.Sprintf("%s#%d", base, n)
	}
	used[name] = true
	return name
}

// byName orders inputs as they are shown.
func byName(a, b *input) int { return cmp.Compare(a.name, b.name) }
