package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
)

// Topic describes a topic to create.
type Topic struct {
	Name string
	// Partitions is the count for a new topic (1).
	Partitions int
	// Replication is the number of copies; 0 means the broker's default.
	Replication int
	// Compact keeps the last record of each key for ever instead of all
	// records for a time.
	Compact bool
	// Retention is how long records are kept; 0 means the broker's default, and for
	// ever where Compact is set. With both, a key's last record is kept that long.
	Retention time.Duration
	// Segment is how long records gather before they can be compacted or dropped; 0
	// means the broker's default, a week on Apache Kafka.
	Segment time.Duration
	// MaxMessageBytes bounds one batch; 0 means the broker's default.
	MaxMessageBytes int
}

func (t Topic) config() kafka.TopicConfig {
	out := kafka.TopicConfig{Topic: t.Name, NumPartitions: max(t.Partitions, 1), ReplicationFactor: t.Replication}
	if t.Replication == 0 {
		out.ReplicationFactor = -1
	}
	set := func(name, value string) {
		out.ConfigEntries = append(out.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	if t.Segment > 0 {
		set("segment.ms", strconv.FormatInt(t.Segment.Milliseconds(), 10))
	}
	switch {
	case t.Compact && t.Retention > 0:
		set("cleanup.policy", "compact,delete")
		set("retention.ms", strconv.FormatInt(t.Retention.Milliseconds(), 10))
	case t.Compact:
		// Unlimited retention is implied by the policy on Apache Kafka, but a
		// broker is free to apply its defaults to every topic.
		set("cleanup.policy", "compact")
		set("retention.ms", "-1")
		set("retention.bytes", "-1")
	default:
		set("cleanup.policy", "delete")
		if t.Retention > 0 {
			set("retention.ms", strconv.FormatInt(t.Retention.Milliseconds(), 10))
		}
	}
	if t.MaxMessageBytes > 0 {
		set("max.message.bytes", strconv.Itoa(t.MaxMessageBytes))
	}
	return out
}

// Ping proves address, TLS and password. It asks for the versions, which
// brokers tell anybody and which needs a connection that works now, and for the
// cluster, which they tell only those who are let in.
func (c *Client) Ping(ctx context.Context) error {
	return c.lookUp(ctx, func(ctx context.Context) error {
		r, err := c.kc.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
		if err == nil {
			err = r.Error
		}
		if err == nil {
			_, err = c.kc.Metadata(ctx, &kafka.MetadataRequest{})
		}
		return err
	})
}

// EnsureTopic creates the topic if it is absent and returns how many partitions
// it has, which for a topic that exists may be another number than asked for.
// Nothing about an existing topic is changed. It asks the cluster as it is now:
// what was known of a topic that was deleted since would hide that it is gone.
func (c *Client) EnsureTopic(ctx context.Context, t Topic) (int, error) {
	c.forget()
	n, unseen := c.Partitions(ctx, t.Name)
	if unseen == nil || !errors.Is(unseen, ErrUnknownTopic) {
		return n, unseen
	}
	err := c.call(ctx, 0, func(ctx context.Context) error {
		r, err := c.kc.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{t.config()}})
		if err == nil {
			err = r.Errors[t.Name]
		}
		if errors.Is(err, kafka.TopicAlreadyExists) {
			return nil
		}
		return needs("CREATE", err)
	})
	if errors.Is(err, kafka.InvalidReplicationFactor) {
		return 0, fmt.Errorf("create topic %s with %d copies: has the cluster that many brokers? %w", t.Name, t.Replication, err)
	}
	if errors.Is(err, kafka.TopicAuthorizationFailed) { // it may be there, for others to see
		return 0, fmt.Errorf("%w; nor may it be created: %w", unseen, err)
	}
	if err != nil {
		return 0, fmt.Errorf("create topic %s: %w", t.Name, err)
	}
	return c.awaitTopic(ctx, t.Name)
}

// awaitTopic waits until a topic that was just created is known everywhere and
// its leaders serve it: metadata names them before they know.
func (c *Client) awaitTopic(ctx context.Context, name string) (int, error) {
	wctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	served := 0
	for b := (backoff{}); ; {
		n, err := c.Partitions(wctx, name)
		for ; err == nil && served < n; served++ {
			if _, err = c.listOffset(wctx, name, int32(served), kafka.LastOffset); err != nil {
				break
			}
		}
		if err == nil {
			return n, nil
		}
		if b.wait(wctx) != nil {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			return 0, fmt.Errorf("find topic %s after creating it: %w", name, err)
		}
	}
}

// Partitions returns how many partitions a topic has, at most half a minute
// old. A missing topic is ErrUnknownTopic.
func (c *Client) Partitions(ctx context.Context, topic string) (int, error) {
	var n int
	err := c.lookUp(ctx, func(ctx context.Context) error {
		r, err := c.kc.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
		if err != nil {
			return err
		}
		for _, t := range r.Topics {
			if t.Name != topic {
				continue
			}
			if t.Error != nil {
				return t.Error
			}
			n = len(t.Partitions)
		}
		if n == 0 {
			return kafka.UnknownTopicOrPartition
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("look up topic %s: %w", topic, err)
	}
	return n, nil
}

// Offsets returns the first offset that the log still holds and the one that
// the next record will get; they are equal when it holds nothing.
func (c *Client) Offsets(ctx context.Context, topic string, partition int32) (first, next int64, err error) {
	if first, err = c.listOffset(ctx, topic, partition, kafka.FirstOffset); err != nil {
		return 0, 0, err
	}
	next, err = c.listOffset(ctx, topic, partition, kafka.LastOffset)
	return first, next, err
}

// OffsetAt returns the offset of the first record whose time is at or after ms
// (Unix milliseconds), or the next offset if there is none.
func (c *Client) OffsetAt(ctx context.Context, topic string, partition int32, ms int64) (int64, error) {
	o, err := c.listOffset(ctx, topic, partition, max(ms, 0))
	if err != nil || o >= 0 {
		return o, err
	}
	return c.listOffset(ctx, topic, partition, kafka.LastOffset)
}

// listOffset asks for one timestamp; kafka.FirstOffset (-2) and LastOffset (-1)
// are timestamps to the protocol. It returns -1 if no record is that young.
func (c *Client) listOffset(ctx context.Context, topic string, partition int32, ts int64) (int64, error) {
	offset := int64(-1)
	err := c.lookUp(ctx, func(ctx context.Context) error {
		m, err := c.transport.RoundTrip(ctx, c.addr, &listoffsets.Request{
			ReplicaID: -1,
			Topics: []listoffsets.RequestTopic{{
				Topic: topic,
				Partitions: []listoffsets.RequestPartition{{
					Partition: partition, CurrentLeaderEpoch: -1, Timestamp: ts,
				}},
			}},
		})
		if err != nil {
			return err
		}
		r, ok := m.(*listoffsets.Response)
		if !ok || len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return kafka.UnknownTopicOrPartition
		}
		p := r.Topics[0].Partitions[0]
		if p.ErrorCode != 0 {
			return needs("DESCRIBE", kafka.Error(p.ErrorCode))
		}
		offset = p.Offset
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("look up offsets of %s/%d: %w", topic, partition, err)
	}
	return offset, nil
}
