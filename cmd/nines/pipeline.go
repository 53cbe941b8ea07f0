package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"nines/internal/bus"
	"nines/internal/deadletter"
	"nines/internal/wire"
	"nines/web"
)

const (
	// lettersLooked bounds what the page reads of nines.deadletter, in offsets.
	lettersLooked = 200
	// lettersShown is how many of them it shows.
	lettersShown = 20
	// lettersWait bounds how long the page waits for Kafka.
	lettersWait = 3 * time.Second
)

// pipeline tells the page how the roles of this process keep up.
type pipeline struct {
	client *bus.Client
	loads  []func(time.Time) []bus.LoadView

	mu   sync.Mutex
	next int64 // end of nines.deadletter as of box
	box  *deadletter.Box
}

func (p *pipeline) view(ctx context.Context) (web.Pipeline, error) {
	out := web.Pipeline{Loops: []web.Loop{}, Letters: []web.Letter{}, Reasons: map[string]int{}, Looked: lettersLooked}
	for _, of := range p.loads {
		for _, v := range of(time.Now()) {
			if v.Owned {
				out.Loops = append(out.Loops, web.Loop{Role: v.Role, Topic: v.Topic, Partition: v.Partition, LagRecords: v.LagRecords, LagSeconds: v.LagSeconds,
					FetchSeconds: v.FetchSeconds, BusySeconds: v.BusySeconds, IdleSeconds: v.IdleSeconds, Saturation: v.Saturation})
			}
		}
	}
	box, err := p.letters(ctx)
	if err != nil {
		out.Trouble = err.Error()
		return out, nil
	}
	for _, l := range slices.Backward(box.Letters) {
		out.Reasons[l.Reason]++
		if len(out.Letters) < lettersShown {
			out.Letters = append(out.Letters, web.Letter{Letter: l.ID, Time: l.Buried, Reason: l.Reason, Detail: l.Detail, Advice: deadletter.Advice(l.Reason),
				Topic: l.Topic, Partition: l.Partition, Offset: l.Offset, Bytes: max(l.Size, l.Bytes), Again: l.Again != nil})
		}
	}
	return out, nil
}

// letters reads the end of nines.deadletter again when it has grown.
func (p *pipeline) letters(ctx context.Context) (*deadletter.Box, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lettersWait)
	defer cancel()
	_, next, err := p.client.Offsets(ctx, wire.TopicDeadLetter, 0)
	if err != nil {
		return nil, err
	}
	if p.box != nil && next == p.next {
		return p.box, nil
	}
	box, err := deadletter.Read(ctx, p.client, deadletter.Filter{Last: lettersLooked}, nil)
	if err != nil {
		return nil, err
	}
	p.box, p.next = box, next
	return box, nil
}
