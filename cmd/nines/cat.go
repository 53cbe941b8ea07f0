package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// catOptions are the flags of nines cat.
type catOptions struct {
	kafkaFlags
	partition    int
	from         int64
	last         int64
	count        int64
	follow, json bool
}

func newCat(log *logs) *cobra.Command {
	var o catOptions
	cmd := &cobra.Command{
		Use:   "cat TOPIC",
		Short: "Print a topic's records readably",
		Long: `Prints the records of a topic of nines: frames sample by sample, ticks, partials,
checkpoints, rule sets, alerts, dead letters. Schemas travel in the frames at
least once a minute: the minute before the first record is read for them too.`,
		Example: `  nines cat nines.telemetry --last 10
  nines cat nines.alerts --json | jq .
  nines cat nines.telemetry --follow --partition 0
  nines cat nines.partials --brokers kafka-1:9092 --from 1000 --count 5`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{wire.TopicTelemetry, wire.TopicPartials, wire.TopicCheckpoints, wire.TopicRules, wire.TopicRoster, wire.TopicAlerts, wire.TopicDeadLetter},
		RunE: func(cmd *cobra.Command, args []string) error {
			err := o.with(cmd.Context(), log, func(client *bus.Client) error {
				return failed(cat(cmd.Context(), client, args[0], &o, cmd.OutOrStdout()))
			})
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
	o.addKafka(cmd)
	f := cmd.Flags()
	f.IntVar(&o.partition, "partition", -1, "partition to read (default all, one after the other)")
	f.Int64Var(&o.from, "from", -1, "first offset (default the beginning)")
	f.Int64Var(&o.last, "last", 0, "only the last so many offsets of each partition")
	f.Int64Var(&o.count, "count", 0, "stop after so many records")
	f.BoolVarP(&o.follow, "follow", "f", false, "wait for new records; needs one partition where the topic has several")
	f.BoolVar(&o.json, "json", false, "one JSON document a line")
	return cmd
}

func cat(ctx context.Context, client *bus.Client, topic string, o *catOptions, out io.Writer) error {
	n, err := client.Partitions(ctx, topic)
	if err != nil {
		return err
	}
	first, end := 0, n
	if o.partition >= 0 {
		if o.partition >= n {
			return fmt.Errorf("%s has partitions 0 to %d, got --partition %d", topic, n-1, o.partition)
		}
		first, end = o.partition, o.partition+1
	}
	if o.follow && end-first > 1 {
		return fmt.Errorf("%s has %d partitions: choose one with --partition to follow it", topic, n)
	}
	left := o.count
	for p := first; p < end; p++ {
		done, err := catPartition(ctx, client, topic, int32(p), o, &left, out)
		if err != nil || done {
			return err
		}
	}
	return nil
}

// catPartition prints one partition; done says that the count was reached.
func catPartition(ctx context.Context, client *bus.Client, topic string, p int32, o *catOptions, left *int64, out io.Writer) (done bool, err error) {
	first, next, err := client.Offsets(ctx, topic, p)
	if err != nil {
		return false, err
	}
	at := max(first, o.from)
	if o.last > 0 {
		at = max(first, next-o.last)
	}
	schemas := wire.NewSchemaCache(0)
	if wire.IsTelemetry(topic) && at > first {
		if err := learnSchemas(ctx, client, topic, p, at, schemas); err != nil {
			return false, err
		}
	}
	r := client.Reader(topic, p, at)
	for o.follow || r.Offset() < next {
		recs, err := r.Fetch(ctx, time.Second)
		if err != nil {
			return false, err
		}
		for i := range recs {
			if !o.follow && recs[i].Offset >= next {
				return false, nil
			}
			if err := catRecord(out, topic, p, &recs[i], schemas, o.json); err != nil {
				return false, err
			}
			if *left--; *left == 0 {
				return true, nil
			}
		}
	}
	return false, nil
}

// schemaRepeat is within which time agents repeat their schemas, milliseconds.
const schemaRepeat = 75_000

// learnSchemas reads the frames of the minute before position at, for the
// schemas that they carry.
func learnSchemas(ctx context.Context, client *bus.Client, topic string, p int32, at int64, schemas wire.Schemas) error {
	recs, err := client.Reader(topic, p, at-1).Fetch(ctx, time.Second)
	if err != nil || len(recs) == 0 {
		return err
	}
	from, err := client.OffsetAt(ctx, topic, p, recs[0].Time-schemaRepeat)
	if err != nil {
		return err
	}
	var dec wire.Decoder
	var f telemetry.Frame
	for r := client.Reader(topic, p, from); r.Offset() < at; {
		recs, err := r.Fetch(ctx, time.Second)
		if err != nil {
			return err
		}
		for i := range recs {
			if recs[i].Offset < at && wire.TypeOf(recs[i].Value, nil) == wire.TypeFrame {
				_ = dec.DecodeFrame(recs[i].Value, &f, schemas) // what is broken is told when it is printed
			}
		}
	}
	return nil
}

func catRecord(out io.Writer, topic string, p int32, rec *bus.Record, schemas wire.Schemas, asJSON bool) error {
	headers := make([]wire.Header, len(rec.Headers))
	for i, h := range rec.Headers {
		headers[i] = wire.Header{Key: h.Key, Value: h.Value}
	}
	text, doc, err := wire.Describe(topic, rec.Key, rec.Value, headers, schemas)
	if asJSON {
		line := map[string]any{"topic": topic, "partition": p, "offset": rec.Offset, "time": rec.Time, "record": doc}
		if err != nil {
			line["error"] = err.Error()
		}
		return json.NewEncoder(out).Encode(line)
	}
	stamp := time.UnixMilli(rec.Time).UTC().Format("2006-01-02T15:04:05.000Z")
	if err != nil {
		_, err = fmt.Fprintf(out, "%d/%d %s %d bytes: %v\n", p, rec.Offset, stamp, len(rec.Value), err)
		return err
	}
	_, err = fmt.Fprintf(out, "%d/%d %s %s\n", p, rec.Offset, stamp, text)
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
