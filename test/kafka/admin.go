package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	client "github.com/segmentio/kafka-go"
)

// admin talks to the open listeners without a Java machine; close ends it.
func (c *Cluster) admin() (a *client.Client, closeIdle func()) {
	var at []string
	for _, n := range c.nodes {
		at = append(at, net.JoinHostPort(n.host, strconv.Itoa(n.internal)))
	}
	tr := &client.Transport{DialTimeout: 2 * time.Second, MetadataTTL: 50 * time.Millisecond}
	return &client.Client{Addr: client.TCP(at...), Timeout: 10 * time.Second, Transport: tr}, tr.CloseIdleConnections
}

// topics are the names of those that clients made.
func topics(ctx context.Context, a *client.Client) (names []string, err error) {
	m, err := a.Metadata(ctx, &client.MetadataRequest{})
	if err != nil {
		return nil, err
	}
	for _, t := range m.Topics {
		if !t.Internal && !strings.HasPrefix(t.Name, "__") {
			names = append(names, t.Name)
		}
	}
	return names, nil
}

// retry calls f until it succeeds or the context ends.
func retry(ctx context.Context, what string, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		case <-time.After(look):
		}
	}
}

// Empty deletes all topics and consumer groups, with what they committed.
func (c *Cluster) Empty(ctx context.Context) error {
	a, done := c.admin()
	defer done()
	return retry(ctx, "empty Kafka", func() error {
		names, err := topics(ctx, a)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			return errors.Join(deleteTopics(ctx, a, names), errors.New("topics remain"))
		}
		groups, err := a.ListGroups(ctx, &client.ListGroupsRequest{})
		if err == nil {
			err = groups.Error
		}
		if err != nil || len(groups.Groups) == 0 {
			return err
		}
		var ids []string
		for _, g := range groups.Groups {
			ids = append(ids, g.GroupID)
		}
		r, err := a.DeleteGroups(ctx, &client.DeleteGroupsRequest{GroupIDs: ids})
		if err != nil {
			return err
		}
		for id, e := range r.Errors {
			if e != nil && !errors.Is(e, client.GroupIdNotFound) {
				err = errors.Join(err, fmt.Errorf("delete group %s: %w", id, e))
			}
		}
		return err
	})
}

func deleteTopics(ctx context.Context, a *client.Client, names []string) error {
	r, err := a.DeleteTopics(ctx, &client.DeleteTopicsRequest{Topics: names})
	if err != nil {
		return err
	}
	for name, e := range r.Errors {
		if e != nil && !errors.Is(e, client.UnknownTopicOrPartition) {
			err = errors.Join(err, fmt.Errorf("delete topic %s: %w", name, e))
		}
	}
	return err
}

// DeleteTopic deletes a topic and returns when no node shows it any more.
func (c *Cluster) DeleteTopic(ctx context.Context, name string) error {
	a, done := c.admin()
	defer done()
	return retry(ctx, "delete topic "+name, func() error {
		if err := deleteTopics(ctx, a, []string{name}); err != nil {
			return err
		}
		names, err := topics(ctx, a)
		for _, n := range names {
			if n == name {
				err = errors.New("it remains")
			}
		}
		return err
	})
}

// AddPartitions gives a topic that many partitions in all.
func (c *Cluster) AddPartitions(ctx context.Context, topic string, count int) error {
	a, done := c.admin()
	defer done()
	r, err := a.CreatePartitions(ctx, &client.CreatePartitionsRequest{Topics: []client.TopicPartitionsConfig{{Name: topic, Count: int32(count)}}})
	if err == nil {
		err = r.Errors[topic]
	}
	if err != nil {
		return fmt.Errorf("give topic %s %d partitions: %w", topic, count, err)
	}
	return nil
}

// Leader returns the node that leads a partition, by its place; -1 if none does.
func (c *Cluster) Leader(ctx context.Context, topic string, partition int) (int, error) {
	a, done := c.admin()
	defer done()
	m, err := a.Metadata(ctx, &client.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return -1, err
	}
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			if t.Name == topic && p.ID == partition {
				return p.Leader.ID - 1, nil
			}
		}
	}
	return -1, fmt.Errorf("find the leader of %s/%d: no such partition", topic, partition)
}

// AwaitLeader waits until a node leads the partition, and returns it by its place.
func (c *Cluster) AwaitLeader(ctx context.Context, topic string, partition int) (leader int, err error) {
	err = retry(ctx, "await a leader", func() error {
		var err error
		if leader, err = c.Leader(ctx, topic, partition); err == nil && leader < 0 {
			err = fmt.Errorf("nobody leads %s/%d", topic, partition)
		}
		return err
	})
	return leader, err
}

// AwaitInSync waits until all copies of every partition are in sync.
func (c *Cluster) AwaitInSync(ctx context.Context) error {
	a, done := c.admin()
	defer done()
	return retry(ctx, "await that all copies are in sync", func() error {
		m, err := a.Metadata(ctx, &client.MetadataRequest{})
		if err != nil {
			return err
		}
		if n := len(m.Brokers); n != len(c.nodes) {
			return fmt.Errorf("%d of %d nodes are there", n, len(c.nodes))
		}
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				if len(p.Isr) < len(p.Replicas) {
					return fmt.Errorf("%s/%d has %d of %d copies in sync", t.Name, p.ID, len(p.Isr), len(p.Replicas))
				}
			}
		}
		return nil
	})
}

// Describe says which nodes there are, and who leads each partition and is in
// sync: for people who look at a test that failed.
func (c *Cluster) Describe(ctx context.Context) string {
	a, done := c.admin()
	defer done()
	m, err := a.Metadata(ctx, &client.MetadataRequest{})
	if err != nil {
		return "describe the cluster: " + err.Error()
	}
	var b strings.Builder
	ids := func(nodes []client.Broker) (out []int) {
		for _, n := range nodes {
			out = append(out, n.ID)
		}
		return out
	}
	fmt.Fprintf(&b, "nodes %v, controller %d\n", ids(m.Brokers), m.Controller.ID)
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			fmt.Fprintf(&b, "%s/%d is led by %d, of %v %v are in sync\n", t.Name, p.ID, p.Leader.ID, ids(p.Replicas), ids(p.Isr))
		}
	}
	return b.String()
}
