package wire

import (
	"github.com/cespare/xxhash/v2"

	"nines/internal/telemetry"
)

// maxIdentities bounds the senders that a Decoder remembers.
const maxIdentities = 1 << 16

// Sender is one process that sends frames.
type Sender struct {
	Agent string
	Boot  uint64
	Host  telemetry.Labels
	// Tie is what the decoder's caller keeps of the sender: with it, what is
	// known of a frame's sender is found without a look-up of its own.
	Tie any
	// identity is what agent and labels were read from.
	identity string
}

// senders finds them by boot and identity. Like SchemaCache it holds two
// generations, so that it is bounded and needs no clock.
type senders struct {
	young, old map[uint64]*Sender // by a hash
}

// find returns the sender, nil where the identity is damaged.
func (m *senders) find(r *reader, boot uint64, identity []byte) *Sender {
	if r.err != nil {
		return nil
	}
	key := xxhash.Sum64(identity) ^ boot*0x9e3779b97f4a7c15
	if s := m.young[key]; s != nil && s.is(boot, identity) {
		return s
	}
	s := m.old[key]
	if s == nil || !s.is(boot, identity) {
		if s = decodeSender(r, boot, identity); s == nil {
			return nil
		}
	}
	if len(m.young) >= maxIdentities/2 || m.young == nil {
		m.old, m.young = m.young, map[uint64]*Sender{}
	}
	m.young[key] = s
	return s
}

func (s *Sender) is(boot uint64, identity []byte) bool {
	return s.Boot == boot && s.identity == string(identity)
}

func decodeSender(outer *reader, boot uint64, raw []byte) *Sender {
	r := reader{b: outer.b[:outer.p], p: outer.p - len(raw), record: outer.record}
	id := &Sender{Agent: r.string("agent"), Boot: boot, identity: string(raw)}
	n := r.count("host labels", 2)
	if n > 0 {
		id.Host = make(telemetry.Labels, 0, n)
	}
	for range n {
		at := r.p
		l := telemetry.Label{Name: r.labelName("host labels")}
		if l.Value = r.string("host labels"); l.Value == "" {
			l.Value = id.Agent
		}
		if l.Name == "" || l.Value == "" || len(id.Host) > 0 && id.Host[len(id.Host)-1].Name >= l.Name {
			r.fail(at, "host labels", ErrCorrupt)
		}
		if r.err != nil {
			break
		}
		id.Host = append(id.Host, l)
	}
	r.end()
	if r.err != nil {
		outer.err = r.err
		outer.p = len(outer.b)
		return nil
	}
	return id
}
