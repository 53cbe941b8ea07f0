package main

import "nines/internal/wire"

// FrameEncode is how many samples a core encodes in a second, in frames of 100
// samples without definitions.
func (suite) FrameEncode() benchmark {
	return benchmark{Name: "frame_encode", Unit: "M samples/s·core", Better: higher, Target: 30, Prepare: prepareEncode}
}

func prepareEncode() (func() (float64, error), error) {
	var enc wire.Encoder
	var raw []byte
	frame := hostFrame()
	return func() (float64, error) {
		rate, err := perCPUSecond(samples(frame), func() error {
			raw = enc.AppendFrame(raw[:0], frame, nil)
			return nil
		})
		return rate / 1e6, err
	}, nil
}
