package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"nines/internal/bus"
	"nines/internal/wire"
)

// Advice says what a reason means and what to do about it, for people.
func Advice(reason string) string {
	switch reason {
	case "frame", "identity":
		return "An agent's frame was damaged, or is of a newer release: upgrade the collectors first. What it held is a gap. Sent again it would be dropped as a repeat of what came before the agent's later frames."
	case "tick":
		return "A clock record of a collector was damaged or is of a newer release. Later ticks have replaced it."
	case "partial":
		return "A record of nines.partials was damaged. Partials join one another by position, so that one sent again joins nothing; see the log of evaluate."
	case "type":
		return "The record says that it is of a type that this release does not know: upgrade the collectors, or find who writes it. Then reinject."
	case "influx", "otlp", "remote-write":
		return "The record cannot be read in the format of its topic. Mend the producer or topics.formats. Reinject where the format was wrong; where the bytes are, they stay wrong."
	case "unkeyed":
		return "A cumulative counter came without a key, or under changing keys. Have the producer use the host's name as key (docs/formats.md). Reinjecting does not help: the record has no key."
	case "format":
		return "This release does not know its content-type. Mend the producer, or upgrade the collectors and then reinject."
	case "series":
		return "Objectives read more series of the partition than it may have. Drop labels at the producer or add partitions, then reinject."
	}
	return "This release does not know the reason: a newer collector wrote it. Upgrade this one."
}

// Refusal says why a letter should not be sent to a topic, nil if nothing speaks
// against it.
func Refusal(l *Letter, to string) error {
	home := to == l.Topic
	from, returned := l.Returned()
	switch {
	case l.Again != nil && l.Again.Offset < 0:
		return fmt.Errorf("letter %d was about to be sent to %s/%d, and whether it arrived is not known: look there for the header %s: %d; --force sends it all the same",
			l.ID, l.Again.Topic, l.Again.Partition, wire.HeaderReinjected, l.ID)
	case l.Again != nil:
		return fmt.Errorf("letter %d was sent again already: it is %s/%d offset %d; --force sends it once more", l.ID, l.Again.Topic, l.Again.Partition, l.Again.Offset)
	case returned:
		return fmt.Errorf("letter %d is letter %s, which was sent again and failed again: mend its reason (%s) first; --force sends it once more", l.ID, from, l.Reason)
	case l.Size > 0:
		return fmt.Errorf("letter %d holds only %d of %d bytes, and would fail again: read the original at %s/%d offset %d; --force sends what there is", l.ID, l.Bytes, l.Size, l.Topic, l.Partition, l.Offset)
	case home && slices.Contains([]string{"frame", "identity", "tick", "partial", "unkeyed"}, l.Reason):
		return fmt.Errorf("letter %d (%s) is no use in %s: %s --to names another topic, --force sends it all the same", l.ID, l.Reason, to, Advice(l.Reason))
	}
	return nil
}

// Order says how letters are sent again.
type Order struct {
	// To is the topic; "" means each letter's own.
	To string
	// Force sends in spite of Refusal.
	Force bool
}

func (o *Order) topic(l *Letter) string {
	if o.To != "" {
		return o.To
	}
	return l.Topic
}

// Sent is a letter that was sent again, and where it stands now.
type Sent struct {
	Letter    *Letter
	Topic     string
	Partition int32
	Offset    int64
}

// Reinject sends letters of the box again, and calls done after each with where
// it went or why it was not sent. Before, it claims them on nines.deadletter; of
// two that claim the same letter, the first in the log sends it. A letter whose
// sending fails stays claimed, as it may have arrived. The error is what made
// going on useless.
func Reinject(ctx context.Context, client *bus.Client, b *Box, o Order, done func(Sent, error)) error {
	s := &sender{client: client, order: o, marks: client.Producer(wire.TopicDeadLetter, 0), producers: map[place]*bus.Producer{}, partitions: map[string]int32{}}
	var letters []*Letter
	for i := range b.Letters {
		l := &b.Letters[i]
		if err := Refusal(l, o.topic(l)); err != nil && !o.Force {
			done(Sent{Letter: l}, err)
			continue
		}
		letters = append(letters, l)
	}
	for part := range slices.Chunk(letters, claimAtOnce) {
		if err := s.batch(ctx, b.end, part, done); err != nil {
			return err
		}
	}
	return nil
}

// claimAtOnce is how many letters are claimed by one write.
const claimAtOnce = 200

