package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// splits is how many requests may be spent on finding out which samples of a
// refused request are to blame; what is undecided then counts as refused.
const splits = 64

// sender delivers to one target. The loops of its partitions share it.
type sender struct {
	t    Target
	post *poster
	log  *slog.Logger
	m    *meters
	// speaks is the version in use; confirmed says that the receiver showed that
	// it understands 2.0.
	speaks    atomic.Int32
	confirmed atomic.Bool
}

func newSender(t Target, log *slog.Logger, m *meters) (*sender, error) {
	post, err := newPoster(t)
	if err != nil {
		return nil, err
	}
	s := &sender{t: t, post: post, log: log, m: m}
	s.speaks.Store(int32(version2))
	if t.Protocol == protocol1 {
		s.speaks.Store(int32(version1))
	}
	return s, nil
}

// deliver returns when the receiver has taken or refused every sample; lost takes
// those that it refused. The error is the context's, or says that samples cannot
// be written as a request.
func (s *sender) deliver(ctx context.Context, b *body, samples []sample, lost *refusals) error {
	for len(samples) > 0 {
		n := min(len(samples), s.t.MaxSamples)
		left := splits
		if err := s.part(ctx, b, samples[:n], &left, lost); err != nil {
			return err
		}
		samples = samples[n:]
	}
	return nil
}

// part delivers one request. Where the receiver refuses it for what is in it, its
// halves go alone: one bad sample must not take the others with it. A receiver
// that says how many it wrote nevertheless has taken what it ever will.
func (s *sender) part(ctx context.Context, b *body, samples []sample, left *int, lost *refusals) error {
	refused, err := s.insist(ctx, b, samples)
	if err != nil || refused == nil {
		return err
	}
	wrote := min(refused.wrote, len(samples))
	s.m.sent.Add(wrote)
	if wrote == 0 && len(samples) > 1 && *left > 0 {
		*left -= 2
		half := len(samples) / 2
		if err := s.part(ctx, b, samples[:half], left, lost); err != nil {
			return err
		}
		return s.part(ctx, b, samples[half:], left, lost)
	}
	s.m.dropped("refused_" + strconv.Itoa(refused.code)).Add(len(samples) - wrote)
	lost.add(refused, samples, wrote)
	return nil
}

// insist sends until the receiver takes the request or refuses what is in it,
// which it returns.
func (s *sender) insist(ctx context.Context, b *body, samples []sample) (refused *answer, err error) {
	trouble := complaint{log: s.log}
	wait := s.t.MinBackoff.D()
	for {
		v := version(s.speaks.Load())
		send := s.fitting(v, samples)
		if len(send) == 0 {
			s.m.noHistogram.Add(len(samples))
			return nil, nil
		}
		data, err := b.encode(v, send)
		if err != nil {
			return nil, fmt.Errorf("write a request of %d samples: %w", len(send), err)
		}
		began := time.Now()
		a, err := s.post.send(ctx, v, data)
		s.m.took.UpdateDuration(began)
		s.m.requests.Inc()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if s.fallsBack(v, a, err) {
			continue
		}
		switch {
		case err == nil && a.taken(v):
			trouble.over()
			s.m.bytes.Add(len(data))
			s.m.sent.Add(len(send))
			s.m.noHistogram.Add(len(samples) - len(send))
			return nil, nil
		case err == nil && a.refusal():
			trouble.over()
			return a, nil
		case err == nil:
			err = errors.New(a.String())
		}
		trouble.say(err)
		s.m.retries.Inc()
		pause := wait/2 + rand.N(wait/2+1)
		if a != nil && a.retryAfter > pause {
			pause = a.retryAfter
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
		wait = min(2*wait, s.t.MaxBackoff.D())
	}
}

// fallsBack turns to 1.0 when the receiver shows that it speaks nothing else: it
// refuses the content type, or the request, or takes it and does not say what it
// wrote, as one does that skips fields unknown to it.
func (s *sender) fallsBack(v version, a *answer, err error) bool {
	if err != nil || v != version2 {
		return false
	}
	if a.counts {
		s.confirmed.Store(true)
	}
	if s.t.Protocol != protocolAuto || s.confirmed.Load() && a.code != http.StatusUnsupportedMediaType {
		return false
	}
	old := a.code == http.StatusUnsupportedMediaType || a.code == http.StatusBadRequest || a.code/100 == 2
	if old && s.speaks.CompareAndSwap(int32(version2), int32(version1)) {
		s.log.Info("the receiver does not speak remote write 2.0; going on with 1.0", "status", a.code, "says", a.words)
	}
	return old
}

// fitting leaves out what the receiver may not understand.
func (s *sender) fitting(v version, samples []sample) []sample {
	if v == version2 || s.t.SendNativeHistograms {
		return samples
	}
	out := make([]sample, 0, len(samples))
	for i := range samples {
		if !samples[i].native() {
			out = append(out, samples[i])
		}
	}
	return out
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// complaint says trouble once when it begins, and when it is over.
type complaint struct {
	log  *slog.Logger
	last string
}

func (c *complaint) say(err error) {
	if err.Error() != c.last {
		c.last = err.Error()
		c.log.Error("send samples failed; trying again, nothing is dropped", "err", err)
	}
}

func (c *complaint) over() {
	if c.last != "" {
		c.log.Info("sending samples works again")
		c.last = ""
	}
}
