package e2e

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nines/internal/bus"
	"nines/internal/wire"
	"nines/test/kafka"
)

// nothingSpare holds what the processes asked the broker for against the rights:
// nothing that they do was refused once the rights were there, and each right was
// used for something that no other right allows. Only seeing topics is left to
// eachIsNeeded, as brokers check it for all topics when asked for the list.
func (g *guarded) nothingSpare() {
	g.Helper()
	unused := slices.DeleteFunc(slices.Clone(g.rights), func(a kafka.ACL) bool { return a.Operation == "Describe" })
	for _, d := range g.Decisions() {
		if !d.Allowed || d.Request == "METADATA" || d.Principal == "User:root" {
			continue
		}
		var by []kafka.ACL
		for _, a := range g.rights {
			if a.Allows(d.ACL) {
				by = append(by, a)
			}
		}
		switch len(by) {
		case 0:
			g.Errorf("no documented right allows what was done: %s (%s)", d.ACL, d.Request)
		case 1:
			unused = slices.DeleteFunc(unused, func(a kafka.ACL) bool { return a == by[0] })
		}
	}
	for _, a := range unused {
		g.Errorf("nobody needed: %s", a)
	}
}

// agentIsKeptToItsRegion: it can write there, and do nothing else at all.
func (g *guarded) agentIsKeptToItsRegion(root *bus.Client) {
	g.Helper()
	agent := g.as("agent-eu-de")
	x := []bus.Record{{Value: []byte("x")}}
	if _, err := agent.Producer(ownRegion, 0).Produce(g.ctx, x); err != nil {
		g.Error(err)
	}
	if _, err := root.EnsureTopic(g.ctx, bus.Topic{Name: nextRegion}); err != nil {
		g.Fatal(err)
	}
	for _, topic := range []string{nextRegion, wire.TopicTelemetry, wire.TopicAlerts, wire.TopicRules, wire.TopicPartials, wire.TopicCheckpoints, wire.TopicDeadLetter} {
		if _, err := agent.Producer(topic, 0).Produce(g.ctx, x); err == nil || !strings.Contains(err.Error(), "no ACL lets user agent-eu-de see it") {
			g.Errorf("the agent of eu-de writes to %s: %v", topic, err)
		}
		if _, err := agent.Reader(topic, 0, 0).Fetch(g.ctx, time.Second); err == nil || !strings.Contains(err.Error(), "no ACL lets user agent-eu-de see it") {
			g.Errorf("the agent of eu-de reads %s: %v", topic, err)
		}
	}
	if _, err := agent.Reader(ownRegion, 0, 0).Fetch(g.ctx, time.Second); err == nil || !strings.Contains(err.Error(), "an ACL for READ is missing") {
		g.Errorf("the agent reads its own topic: %v", err)
	}
	if _, err := agent.EnsureTopic(g.ctx, bus.Topic{Name: "nines.telemetry.made-up"}); err == nil || !strings.Contains(err.Error(), "nor may it be created: user agent-eu-de may not do this to the topic: an ACL for CREATE is missing") {
		g.Errorf("the agent makes a topic: %v", err)
	}
	if _, _, err := agent.Committed(g.ctx, "nines-aggregate", ownRegion, 0); err == nil || !strings.Contains(err.Error(), "an ACL for READ on the group is missing") {
		g.Errorf("the agent sees a group: %v", err)
	}
}

// eachIsNeeded takes one right after the other away and makes the call that its
// role makes: it fails, the error says what is missing, and it works again when
// the right is back.
func (g *guarded) eachIsNeeded() {
	g.Helper()
	for i, a := range g.rights {
		try, want := g.need(a, i)
		if try == nil {
			g.Errorf("not needed beside the others: %s", a)
			continue
		}
		user := strings.TrimPrefix(a.Principal, "User:")
		attempt := func() error {
			c := g.as(user) // what another has heard of the cluster may be old
			defer c.Close()
			return try(c)
		}
		if err := g.Revoke(g.ctx, a); err != nil {
			g.Fatal(err)
		}
		eventually(g.T, time.Minute, "it is missed that "+a.String(), func() error {
			err := attempt()
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "user "+user+" ") {
				return fmt.Errorf("got %v, want %q", err, want)
			}
			return nil
		})
		if err := g.Grant(g.ctx, a); err != nil {
			g.Fatal(err)
		}
		eventually(g.T, time.Minute, "again "+a.String(), attempt)
	}
}

const (
	unseen = "no such topic or partition, or no ACL lets user "
	denied = " is missing on the broker (kafka-acls --add)"
)

// need returns a call that only this right allows, and what its error says
// without it; nil where others allow all that it does.
func (g *guarded) need(a kafka.ACL, number int) (try func(*bus.Client) error, want string) {
	want = "an ACL for " + strings.ToUpper(a.Operation) + denied
	switch {
	case a.Kind == "group":
		want = "an ACL for READ on the group" + denied
		return func(c *bus.Client) error {
			_, _, err := c.Committed(g.ctx, a.Name, wire.TopicRules, 0)
			return err
		}, want
	case a.Operation == "Create":
		return func(c *bus.Client) error {
			_, err := c.EnsureTopic(g.ctx, bus.Topic{Name: fmt.Sprintf("%snew-%d", a.Name, number)})
			return err
		}, want
	}
	topic := g.alone(a)
	if topic == "" {
		return nil, ""
	}
	if !g.others(a, kafka.ACL{Principal: a.Principal, Operation: "Describe", Kind: "topic", Name: topic}) {
		want = unseen
	}
	return func(c *bus.Client) (err error) {
		switch a.Operation {
		case "Read":
			_, err = c.Reader(topic, 0, 0).Fetch(g.ctx, 0)
		case "Write":
			_, err = c.Producer(topic, 0).Produce(g.ctx, []bus.Record{{Key: []byte("x"), Value: []byte("x")}})
		case "Describe":
			_, err = c.Partitions(g.ctx, topic)
		default:
			err = fmt.Errorf("no call is known that needs %s", a.Operation)
		}
		return err
	}, want
}

// alone is a topic for which no other right stands in, "" where there is none.
func (g *guarded) alone(a kafka.ACL) string {
	for _, name := range []string{ownRegion, wire.TopicTelemetry, wire.TopicCheckpoints, wire.TopicPartials, wire.TopicAlerts, wire.TopicDeadLetter, wire.TopicRules, wire.TopicRoster} {
		what := kafka.ACL{Principal: a.Principal, Operation: a.Operation, Kind: a.Kind, Name: name}
		if a.Allows(what) && !g.others(a, what) {
			return name
		}
	}
	return ""
}

// others tells whether a right besides a allows it.
func (g *guarded) others(a, what kafka.ACL) bool {
	return slices.ContainsFunc(g.rights, func(b kafka.ACL) bool { return b != a && b.Allows(what) })
}