type place struct {
	topic     string
	partition int32
}

type sender struct {
	client     *bus.Client
	order      Order
	marks      *bus.Producer
	producers  map[place]*bus.Producer
	partitions map[string]int32
}

func (s *sender) batch(ctx context.Context, end int64, letters []*Letter, done func(Sent, error)) error {
	marks := make([]wire.Reinjection, len(letters))
	recs := make([]bus.Record, len(letters))
	for i, l := range letters {
		p, err := s.place(ctx, l)
		if err != nil {
			return err
		}
		marks[i] = wire.Reinjection{Letter: l.ID, Topic: p.topic, Partition: p.partition, Offset: -1}
		recs[i] = markRecord(&marks[i])
	}
	base, err := s.marks.Produce(ctx, recs)
	if err != nil {
		return fmt.Errorf("claim letters: %w", err)
	}
	taken, err := s.taken(ctx, end, base)
	if err != nil {
		return err
	}
	for i, l := range letters {
		if taken[l.ID] && !s.order.Force {
			done(Sent{Letter: l}, fmt.Errorf("letter %d is being sent by somebody else just now", l.ID))
			continue
		}
		sent, err := s.send(ctx, l, &marks[i])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		done(sent, err)
	}
	return nil
}

// taken returns the letters that were claimed between the reading of the box and
// our own claim.
func (s *sender) taken(ctx context.Context, from, to int64) (map[int64]bool, error) {
	out := map[int64]bool{}
	err := walk(ctx, s.client, from, to, func(rec *bus.Record) error {
		if r, err := wire.DecodeReinjection(wireHeaders(rec.Headers)); err == nil {
			out[r.Letter] = true
		}
		return nil
	})
	return out, err
}

// place returns where a letter goes: to the partition that it came from, where
// the topic has it.
func (s *sender) place(ctx context.Context, l *Letter) (place, error) {
	topic := s.order.topic(l)
	n, ok := s.partitions[topic]
	if !ok {
		parts, err := s.client.Partitions(ctx, topic)
		if errors.Is(err, bus.ErrUnknownTopic) {
			return place{}, fmt.Errorf("send letter %d: topic %s does not exist: create it, or name another with --to", l.ID, topic)
		}
		if err != nil {
			return place{}, err
		}
		n = int32(parts)
		s.partitions[topic] = n
	}
	return place{topic, l.Partition % n}, nil
}

// send makes one attempt: another might store the record twice.
func (s *sender) send(ctx context.Context, l *Letter, mark *wire.Reinjection) (Sent, error) {
	full, err := Get(ctx, s.client, l.ID)
	if err != nil {
		return Sent{Letter: l}, err
	}
	at := place{mark.Topic, mark.Partition}
	p := s.producers[at]
	if p == nil {
		p = s.client.Producer(at.topic, at.partition)
		s.producers[at] = p
	}
	base, err := p.Produce(ctx, []bus.Record{original(&full)})
	if err != nil {
		return Sent{Letter: l}, fmt.Errorf("send letter %d: %w; it may have arrived: look for the header %s: %d there before you use --force", l.ID, err, wire.HeaderReinjected, l.ID)
	}
	sent := Sent{Letter: l, Topic: at.topic, Partition: at.partition, Offset: base}
	mark.Offset = base
	if _, err := s.marks.ProduceRetry(ctx, func() []bus.Record { return []bus.Record{markRecord(mark)} }); err != nil {
		return sent, fmt.Errorf("letter %d was sent to %s/%d offset %d, but this could not be noted: %w", l.ID, at.topic, at.partition, base, err)
	}
	return sent, nil
}

// original is the record that the letter was, with a header that tells so.
func original(l *Letter) bus.Record {
	rec := bus.Record{Time: l.Time, Key: l.Key, Value: l.Value}
	for _, h := range l.Headers {
		if h.Key != wire.HeaderReinjected {
			rec.Headers = append(rec.Headers, bus.Header{Key: h.Key, Value: h.Value})
		}
	}
	rec.Headers = append(rec.Headers, bus.Header{Key: wire.HeaderReinjected, Value: strconv.AppendInt(nil, l.ID, 10)})
	return rec
}

func markRecord(r *wire.Reinjection) bus.Record {
	var rec bus.Record
	for _, h := range r.Headers() {
		rec.Headers = append(rec.Headers, bus.Header{Key: h.Key, Value: h.Value})
	}
	return rec
}
