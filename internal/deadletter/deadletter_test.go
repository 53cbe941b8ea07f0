package deadletter_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nines/internal/bus"
	"nines/internal/deadletter"
	"nines/internal/wire"
	"nines/test/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// post is a broker with the topics of dead letters and of a fleet.
type post struct {
	testing.TB
	ctx    context.Context
	client *bus.Client
}

func open(t testing.TB) *post {
	t.Helper()
	s := kafka.Serve(t)
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{s.Addr}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	p := &post{TB: t, ctx: t.Context(), client: client}
	for _, topic := range []bus.Topic{{Name: wire.TopicDeadLetter}, {Name: "telegraf", Partitions: 2}, {Name: "elsewhere"}} {
		if _, err := client.EnsureTopic(p.ctx, topic); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *post) bury(rec bus.Record, why wire.DeadLetter) {
	p.Helper()
	letters := deadletter.NewBatch(p.client)
	if err := errors.Join(letters.Add(p.ctx, &rec, why), letters.Send(p.ctx)); err != nil {
		p.Fatal(err)
	}
}

func (p *post) read(f deadletter.Filter) *deadletter.Box {
	p.Helper()
	b, err := deadletter.Read(p.ctx, p.client, f, nil)
	if err != nil {
		p.Fatal(err)
	}
	return b
}

// again sends the letters of the box and returns what became of each.
func (p *post) again(b *deadletter.Box, o deadletter.Order) (out []string) {
	p.Helper()
	err := deadletter.Reinject(p.ctx, p.client, b, o, func(s deadletter.Sent, err error) {
		if err != nil {
			out = append(out, err.Error())
			return
		}
		out = append(out, fmt.Sprintf("%d to %s/%d/%d", s.Letter.ID, s.Topic, s.Partition, s.Offset))
	})
	if err != nil {
		p.Fatal(err)
	}
	return out
}

func (p *post) records(topic string, partition int32) (out []bus.Record) {
	p.Helper()
	first, next, err := p.client.Offsets(p.ctx, topic, partition)
	if err != nil {
		p.Fatal(err)
	}
	for r := p.client.Reader(topic, partition, first); r.Offset() < next; {
		recs, err := r.Fetch(p.ctx, time.Second)
		if err != nil {
			p.Fatal(err)
		}
		for _, rec := range recs {
			rec.Key, rec.Value = bytes.Clone(rec.Key), bytes.Clone(rec.Value)
			for i := range rec.Headers {
				rec.Headers[i].Value = bytes.Clone(rec.Headers[i].Value)
			}
			rec.Headers = append([]bus.Header(nil), rec.Headers...)
			out = append(out, rec)
		}
	}
	return out
}

func TestALetterIsTheWholeRecordAndComesBackOnce(t *testing.T) {
	p := open(t)
	written := time.Now().Add(-3 * time.Hour).UnixMilli()
	rec := bus.Record{Time: written, Key: []byte("web-1"), Value: []byte("cpu usage=oops\n"),
		Headers: []bus.Header{{Key: "content-type", Value: []byte("text/plain")}}}
	p.bury(rec, wire.DeadLetter{Topic: "telegraf", Partition: 1, Offset: 7, Reason: "influx", Detail: "line 1: no number"})
	p.bury(bus.Record{Value: []byte("x")}, wire.DeadLetter{Topic: wire.TopicTelemetry, Offset: 9, Reason: "frame"})

	if n := len(p.read(deadletter.Filter{}).Letters); n != 2 {
		t.Fatalf("%d letters, want 2", n)
	}
	if last := p.read(deadletter.Filter{Last: 1}).Letters; len(last) != 1 || last[0].Reason != "frame" {
		t.Errorf("the last: %+v", last)
	}
	box := p.read(deadletter.Filter{Reason: "influx", Topic: "telegraf", Since: time.Now().Add(-time.Minute).UnixMilli()})
	if len(box.Letters) != 1 || box.Letters[0].Value != nil || box.Letters[0].Bytes != len(rec.Value) {
		t.Fatalf("chosen: %+v", box.Letters)
	}
	if got := p.again(box, deadletter.Order{}); !reflect.DeepEqual(got, []string{"0 to telegraf/1/0"}) {
		t.Errorf("sent: %q", got)
	}
	back := p.records("telegraf", 1)
	want := rec
	want.Headers = append(want.Headers, bus.Header{Key: wire.HeaderReinjected, Value: []byte("0")})
	if len(back) != 1 || !reflect.DeepEqual(back[0], want) {
		t.Errorf("the record came back as\n%+v, want\n%+v", back, want)
	}

	second := p.read(deadletter.Filter{Reason: "influx"})
	if r := second.Letters[0].Again; r == nil || *r != (wire.Reinjection{Letter: 0, Topic: "telegraf", Partition: 1, Offset: 0}) {
		t.Errorf("noted: %+v", r)
	}
	if got := p.again(second, deadletter.Order{}); len(got) != 1 || !strings.Contains(got[0], "letter 0 was sent again already: it is telegraf/1 offset 0; --force") {
		t.Errorf("a second time: %q", got)
	}
	if got := p.again(second, deadletter.Order{Force: true, To: "elsewhere"}); !reflect.DeepEqual(got, []string{"0 to elsewhere/0/0"}) {
		t.Errorf("forced: %q", got)
	}

	// It fails once more: the new letter knows where it comes from.
	p.bury(back[0], wire.DeadLetter{Topic: "telegraf", Partition: 1, Offset: 0, Reason: "influx"})
	third := p.read(deadletter.Filter{Chosen: func(l *deadletter.Letter) bool { _, ok := l.Returned(); return ok }})
	if got := p.again(third, deadletter.Order{}); len(got) != 1 || !strings.Contains(got[0], "is letter 0, which was sent again and failed again") {
		t.Errorf("after it failed again: %q", got)
	}
	if n := len(p.records("telegraf", 1)); n != 1 {
		t.Errorf("%d records came back, want 1", n)
	}
}

// One of many letters is too large: it alone is cut, and all arrive in order.
func TestABatchWithALargeLetter(t *testing.T) {
	p := open(t)
	large := make([]byte, 1<<20)
	_, _ = rand.Read(large)
	b := deadletter.NewBatch(p.client)
	const n = 5000
	for i := range int64(n) {
		rec := &bus.Record{Value: fmt.Appendf(nil, "%0200d", i)}
		if i == 3000 {
			rec.Value = large
		}
		if err := b.Add(p.ctx, rec, wire.DeadLetter{Topic: "telegraf", Offset: i, Reason: "influx", Detail: strings.Repeat("d", 100)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time there is nothing to send
		if err := b.Send(p.ctx); err != nil {
			t.Fatal(err)
		}
	}
	letters := p.read(deadletter.Filter{}).Letters
	if len(letters) != n {
		t.Fatalf("%d letters, want %d", len(letters), n)
	}
	for i, l := range letters {
		if l.Offset != int64(i) || (l.Size > 0) != (i == 3000) || i == 3000 && l.Bytes != 64<<10 || i != 3000 && l.Bytes != 200 {
			t.Fatalf("letter %d: %+v", i, l)
		}
	}
}

// Of a topic that is long only the end is read, as far as is needed.
func TestTheNewestLetters(t *testing.T) {
	p := open(t)
	b := deadletter.NewBatch(p.client)
	const n = 3000
	for i := range int64(n) {
		why := wire.DeadLetter{Topic: "telegraf", Offset: i, Reason: "influx"}
		if i%1000 == 0 {
			why.Reason = "format"
		}
		if err := b.Add(p.ctx, &bus.Record{Value: []byte("a b=1\n")}, why); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Send(p.ctx); err != nil {
		t.Fatal(err)
	}
	first := p.read(deadletter.Filter{Newest: 1})
	first.Letters = first.Letters[len(first.Letters)-1:]
	if got := p.again(first, deadletter.Order{}); len(got) != 1 {
		t.Fatalf("sent %q", got)
	}
	f := func(filter deadletter.Filter, least, most int, oldest int64, older bool) {
		t.Helper()
		b := p.read(filter)
		if len(b.Letters) < least || len(b.Letters) > most || b.Letters[0].ID != oldest || b.Older != older {
			t.Errorf("%+v: %d letters from %d, older: %v; want %d to %d from %d, %v", filter, len(b.Letters), b.Letters[0].ID, b.Older, least, most, oldest, older)
		}
		for i := 1; i < len(b.Letters); i++ {
			if b.Letters[i].ID <= b.Letters[i-1].ID {
				t.Fatalf("letter %d stands after %d", b.Letters[i].ID, b.Letters[i-1].ID)
			}
		}
		if last := b.Letters[len(b.Letters)-1]; last.ID == n-1 && last.Again == nil {
			t.Error("that the last letter was sent again is not known")
		}
	}
	f(deadletter.Filter{Newest: 20}, 20, 200, n+2-200, true) // two marks follow the letters
	f(deadletter.Filter{Newest: 500}, n, n, 0, false)
	f(deadletter.Filter{Newest: 20, Reason: "influx"}, 20, 200, n+2-200, true)
	f(deadletter.Filter{Newest: 2, Reason: "format"}, 3, 3, 0, false) // one lies in each thousand
	f(deadletter.Filter{From: 2990}, 10, 10, 2990, false)
	f(deadletter.Filter{From: 2990, Newest: 100}, 10, 10, 2990, false)
	f(deadletter.Filter{}, n, n, 0, false)
}

// Two operators read the list, and both reinject all of it.
func TestTwoWhoReinjectSendALetterOnce(t *testing.T) {
	p := open(t)
	for i := range 3 {
		p.bury(bus.Record{Value: []byte("a b=1\n")}, wire.DeadLetter{Topic: "telegraf", Offset: int64(i), Reason: "series"})
	}
	one, other := p.read(deadletter.Filter{}), p.read(deadletter.Filter{})
	one.Letters = one.Letters[:2]
	if got := p.again(one, deadletter.Order{}); !reflect.DeepEqual(got, []string{"0 to telegraf/0/0", "1 to telegraf/0/1"}) {
		t.Errorf("the first: %q", got)
	}
	want := []string{"letter 0 is being sent by somebody else just now", "letter 1 is being sent by somebody else just now", "2 to telegraf/0/2"}
	if got := p.again(other, deadletter.Order{}); !reflect.DeepEqual(got, want) {
		t.Errorf("the second: %q", got)
	}
}

// The command dies between its claim and the record.
func TestALetterThatMayHaveArrivedIsNotSentUnasked(t *testing.T) {
	p := open(t)
	p.bury(bus.Record{Value: []byte("a b=1\n")}, wire.DeadLetter{Topic: "telegraf", Reason: "series"})
	claim := wire.Reinjection{Letter: 0, Topic: "telegraf", Partition: 0, Offset: -1}
	var rec bus.Record
	for _, h := range claim.Headers() {
		rec.Headers = append(rec.Headers, bus.Header{Key: h.Key, Value: h.Value})
	}
	if _, err := p.client.Producer(wire.TopicDeadLetter, 0).Produce(p.ctx, []bus.Record{rec}); err != nil {
		t.Fatal(err)
	}
	got := p.again(p.read(deadletter.Filter{}), deadletter.Order{})
	if len(got) != 1 || !strings.Contains(got[0], "whether it arrived is not known: look there for the header nines-reinjected: 0") {
		t.Errorf("got %q", got)
	}
	if recs := p.records("telegraf", 0); len(recs) != 0 {
		t.Errorf("sent all the same: %v", recs)
	}
}

func TestWhatWouldFailAgainIsRefused(t *testing.T) {
	p := open(t)
	large := make([]byte, 1<<20) // with its reason more than a topic takes
	_, _ = rand.Read(large)
	p.bury(bus.Record{Value: large}, wire.DeadLetter{Topic: "telegraf", Reason: "otlp", Detail: strings.Repeat("d", 2000)})
	p.bury(bus.Record{Value: []byte{1}}, wire.DeadLetter{Topic: wire.TopicPartials, Reason: "partial"})
	box := p.read(deadletter.Filter{})
	if l := box.Letters[0]; l.Size != len(large) || l.Bytes != 64<<10 || !strings.HasPrefix(l.Detail, "(cut from 1048576 bytes) d") {
		t.Errorf("cut to %d of %d: %.60q", l.Bytes, l.Size, l.Detail)
	}
	got := p.again(box, deadletter.Order{})
	if len(got) != 2 || !strings.Contains(got[0], "holds only 65536 of 1048576 bytes") || !strings.Contains(got[1], "letter 1 (partial) is no use in nines.partials") {
		t.Errorf("got %q", got)
	}
	box.Letters = box.Letters[1:]
	if got := p.again(box, deadletter.Order{To: "elsewhere"}); !reflect.DeepEqual(got, []string{"1 to elsewhere/0/0"}) {
		t.Errorf("to a topic where it does no harm: %q", got)
	}
	err := deadletter.Reinject(p.ctx, p.client, box, deadletter.Order{To: "nowhere"}, func(deadletter.Sent, error) {})
	if err == nil || !strings.Contains(err.Error(), "topic nowhere does not exist: create it, or name another with --to") {
		t.Errorf("to a topic that is not there: %v", err)
	}
}

func TestEveryReasonHasAnAdviceOfItsOwn(t *testing.T) {
	unknown, seen := deadletter.Advice("no such reason"), map[string]bool{}
	for _, reason := range []string{"frame", "tick", "partial", "type", "influx", "unkeyed", "format", "series"} {
		text := deadletter.Advice(reason)
		if text == unknown || seen[text] {
			t.Errorf("%s: %s", reason, text)
		}
		seen[text] = true
	}
}
