package main

import (
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// FrameDecode is how many samples a core decodes in a second, from frames of
// 100 samples whose schemas are known.
func (suite) FrameDecode() benchmark {
	return benchmark{Name: "frame_decode", Unit: "M samples/s·core", Better: higher, Target: 100, Prepare: prepareDecode}
}

func prepareDecode() (func() (float64, error), error) {
	var enc wire.Encoder
	var dec wire.Decoder
	var got telemetry.Frame
	frame := hostFrame()
	schemas := wire.NewSchemaCache(0)
	for i := range frame.Blocks {
		schemas.Add(frame.Blocks[i].Schema)
	}
	raw := enc.AppendFrame(nil, frame, nil)
	return func() (float64, error) {
		rate, err := perCPUSecond(samples(frame), func() error { return dec.DecodeFrame(raw, &got, schemas) })
		return rate / 1e6, err
	}, nil
}

func samples(f *telemetry.Frame) int {
	n := 0
	for i := range f.Blocks {
		n += f.Blocks[i].Samples()
	}
	return n
}
