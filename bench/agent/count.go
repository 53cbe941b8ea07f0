package agent

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nines/collector/decode"
	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// contents are what a stretch of a topic holds.
type contents struct {
	records int
	// samples are those of series that both programs measure, own those that
	// nines-agent adds about itself and the clock.
	samples, own int
	series       map[string]int // samples by series
}

// reader reads one program's topic; it keeps what a stretch needs of those
// before it.
type reader struct {
	client *bus.Client
	topic  string
	lines  bool // line protocol, not frames

	schemas *wire.SchemaCache
	decoder wire.Decoder
	frame   telemetry.Frame
	names   map[*telemetry.Schema][]string
	points  decode.Reader
	next    int64 // offset
}

func newReader(client *bus.Client, topic string, lines bool) *reader {
	return &reader{client: client, topic: topic, lines: lines, schemas: wire.NewSchemaCache(0), names: map[*telemetry.Schema][]string{}}
}

// read reads up to an offset, from where the last call ended, and counts what
// lies at or behind from.
func (r *reader) read(ctx context.Context, from, to int64) (*contents, error) {
	c := &contents{series: map[string]int{}}
	in := r.client.Reader(r.topic, 0, r.next)
	for in.Offset() < to {
		recs, err := in.Fetch(ctx, time.Second)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", r.topic, err)
		}
		for i := range recs {
			if recs[i].Offset >= to {
				break
			}
			into := c
			if recs[i].Offset < from {
				into = &contents{series: map[string]int{}}
			}
			into.records++
			if err := r.count(into, recs[i].Value); err != nil {
				return nil, fmt.Errorf("read %s at %d: %w", r.topic, recs[i].Offset, err)
			}
		}
	}
	r.next = to
	return c, nil
}

func (r *reader) count(c *contents, record []byte) error {
	if r.lines {
		return r.countLines(c, record)
	}
	if err := r.decoder.DecodeFrame(record, &r.frame, r.schemas); err != nil {
		return err
	}
	for i := range r.frame.Blocks {
		b := &r.frame.Blocks[i]
		if b.Schema == nil {
			return fmt.Errorf("the schema %016x is not known", b.Fingerprint)
		}
		names := r.names[b.Schema]
		if names == nil {
			for _, s := range b.Schema.Series {
				names = append(names, s.Name+s.Labels.String())
			}
			r.names[b.Schema] = names
		}
		for v := range b.Values {
			if !b.IsAbsent(v) {
				c.add(names[v/len(b.Times)])
			}
		}
	}
	return nil
}

func (r *reader) countLines(c *contents, record []byte) error {
	r.points.Open(decode.Influx, record)
	for {
		p, err := r.points.Next()
		if err != nil {
			return err
		}
		if p == nil {
			return nil
		}
		set, err := r.points.Describe()
		if err != nil {
			return err
		}
		for _, col := range set.Columns {
			labels := slices.DeleteFunc(slices.Clone(col.Labels), func(l telemetry.Label) bool { return slices.Contains(hostLabels(), l.Name) })
			c.add(col.Name + labels.String())
		}
	}
}

// hostLabels are those that nines-agent says once a frame.
func hostLabels() []string { return []string{"host", "region", "zone"} }

func (c *contents) add(series string) {
	if begins(series, own()) {
		c.own++
		return
	}
	c.samples++
	c.series[series]++
}

// own are what nines-agent says of itself, of the clock and of mounts that hang:
// no samples here.
func own() []string {
	return []string{"nines_agent_", "clock_", "disk_stuck", "disk_failing", "disk_mounts_dropped"}
}

// renamed are the series that only one program may have: newer kernels have
// other columns of tracked connections, which Telegraf names as the old ones;
// and who is logged in, where a distribution has no utmp, Telegraf may not know.
func renamed() []string {
	return []string{"conntrack_clashres", "conntrack_chainlength", "conntrack_searched", "conntrack_delete_list", "system_n_users", "system_n_unique_users"}
}

func begins(series string, with []string) bool {
	return slices.ContainsFunc(with, func(prefix string) bool { return strings.HasPrefix(series, prefix) })
}

// sameSeries says where two programs did not measure the same.
func sameSeries(nines, telegraf *contents) error {
	for _, side := range []struct {
		name string
		a, b *contents
	}{{"nines-agent", nines, telegraf}, {"Telegraf", telegraf, nines}} {
		only := slices.DeleteFunc(slices.Sorted(maps.Keys(side.a.series)), func(s string) bool { return side.b.series[s] > 0 || begins(s, renamed()) })
		if n := len(only); n > 8 {
			only = append(only[:8], fmt.Sprintf("and %d more", n-8))
		}
		if len(only) > 0 {
			return fmt.Errorf("compare agents: only %s gives %s", side.name, strings.Join(only, ", "))
		}
	}
	return nil
}

// batchBytes sums the batches of records from one offset up to another, as a
// producer sent them and Kafka keeps them: the batches' headers are part of them.
// dir is a partition's folder.
func batchBytes(dir string, from, to int64) (sum int64, err error) {
	segments, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return 0, err
	}
	slices.Sort(segments)
	for _, segment := range segments {
		b, err := os.ReadFile(segment)
		if err != nil {
			return 0, fmt.Errorf("read Kafka's log: %w", err)
		}
		for len(b) >= batchHead {
			base, size := int64(binary.BigEndian.Uint64(b)), batchHead+int(binary.BigEndian.Uint32(b[8:]))
			if size > len(b) {
				break // it is being written
			}
			if base >= from && base < to {
				sum += int64(size)
			}
			b = b[size:]
		}
	}
	return sum, nil
}

// batchHead is a batch's base offset and length; the length counts what follows.
const batchHead = 12
