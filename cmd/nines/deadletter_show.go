package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nines/collector/decode"
	"nines/internal/bus"
	"nines/internal/deadletter"
	"nines/internal/wire"
)

func newDeadletterShow(log *logs) *cobra.Command {
	var q letterFlags
	cmd := &cobra.Command{
		Use:   "show LETTER",
		Short: "Show a dead letter: why, its headers, its content, what to do",
		Long: `Shows one dead letter, by its number or by the place of the original. Text is shown
as it is, other content as the points or samples that can be read and as a hex dump.
By its number a letter is found at once; by its place all letters are read, or those
--since.`,
		Example: `  nines deadletter show 17
  nines deadletter show telegraf/0/52811
  nines deadletter show 17 --format json | jq -r .value | base64 -d > record`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := named(args)
			if err != nil {
				return err
			}
			return q.with(cmd.Context(), log, func(client *bus.Client) error {
				return q.show(cmd.Context(), client, args[0], chosen, cmd.OutOrStdout())
			})
		},
	}
	q.addKafka(cmd)
	q.addSince(cmd)
	q.addFormat(cmd)
	return cmd
}

// shownLetter is a letter with all that is in it, for programs.
type shownLetter struct {
	letterDoc
	Headers map[string]string `json:"headers"`
	Value   []byte            `json:"value"`
	Advice  string            `json:"advice"`
}

func (q *letterFlags) show(ctx context.Context, client *bus.Client, name string, chosen deadletter.Filter, out io.Writer) error {
	l, err := q.find(ctx, client, name, chosen)
	if err != nil {
		return failed(err)
	}
	if q.format == "json" {
		doc := shownLetter{letterDoc: letterDocOf(&l), Headers: map[string]string{}, Value: l.Value, Advice: deadletter.Advice(l.Reason)}
		for i := len(l.Headers) - 1; i >= 0; i-- { // the first of a name counts
			doc.Headers[l.Headers[i].Key] = string(l.Headers[i].Value)
		}
		return failed(json.NewEncoder(out).Encode(doc))
	}
	var b strings.Builder
	row := func(name, text string) { fmt.Fprintf(&b, "%-11s %s\n", name, text) }
	row("letter", fmt.Sprintf("%d, buried %s", l.ID, instant(l.Buried)))
	row("reason", l.Reason)
	row("detail", l.Detail)
	row("from", fmt.Sprintf("%s, partition %d, offset %d", l.Topic, l.Partition, l.Offset))
	if l.Time > 0 {
		row("written", instant(l.Time))
	}
	row("key", keyOf(&l))
	row("bytes", fmt.Sprint(l.Bytes))
	row("sent again", againOf(&l))
	row("what to do", deadletter.Advice(l.Reason))
	for i := range l.Headers {
		row("header", fmt.Sprintf("%s: %q", l.Headers[i].Key, l.Headers[i].Value))
	}
	b.WriteString("\n" + content(&l))
	_, err = io.WriteString(out, b.String())
	return failed(err)
}

// find returns the letter of the name, of several of one place the last.
func (q *letterFlags) find(ctx context.Context, client *bus.Client, name string, chosen deadletter.Filter) (deadletter.Letter, error) {
	box, err := q.read(ctx, client, time.Now(), chosen)
	if err != nil {
		return deadletter.Letter{}, err
	}
	if len(box.Letters) == 0 {
		return deadletter.Letter{}, fmt.Errorf("no letter %s: it is older than the topic keeps, or was never there; see nines deadletter list --limit 0", name)
	}
	last := box.Letters[len(box.Letters)-1]
	l, err := deadletter.Get(ctx, client, last.ID)
	l.Again = last.Again
	return l, err
}

// maxPoints is how many points of a foreign record are shown.
const maxPoints = 20

// content shows what of the record can be read, and its bytes where they are no
// text.
func content(l *deadletter.Letter) string {
	if len(l.Value) == 0 {
		return "(no value)\n"
	}
	raw, _, _ := wire.Describe("", nil, l.Value, nil, wire.NewSchemaCache(0))
	if raw == "" { // of ours, and damaged: as if it were foreign
		raw, _, _ = wire.Describe("", nil, l.Value, []wire.Header{{Key: wire.HeaderType, Value: []byte("foreign")}}, nil)
	}
	points := readable(l)
	if points == "" {
		return raw + "\n"
	}
	return points + "\n" + raw + "\n"
}

// readable lists the points of a record of another fleet.
func readable(l *deadletter.Letter) string {
	for _, format := range formatsOf(l) {
		if text, ok := points(format, l.Value); ok {
			return text
		}
	}
	return ""
}

// formatsOf returns the formats that the record may have: those that its headers
// or its reason name, else all in binary.
func formatsOf(l *deadletter.Letter) []decode.Format {
	var contentType, encoding string
	for i := range l.Headers {
		switch strings.ToLower(l.Headers[i].Key) {
		case "content-type":
			contentType = string(l.Headers[i].Value)
		case "content-encoding":
			encoding = string(l.Headers[i].Value)
		}
	}
	if f, err := decode.FormatOf(contentType, encoding); err == nil {
		return []decode.Format{f}
	}
	if f, err := decode.ParseFormat(l.Reason); err == nil {
		return []decode.Format{f}
	}
	if wire.TypeOf(l.Value, nil) != "" {
		return nil
	}
	return []decode.Format{decode.OTLP, decode.RemoteWrite}
}

// points lists a record's points; ok says that there is one at least.
func points(format decode.Format, value []byte) (text string, ok bool) {
	if format == decode.Influx {
		return "", false // its text says it
	}
	var b strings.Builder
	var r decode.Reader
	r.Open(format, value)
	for n := 0; ; {
		p, err := r.Next()
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", format, err)
			if n++; n > maxPoints {
				return b.String(), ok
			}
			continue
		}
		if p == nil {
			return b.String(), ok
		}
		set, err := r.Describe()
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", format, err)
			continue
		}
		for i := range p.Values {
			if n++; n > maxPoints {
				fmt.Fprintln(&b, "...")
				return b.String(), ok
			}
			if i < len(set.Columns) {
				ok = true
				fmt.Fprintf(&b, "%s %s%s %s\n", instant(p.Time/1e6), set.Columns[i].Name, set.Columns[i].Labels, valueOf(&p.Values[i]))
			}
		}
	}
}

func valueOf(v *decode.Value) string {
	switch v.Form {
	case decode.Histogram:
		return fmt.Sprintf("histogram count=%v sum=%v", v.Hist.Count, v.Hist.Sum)
	case decode.Text:
		return fmt.Sprintf("%q", v.Text)
	case decode.Int:
		return fmt.Sprint(int64(v.Bits))
	case decode.Uint:
		return fmt.Sprint(v.Bits)
	}
	return fmt.Sprint(v.Num)
}
