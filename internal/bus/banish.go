package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// banishFor bounds the attempts to take a former self off the group: by then its
// session is over on any coordinator.
const banishFor = time.Minute

// banish has the member that this one is or was leave the group. When a
// coordinator fails the library joins its successor under a new name, and the
// group would wait for the old one until its session is over.
func (g *Group) banish(ctx context.Context, member string) {
	ctx, cancel := context.WithTimeout(ctx, banishFor)
	defer cancel()
	for {
		err := g.c.call(ctx, 0, func(ctx context.Context) error { return g.removal(ctx, member) })
		if err == nil || errors.Is(err, kafka.UnknownMemberId) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(joinPause):
		}
	}
}

func (g *Group) removal(ctx context.Context, member string) error {
	m, err := g.c.transport.RoundTrip(ctx, g.c.addr, &leaveRequest{clientID: g.c.cfg.ClientID, group: g.o.ID, member: member})
	if err != nil {
		return err
	}
	if r, ok := m.(*leaveResponse); ok && r.code != 0 {
		return kafka.Error(r.code)
	}
	return nil
}

// leaveRequest is the LeaveGroup request, version 0
// (https://kafka.apache.org/protocol#The_Messages_LeaveGroup). The library's own
// writes version 4 as no broker reads it: its array of members is not compact.
type leaveRequest struct{ clientID, group, member string }

type leaveResponse struct{ code int16 }

func (*leaveRequest) ApiKey() protocol.ApiKey { return protocol.LeaveGroup }

func (*leaveResponse) ApiKey() protocol.ApiKey { return protocol.LeaveGroup }

// Group routes to the group's coordinator.
func (r *leaveRequest) Group() string { return r.group }

// Required says that RawExchange is to be called.
func (*leaveRequest) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange writes the request and reads the response.
func (r *leaveRequest) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	be := binary.BigEndian
	b := be.AppendUint16(make([]byte, 4), uint16(protocol.LeaveGroup))
	b = be.AppendUint32(be.AppendUint16(b, 0), fetchCorrelation)
	for _, s := range []string{r.clientID, r.group, r.member} {
		b = append(be.AppendUint16(b, uint16(len(s))), s...)
	}
	be.PutUint32(b, uint32(len(b)-4))
	if _, err := rw.Write(b); err != nil {
		return nil, err
	}
	var answer [4 + 4 + 2]byte // size, correlation id, error
	if _, err := io.ReadFull(rw, answer[:]); err != nil {
		return nil, unexpectedEOF(err)
	}
	return &leaveResponse{int16(be.Uint16(answer[8:]))}, nil
}
