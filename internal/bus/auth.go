package bus

import (
	"context"
	"sync/atomic"

	"github.com/segmentio/kafka-go/sasl"
)

// watchedMechanism knows whether the last authentication that began was
// completed. Brokers may refuse a password by closing the connection, and only
// this tells a refusal from a restart; it serves error messages alone.
type watchedMechanism struct {
	sasl.Mechanism
	began, completed atomic.Int64
}

// Start implements sasl.Mechanism.
func (m *watchedMechanism) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	n := m.began.Add(1)
	sess, first, err := m.Mechanism.Start(ctx)
	if err != nil {
		return nil, nil, err
	}
	return &watchedSession{StateMachine: sess, m: m, n: n}, first, nil
}

func (m *watchedMechanism) refused() bool { return m.completed.Load() < m.began.Load() }

type watchedSession struct {
	sasl.StateMachine
	m *watchedMechanism
	n int64
}

// Next implements sasl.StateMachine.
func (s *watchedSession) Next(ctx context.Context, challenge []byte) (bool, []byte, error) {
	done, resp, err := s.StateMachine.Next(ctx, challenge)
	if done && err == nil {
		s.m.completed.Store(s.n)
	}
	return done, resp, err
}
