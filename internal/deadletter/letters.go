package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nines/internal/bus"
	"nines/internal/wire"
)

// Letter is a record of nines.deadletter.
type Letter struct {
	// ID is its offset on nines.deadletter, by which it is called.
	ID int64
	// Buried is when it was sent there, Unix milliseconds.
	Buried int64
	wire.DeadLetter
	// Key and Headers are the original's. Value is what the letter has of its
	// value; nil in lists.
	Key, Value []byte
	Headers    []wire.Header
	// Bytes is the length of Value, in lists too.
	Bytes int
	// Again is what is known of its being sent again; nil if it was not.
	Again *wire.Reinjection
}

// Returned is the letter that the original was sent again from, when it failed
// another time.
func (l *Letter) Returned() (letter string, ok bool) {
	for i := range l.Headers {
		if l.Headers[i].Key == wire.HeaderReinjected {
			return string(l.Headers[i].Value), true
		}
	}
	return "", false
}

// Filter chooses letters; the zero Filter takes all.
type Filter struct {
	// Reason and Topic (of the original) choose where they are not empty.
	Reason, Topic string
	// Since leaves out what was buried before, Unix milliseconds.
	Since int64
	// From leaves out letters of a lower ID.
	From int64
	// Last reads only so many of the topic's last offsets, marks included; 0 all.
	Last int64
	// Newest stops reading, from the end backwards, when at least so many letters
	// were found; 0 never. See Box.Older.
	Newest int
	// Chosen, where not nil, tells which of the rest.
	Chosen func(*Letter) bool
}

func (f *Filter) takes(l *Letter) bool {
	return (f.Reason == "" || f.Reason == l.Reason) && (f.Topic == "" || f.Topic == l.Topic) &&
		l.Buried >= f.Since && (f.Chosen == nil || f.Chosen(l))
}

// Box is what nines.deadletter held.
type Box struct {
	// Letters are those that were asked for, without values, in their order.
	Letters []Letter
	// Unreadable are records that are no letters.
	Unreadable int
	// From is the offset from which on it was read.
	From int64
	// Older tells that there is more before From, which Newest left unread.
	Older bool
	// end is the offset to which it was read.
	end int64
}

// Read reads the topic to its present end, from where the filter begins: by time
// and offset brokers find that at once. What was sent again is noted after the
// letter, so that it is known of each. Progress is told in offsets; it may be nil.
// A topic that does not exist is empty.
func Read(ctx context.Context, client *bus.Client, f Filter, progress func(done, total int64)) (*Box, error) {
	first, next, err := client.Offsets(ctx, wire.TopicDeadLetter, 0)
	if errors.Is(err, bus.ErrUnknownTopic) {
		return &Box{}, nil
	}
	if err != nil {
		return nil, err
	}
	from := first
	if f.Since > 0 {
		at, err := client.OffsetAt(ctx, wire.TopicDeadLetter, 0, f.Since)
		if err != nil {
			return nil, err
		}
		from = max(first, at)
	}
	if f.Last > 0 {
		from = max(from, next-f.Last)
	}
	from = max(from, f.From)
	b := &Box{end: next, From: next}
	again := map[int64]wire.Reinjection{}
	for span := newestSpan * int64(max(f.Newest, 1)); b.From > from; span *= 4 {
		at := from
		if f.Newest > 0 {
			at = max(from, b.From-span)
		}
		part := &Box{}
		done := next - b.From
		err := walk(ctx, client, at, b.From, func(rec *bus.Record) error {
			part.take(rec, &f, again)
			if progress != nil {
				progress(done+rec.Offset-at+1, next-from)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		b.Letters, b.Unreadable, b.From = append(part.Letters, b.Letters...), b.Unreadable+part.Unreadable, at
		if f.Newest > 0 && len(b.Letters) >= f.Newest {
			break
		}
	}
	b.Older = b.From > from
	for i := range b.Letters {
		if r, ok := again[b.Letters[i].ID]; ok {
			b.Letters[i].Again = &r
		}
	}
	return b, nil
}

// newestSpan is how many offsets are read first for each of the newest letters
// that are wanted.
const newestSpan = 10

func (b *Box) take(rec *bus.Record, f *Filter, again map[int64]wire.Reinjection) {
	headers := wireHeaders(rec.Headers)
	switch wire.TypeOf(rec.Value, headers) {
	case wire.TypeReinjection:
		if r, err := wire.DecodeReinjection(headers); err == nil {
			again[r.Letter] = r
			return
		}
	case wire.TypeDeadLetter:
		if l, err := letterOf(rec); err == nil {
			if l.Value = nil; f.takes(&l) {
				b.Letters = append(b.Letters, l)
			}
			return
		}
	}
	b.Unreadable++
}

// Get returns the letter with its value, nothing of it shared.
func Get(ctx context.Context, client *bus.Client, id int64) (Letter, error) {
	first, next, err := client.Offsets(ctx, wire.TopicDeadLetter, 0)
	if err != nil {
		return Letter{}, err
	}
	if id < first || id >= next {
		return Letter{}, fmt.Errorf("read letter %d: %s holds %d to %d", id, wire.TopicDeadLetter, first, next-1)
	}
	var l Letter
	err = walk(ctx, client, id, id+1, func(rec *bus.Record) (err error) {
		l, err = letterOf(rec)
		return err
	})
	if err != nil {
		return Letter{}, fmt.Errorf("read letter %d: %w", id, err)
	}
	if l.Topic == "" {
		return Letter{}, fmt.Errorf("read letter %d: no letter stands there", id)
	}
	return l, nil
}

// letterOf reads a record; nothing of the letter points into it.
func letterOf(rec *bus.Record) (Letter, error) {
	headers := wireHeaders(rec.Headers)
	if typ := wire.TypeOf(rec.Value, headers); typ != wire.TypeDeadLetter {
		return Letter{}, fmt.Errorf("the record is no letter but of type %q", typ)
	}
	d, err := wire.DecodeDeadLetter(headers)
	if err != nil {
		return Letter{}, err
	}
	l := Letter{ID: rec.Offset, Buried: rec.Time, DeadLetter: d, Key: slices.Clone(rec.Key), Value: slices.Clone(rec.Value), Bytes: len(rec.Value)}
	for _, h := range wire.Original(headers) {
		l.Headers = append(l.Headers, wire.Header{Key: h.Key, Value: slices.Clone(h.Value)})
	}
	return l, nil
}

func wireHeaders(in []bus.Header) []wire.Header {
	out := make([]wire.Header, len(in))
	for i, h := range in {
		out[i] = wire.Header{Key: h.Key, Value: h.Value}
	}
	return out
}

// fetchWait bounds one wait for records that are known to be there.
const fetchWait = time.Second

// walk calls f for the records from one offset to before another. What is
// damaged is passed over.
func walk(ctx context.Context, client *bus.Client, from, to int64, f func(*bus.Record) error) error {
	for r := client.Reader(wire.TopicDeadLetter, 0, from); r.Offset() < to; {
		recs, err := r.Fetch(ctx, fetchWait)
		if bad := (*bus.ErrCorrupt)(nil); errors.As(err, &bad) {
			r.SeekTo(bad.Next)
			continue
		}
		if err != nil {
			return err
		}
		for i := range recs {
			if recs[i].Offset >= to {
				return nil
			}
			if err := f(&recs[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
