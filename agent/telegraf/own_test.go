package telegraf

import (
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/inputs"

	"nines/internal/telemetry"
)

// setting stands for an input of our own with settings.
type setting struct {
	Settings
	Size int `toml:"size"`
}

func plugOwn(name string) {
	inputs.Add(name, func() telegraf.Input { return &setting{Size: 3} })
}

func TestOwnInputsAreConfiguredAsTelegrafs(t *testing.T) {
	plugOwn("nines_own")
	var size int
	replace := func(in telegraf.Input) (Reader, error) {
		size = in.(*setting).Size
		return &fakeReader{series: []telemetry.Series{{Name: "nines_own_total", Kind: telemetry.Counter}}, values: []float64{4}}, nil
	}
	rounds := once(t, "[[inputs.nines_own]]\n  size = 5\n  [inputs.nines_own.tags]\n    hall = \"3\"\n", replace)
	s, v, ok := find(rounds, "nines_own_total")
	if !ok || v != 4 || size != 5 || s.Kind != telemetry.Counter || s.Labels.String() != `{hall="3"}` {
		t.Errorf("size %d, series %+v = %v", size, s, v)
	}
	_, err := Load([]File{{Name: "a.toml", Text: []byte("[[inputs.nines_own]]\n  sice = 5\n")}}, time.Second)
	if err == nil || !strings.HasPrefix(err.Error(), "a.toml:2:1: inputs.nines_own: ") {
		t.Errorf("a typo gives %v", err)
	}
}

func TestOwnInputsThatCannotRun(t *testing.T) {
	plugOwn("nines_own_absent")
	f := func(toml string, replace func(telegraf.Input) (Reader, error), absent bool, want string) {
		t.Helper()
		in, err := New(Options{Files: []File{{Name: "a.toml", Text: []byte(toml)}}, Sink: func(telemetry.Round) {}, Replace: replace})
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("error %v, want %q", err, want)
		case (len(in.Absent()) == 1) != absent || absent && in.Len() != 0:
			t.Errorf("left out: %v of %d", in.Absent(), in.Len())
		}
	}
	const toml = "[[inputs.nines_own_absent]]\n"
	f(toml, func(telegraf.Input) (Reader, error) { return nil, Absent("no chip at %s", "/sys") }, true, "")
	f(toml, func(telegraf.Input) (Reader, error) { return nil, nil }, false, "nothing reads it")
	f(toml+"  metricpass = \"true\"\n", nil, false, "a.toml: inputs.nines_own_absent: open reader: metricpass is not for")
}

func TestEveryOwnInputIsKnownToTheConfiguration(t *testing.T) {
	for name, create := range ownInputs() {
		in := create()
		if _, ok := in.(Own); !ok {
			t.Errorf("%s: %T has no Settings", name, in)
		}
		got, err := Load([]File{{Name: "a.toml", Text: []byte("[[inputs." + name + "]]\n")}}, time.Second)
		if err != nil || len(got) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// readerFunc is a reader of one series.
type readerFunc func() float64

func (f readerFunc) Read() ([]telemetry.Series, []float64, error) {
	return oneSeries, []float64{f()}, nil
}
func (readerFunc) Close() error { return nil }

var oneSeries = []telemetry.Series{{Name: "nines_iso_value", Kind: telemetry.Gauge}}
