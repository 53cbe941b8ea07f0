package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"nines/internal/bus"
	"nines/internal/deadletter"
	"nines/internal/wire"
	"nines/test/kafka"
)

func TestDeadletterCommands(t *testing.T) {
	s := kafka.Serve(t)
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{s.Addr}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	f := func(code int, want string, args ...string) string {
		t.Helper()
		out, got, err := nines(append(append([]string{"deadletter"}, args...), "--brokers", s.Addr)...)
		text := out
		if err != nil {
			text += err.Error()
		}
		if got != code || !strings.Contains(text, want) {
			t.Errorf("nines deadletter %s: exit %d, want %d and %q:\n%s", strings.Join(args, " "), got, code, want, text)
		}
		return out
	}
	f(0, "0 of 0 letters", "list")
	for _, topic := range []string{wire.TopicDeadLetter, "telegraf"} {
		if _, err := client.EnsureTopic(t.Context(), bus.Topic{Name: topic}); err != nil {
			t.Fatal(err)
		}
	}
	letters := deadletter.NewBatch(client)
	bury := func(rec bus.Record, why wire.DeadLetter) {
		t.Helper()
		if err := errors.Join(letters.Add(t.Context(), &rec, why), letters.Send(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	bury(bus.Record{Time: 1_795_255_500_000, Key: []byte("web-1"), Value: []byte("cpu usage=oops\n")},
		wire.DeadLetter{Topic: "telegraf", Offset: 52811, Reason: "influx", Detail: "line 1: no number"})
	bury(bus.Record{Key: []byte{0, 1}, Value: []byte{wire.MagicFrame, 255, 3}},
		wire.DeadLetter{Topic: wire.TopicTelemetry, Offset: 4, Reason: "frame", Detail: "record is truncated"})
	bury(bus.Record{Value: []byte(otlpGauge), Headers: []bus.Header{{Key: "content-type", Value: []byte("application/x-protobuf")}}},
		wire.DeadLetter{Topic: "telegraf", Offset: 52812, Reason: "series"})

	out := f(0, "3 of 3 letters", "list")
	for _, want := range []string{"influx  telegraf/0/52811", "web-1", "2 bytes"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	f(0, "1 of 3 letters", "list", "--limit", "1")
	f(0, "1 of 1 letters", "list", "--reason", "frame", "--since", "1h")
	f(0, "1 of 1 letters", "list", "--from", "2")
	f(2, "--from: want a letter's number", "list", "--from", "-2")
	f(0, "0 of 0 letters", "list", "--since", "2999-01-01")
	f(2, "--since: want 2h", "list", "--since", "yesterday")
	f(2, "--format: want text or json", "list", "--format", "xml")
	var doc letterDoc
	if err := json.Unmarshal([]byte(f(0, "", "list", "--format", "json", "--reason", "influx")), &doc); err != nil || doc.Key != "web-1" || doc.Offset != 52811 || doc.Again != nil {
		t.Errorf("%+v, %v", doc, err)
	}

	out = f(0, "cpu usage=oops", "show", "telegraf/0/52811")
	for _, want := range []string{"written     2026-11-21T10:05:00Z", "what to do  The record cannot be read in the format of its topic", "detail      line 1: no number"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	f(0, "ff 03", "show", "1")
	f(0, `queue_length{host="web-9"} 4.5`, "show", "2")
	f(0, `"content-type":"application/x-protobuf"`, "show", "2", "--format", "json")
	f(1, "no letter 99: it is older", "show", "99")
	f(2, "want a letter's number", "show", "telegraf/0")

	f(2, "reinject: say which", "reinject")
	f(1, "0 of 1 letters sent", "reinject", "1", "--yes")
	f(0, "letter 0 sent to telegraf/0 offset 0", "reinject", "0", "--yes")
	f(1, "letter 0 was sent again already: it is telegraf/0 offset 0", "reinject", "telegraf/0/52811", "--yes")
	f(0, "letter 0 sent to telegraf/0 offset 1", "reinject", "0", "--yes", "--force")
	f(1, "no such letters", "reinject", "--reason", "tick", "--yes")
	if out := f(0, "telegraf/0/1", "list"); strings.Count(out, " no\n") != 2 {
		t.Errorf("sent again:\n%s", out)
	}
	if out, _, err := nines("cat", wire.TopicDeadLetter, "--brokers", s.Addr); err != nil || !strings.Contains(out, "letter 0 was sent to telegraf/0 offset=1") {
		t.Errorf("nines cat: %v\n%s", err, out)
	}
}

// otlpGauge is queue.length 4.5 of web-9, as a request of OTLP.
const otlpGauge = "" +
	"\x0a\x40\x0a\x16\x0a\x14\x0a\x09\x68\x6f\x73\x74\x2e\x6e\x61\x6d\x65\x12\x07\x0a\x05\x77\x65\x62" +
	"\x2d\x39\x12\x26\x12\x24\x0a\x0c\x71\x75\x65\x75\x65\x2e\x6c\x65\x6e\x67\x74\x68\x2a\x14\x0a\x12" +
	"\x19\x00\xf8\x90\x96\x5d\x07\xea\x18\x21\x00\x00\x00\x00\x00\x00\x12\x40"

func TestReinjectionIsAskedFor(t *testing.T) {
	f := func(answer, want string) {
		t.Helper()
		var out bytes.Buffer
		err := (&reinjectFlags{to: "again"}).ask(&deadletter.Box{Letters: make([]deadletter.Letter, 12)}, strings.NewReader(answer), &out)
		if got := out.String(); !strings.HasPrefix(got, "Send 12 letters to again? [y/N] ") {
			t.Errorf("asked %q", got)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("answer %q: %v, want %q", answer, err, want)
		}
	}
	f("y\n", "")
	f("YES", "")
	f("n\n", "nothing was sent")
	f("\n", "nothing was sent")
	f("", "nobody answers; say --yes")
}

func TestAges(t *testing.T) {
	now := time.UnixMilli(1_795_255_500_000)
	f := func(ago time.Duration, want string) {
		t.Helper()
		if got := ageOf(now, now.Add(-ago).UnixMilli()); got != want {
			t.Errorf("%v: got %s, want %s", ago, got, want)
		}
	}
	f(-time.Second, "0s") // another host's clock
	f(59*time.Second, "59s")
	f(59*time.Minute, "59m")
	f(47*time.Hour, "47h")
	f(6*24*time.Hour, "6d")
}
