package remotewrite

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"nines/internal/wire"
	"nines/test/kafka"
)

// said keeps what is logged.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// about returns the lines that have all of the words.
func (s *said) about(words ...string) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
lines:
	for line := range strings.Lines(s.text.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		out = append(out, line)
	}
	return out
}

// The receiver is away for longer than Kafka keeps its log, first with the role
// stopped, then in front of its eyes. What was deleted before it was sent is
// counted and named with its range, once, and everything else is sent.
func TestRecordsDeletedBeforeTheyWereSent(t *testing.T) {
	cluster := kafka.Start(t, kafka.Options{})
	r := newHandler(t, "1.0 2.0")
	r.start()
	t.Cleanup(r.stop)
	s := newSite(t, cluster.Addrs()[0], r.url(), "auto", func(v float64) float64 { return v })
	log := &said{}
	s.log = slog.New(slog.NewTextHandler(log, nil))
	stop := s.run()
	eventually(t, "the group has positions", func() bool { return s.at(0) })
	s.send(100)
	eventually(t, "the first hundred are sent", func() bool { return s.at(100) })

	stop()
	s.send(100)
	s.deleteBefore(cluster, 150)
	stop = s.run()
	defer func() { stop() }()
	eventually(t, "the second hundred is sent but for what was deleted", func() bool { return s.at(200) })
	f := func(topic string, from, to int) {
		t.Helper()
		want := []string{"level=ERROR", "topic=" + topic, "partition=0", fmt.Sprintf("records=%d", to-from+1), fmt.Sprintf("first=%d", from), fmt.Sprintf("last=%d", to), "sent_until=20", "kept_from=20"}
		if got := log.about(want...); len(got) != 1 {
			t.Errorf("%d lines tell of %v; it said\n%s", len(got), want, log.text.String())
		}
	}
	f(wire.TopicTelemetry, 100, 149)
	f(lines, 200, 299)
	s.lost(t, 150)
	s.holdsAllBut(r, 100, 150)

	// What it reads while it tries again it holds, and sends: only what it had not
	// read is lost.
	r.stop()
	tried := s.metric("nines_forward_retries_total")
	s.send(100)
	eventually(t, "it tries again", func() bool { return s.metric("nines_forward_retries_total") > tried })
	s.send(100)
	s.deleteBefore(cluster, 375)
	r.start()
	eventually(t, "the rest is sent", func() bool { return s.at(400) })
	lost := s.metric("nines_forward_records_lost_total") - 150
	if lost == 0 || lost > 3*175 {
		t.Errorf("%d records were lost of the 525 that were deleted before the receiver was back", lost)
	}
	missing := s.missing(r, "kept_value") + 2*s.missing(r, "kept_line")
	if want := 150 + lost; missing != want {
		t.Errorf("the receiver lacks what %d records said; %d are told to be lost", missing, want)
	}
}

// deleteBefore deletes the first n rounds.
func (s *site) deleteBefore(c *kafka.Cluster, n int64) {
	s.t.Helper()
	if err := c.DeleteRecords(s.t.Context(), map[string]int64{wire.TopicTelemetry: n, lines: 2 * n}); err != nil {
		s.t.Fatal(err)
	}
}

// metric returns one of the role's counters.
func (s *site) metric(name string) (n int) {
	s.t.Helper()
	var b bytes.Buffer
	s.m.WritePrometheus(&b)
	for line := range strings.Lines(b.String()) {
		if rest, ok := strings.CutPrefix(line, name+"{"); ok {
			if _, err := fmt.Sscan(rest[strings.Index(rest, "}")+1:], &n); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return n
}

func (s *site) lost(t *testing.T, want int) {
	t.Helper()
	if got := s.metric("nines_forward_records_lost_total"); got != want {
		t.Errorf("%d records are counted as lost, want %d", got, want)
	}
}

// missing counts the rounds of which the receiver has no sample of that name, and
// fails where one differs.
func (s *site) missing(r store, name string) int {
	s.t.Helper()
	got, err := r.samples(name)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range got {
		if p.value != s.want[p.at] {
			s.t.Errorf("%s at %d: %v, want %v", name, p.at, p.value, s.want[p.at])
		}
	}
	return len(s.want) - len(got)
}

// holdsAllBut checks that the receiver has every round but those in [from, to).
func (s *site) holdsAllBut(r store, from, to int) {
	s.t.Helper()
	for _, name := range []string{"kept_value", "kept_line"} {
		if n := s.missing(r, name); n != to-from {
			s.t.Errorf("%d samples of %s are missing, want %d", n, name, to-from)
		}
		got, err := r.samples(name)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, p := range got {
			if round := int(p.at-s.base) / 1000; round >= from && round < to {
				s.t.Errorf("%s of round %d, which was deleted", name, round)
			}
		}
	}
}
