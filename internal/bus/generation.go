package bus

import (
	"context"
	"errors"
	"fmt"

	kafka "github.com/segmentio/kafka-go"
)

// Generation is one assignment of a group's partitions to this member.
type Generation struct {
	// ID counts the group's assignments; a later one fences this one off.
	ID       int32
	MemberID string
	// Assigned holds this member's partitions by topic, sorted.
	Assigned map[string][]int32

	c     *Client
	group string
}

func (g *Generation) count() int {
	n := 0
	for _, ps := range g.Assigned {
		n += len(ps)
	}
	return n
}

// Committed returns the group's committed offset and what was stored with it;
// offset -1 if nothing was committed, or so long ago that the broker forgot.
func (g *Generation) Committed(ctx context.Context, topic string, partition int32) (offset int64, metadata string, err error) {
	return g.c.Committed(ctx, g.group, topic, partition)
}

// Committed returns a group's committed offset, -1 if there is none, and the
// metadata stored with it.
func (c *Client) Committed(ctx context.Context, group, topic string, partition int32) (offset int64, metadata string, err error) {
	offset = -1
	err = c.lookUp(ctx, func(ctx context.Context) error {
		r, err := c.kc.OffsetFetch(ctx, &kafka.OffsetFetchRequest{
			GroupID: group, Topics: map[string][]int{topic: {int(partition)}},
		})
		if err == nil {
			err = r.Error
		}
		if err != nil {
			return err
		}
		for _, p := range r.Topics[topic] {
			if p.Partition == int(partition) {
				offset, metadata = p.CommittedOffset, p.Metadata
				return p.Error
			}
		}
		return nil
	})
	if err != nil {
		return -1, "", fmt.Errorf("look up what group %s committed for %s/%d: %w", group, topic, partition, err)
	}
	return offset, metadata, nil
}

// Commit stores an offset and up to about 4 kB of metadata for the group. The
// coordinator refuses it with ErrFenced once the generation is over. It makes
// one attempt; see Temporary.
func (g *Generation) Commit(ctx context.Context, topic string, partition int32, offset int64, metadata string) error {
	err := g.c.call(ctx, 0, func(ctx context.Context) error {
		r, err := g.c.kc.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
			GroupID: g.group, GenerationID: int(g.ID), MemberID: g.MemberID,
			Topics: map[string][]kafka.OffsetCommit{
				topic: {{Partition: int(partition), Offset: offset, Metadata: metadata}},
			},
		})
		if err != nil {
			return err
		}
		ps := r.Topics[topic]
		if len(ps) != 1 {
			return errors.New("the broker did not answer for the partition")
		}
		return needs("READ", ps[0].Error)
	})
	if fenced(err) {
		g.c.m.fenced.Inc()
		err = ErrFenced
	}
	if err != nil {
		return fmt.Errorf("commit offset %d of %s/%d for group %s: %w", offset, topic, partition, g.group, err)
	}
	return nil
}

// fenced tells a refusal of this generation from other trouble. During a
// rebalance the coordinator also refuses; the caller is about to lose the
// generation anyway.
func fenced(err error) bool {
	return errors.Is(err, kafka.IllegalGeneration) || errors.Is(err, kafka.UnknownMemberId) ||
		errors.Is(err, kafka.RebalanceInProgress) || errors.Is(err, kafka.FencedInstanceID)
}
