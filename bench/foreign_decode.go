package main

import (
	"errors"
	"fmt"

	"nines/collector/aggregate"
	"nines/collector/decode"
	"nines/internal/slo"
)

// foreignSamples is how many samples a record of these benchmarks holds: one
// host's, as a client sends them once.
const foreignSamples = 100

// LineDecode is how many samples of line protocol a core takes in a second: ten
// lines of ten fields, as Telegraf writes a host's, with the look-up of their series.
func (suite) LineDecode() benchmark {
	return benchmark{Name: "line_decode", Unit: "M samples/s·core", Better: higher, Prepare: func() (func() (float64, error), error) {
		return prepareForeign(decode.Influx, lineRecord())
	}}
}

// prepareForeign returns what decodes the record and finds its series, as
// aggregation does, where no objective reads them.
func prepareForeign(format decode.Format, record []byte) (func() (float64, error), error) {
	state := aggregate.NewState(0, 1, 1, 0, func(string) (*slo.RuleSet, bool) { return nil, false })
	at := int64(0)
	next := func() error {
		out := state.ApplyForeign(at, &decode.Record{Format: format, Key: []byte("web-1"), Value: record})
		at++
		if out.Dead != nil {
			return errors.New(out.Dead.Detail)
		}
		if out.Partial != nil {
			state.Recycle(out.Partial)
		}
		return nil
	}
	if err := next(); err != nil {
		return nil, err
	}
	if n := state.TakeForeign().Samples; n != foreignSamples {
		return nil, fmt.Errorf("the record holds %d samples, want %d", n, foreignSamples)
	}
	return func() (float64, error) {
		rate, err := perCPUSecond(foreignSamples, next)
		return rate / 1e6, err
	}, nil
}

// benchTime is the samples' time, Unix milliseconds.
const benchTime = int64(1_790_000_040_000)

func lineRecord() (b []byte) {
	for cpu := range 10 {
		b = fmt.Appendf(b, "cpu,cpu=cpu%d,host=web-1,region=eu,zone=eu-a ", cpu)
		for i, f := range []string{"guest", "guest_nice", "idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"} {
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, "usage_%s=%v", f, float64(i*cpu)*100/7)
		}
		b = fmt.Appendf(b, " %d000000\n", benchTime)
	}
	return b
}

// OTLPDecode is the same for OTLP: 100 points of ten metrics.
func (suite) OTLPDecode() benchmark {
	return benchmark{Name: "otlp_decode", Unit: "M samples/s·core", Better: higher, Prepare: func() (func() (float64, error), error) {
		return prepareForeign(decode.OTLP, otlpRecord())
	}}
}

// RWDecode is the same for remote write 2: 100 series of one sample.
func (suite) RWDecode() benchmark {
	return benchmark{Name: "rw_decode", Unit: "M samples/s·core", Better: higher, Prepare: func() (func() (float64, error), error) {
		record, err := writeRecord()
		if err != nil {
			return nil, err
		}
		return prepareForeign(decode.RemoteWrite, record)
	}}
}

// hostSeries are the names and the label of a host's 100 series.
func hostSeries(f func(metric, cpu string, value float64)) {
	for m := range 10 {
		for cpu := range 10 {
			f(fmt.Sprintf("system_cpu_time_%d", m), fmt.Sprintf("cpu%d", cpu), float64(m*cpu)*100/7)
		}
	}
}
