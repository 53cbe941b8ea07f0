package aggregate

import (
	"context"
	"errors"
	"fmt"

	"nines/internal/bus"
	"nines/internal/wire"
)

// restore brings the state back from the newest complete checkpoint and
// compares its position with the log: a recreated or truncated topic starts a
// new incarnation, and what left the log unread is recorded.
func (o *owner) restore(ctx context.Context) error {
	first, next, err := o.o.Client.Offsets(ctx, o.topic, o.partition)
	if err != nil {
		return err
	}
	data, set := o.newest()
	o.set = set
	if data == nil {
		o.state = NewState(o.number, o.sources, 1, first, o.o.Rules.Get)
		o.state.Pack()
		return nil
	}
	st, crc, err := Restore(data, o.sources, o.o.Rules.Get)
	if err != nil {
		return err
	}
	o.state = st
	st.Pack()
	same, err := o.sameLog(ctx, first, next, crc)
	switch {
	case err != nil:
		return err
	case !same:
		o.log.Warn("the topic was recreated or cut back; a new incarnation begins, what was unread is recorded as a gap",
			"position", st.Position(), "first", first, "next", next)
		st.Reincarnate(first)
	case first > st.Position():
		o.log.Warn("records left the log before they were read; they are recorded as a gap",
			"position", st.Position(), "first", first)
		st.Doubt()
		return o.lost(ctx, first)
	}
	return nil
}

// sameLog tells whether the record before the position is still the one that
// the checkpoint saw there.
func (o *owner) sameLog(ctx context.Context, first, next int64, crc uint32) (bool, error) {
	pos := o.state.Position()
	if pos > next {
		return false, nil
	}
	if pos-1 < first {
		return true, nil // retention took it: nothing to compare
	}
	recs, err := o.o.Client.Reader(o.topic, o.partition, pos-1).Fetch(ctx, fetchWait)
	if err != nil {
		var damaged *bus.ErrCorrupt
		if errors.As(err, &damaged) {
			return true, nil
		}
		return false, fmt.Errorf("compare the checkpoint with the log: %w", err)
	}
	if len(recs) == 0 {
		return false, fmt.Errorf("compare the checkpoint with the log: the record at offset %d did not come", pos-1)
	}
	if recs[0].Offset != pos-1 {
		return false, nil
	}
	return CRC(recs[0].Value) == crc, nil
}

// newest returns the payload of the partition's newest complete checkpoint, nil
// where there is none, and the number of the next set.
func (o *owner) newest() (payload []byte, next uint64) {
	var j wire.CheckpointJoiner
	for _, key := range o.checkpoints.Keys() {
		part, ok := o.checkpoints.Get(key)
		if !ok {
			continue
		}
		if err := j.Add(part); err != nil {
			o.log.Warn("a checkpoint cannot be read; an older one is used", "key", key, "err", err)
		}
	}
	_, payload, _ = j.Latest(o.number)
	return payload, j.Next(o.number)
}
