package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"

	"nines/agent"
	"nines/configs"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

const (
	// wireFrames is how many frames are taken: the agent sends each schema with
	// the first frame and then every minute, so that a minute has one of each.
	wireFrames = 60
	// batchHeader is the size of a Kafka record batch's header, version 2.
	batchHeader = 61
	// minCompressed is the size from which on the bus compresses a batch.
	minCompressed = 1024
)

// WireBytesPerSample is what a sample of this host takes in Kafka: the shipped
// agent measures for a minute and flushes each second; each frame is one record
// batch, header included, compressed as the bus compresses it. All runs look
// at the same minute.
func (suite) WireBytesPerSample() benchmark {
	return benchmark{Name: "wire_bytes_per_sample", Unit: "B", Better: lower, Target: 4, Prepare: prepareWireBytes}
}

func prepareWireBytes() (func() (float64, error), error) {
	frames, err := hostFrames()
	if err != nil {
		return nil, err
	}
	// As the bus configures it.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20),
		zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("make compressor: %w", err)
	}
	return func() (float64, error) { return bytesPerSample(frames, enc) }, nil
}

func bytesPerSample(frames [][]byte, enc *zstd.Encoder) (float64, error) {
	var dec wire.Decoder
	var f telemetry.Frame
	schemas := wire.NewSchemaCache(0)
	size, count := 0, 0
	for _, raw := range frames {
		if err := dec.DecodeFrame(raw, &f, schemas); err != nil {
			return 0, err
		}
		count += samples(&f)
		record := appendRecord(nil, []byte(f.Agent), raw)
		if len(record) >= minCompressed {
			record = enc.EncodeAll(record, nil)
		}
		size += batchHeader + len(record)
	}
	if count == 0 {
		return 0, errors.New("the agent measured nothing")
	}
	return float64(size) / float64(count), nil
}

// appendRecord appends the record of a frame as it stands in a batch.
func appendRecord(dst, key, value []byte) []byte {
	field := func(b, v []byte) []byte { return append(binary.AppendVarint(b, int64(len(v))), v...) }
	body := []byte{0, 0, 0} // attributes, time and offset deltas
	body = field(field(body, key), value)
	body = binary.AppendVarint(body, 1)
	body = field(field(body, []byte(wire.HeaderType)), []byte(wire.TypeFrame))
	return field(dst, body)
}

// hostFrames runs the agent as it ships, on this host, for wireFrames frames.
func hostFrames() ([][]byte, error) {
	inputs, err := configs.Files.ReadFile("agent/inputs.toml")
	if err != nil {
		return nil, fmt.Errorf("read inputs: %w", err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 2*wireFrames*time.Second)
	defer stop()
	s := &collect{stop: stop}
	a, err := agent.New(agent.Options{
		Config: agent.Config{Labels: map[string]string{"zone": "zone-a", "region": "local"}, Inputs: string(inputs)},
		Sender: s, Version: "bench",
	})
	if err != nil {
		return nil, err
	}
	if err := a.Run(ctx); err != nil {
		return nil, err
	}
	if len(s.frames) < wireFrames {
		return nil, fmt.Errorf("the agent sent %d frames in two minutes, want %d", len(s.frames), wireFrames)
	}
	return s.frames[:wireFrames], nil
}

// collect is a Sender that keeps the frames and stops the agent when it has
// enough.
type collect struct {
	stop   context.CancelFunc
	frames [][]byte
}

func (c *collect) Send(_ context.Context, _ uint64, frame []byte) error {
	c.frames = append(c.frames, bytes.Clone(frame))
	if len(c.frames) == wireFrames {
		c.stop()
	}
	return nil
}
