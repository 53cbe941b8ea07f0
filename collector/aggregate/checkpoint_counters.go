package aggregate

import (
	"encoding/binary"
	"errors"
	"iter"
)

// A collector of 2,000 hosts under 21 objectives has 70,000 counters: written by
// hand they take a tenth of the time that gob takes for them, and a third of the
// bytes.

// freshBit marks the role of a counter that is fresh.
const freshBit = 1 << 7

// numbered gives things numbers in the order in which they are met: a counter
// refers to agents and streams by number. The numbers are of fixed size in the
// bytes, so that equal states take equally many.
type numbered[K comparable] struct {
	of   map[K]int
	list []K
}

func (n *numbered[K]) number(k K) int {
	i, ok := n.of[k]
	if !ok {
		i = len(n.list)
		n.of[k], n.list = i, append(n.list, k)
	}
	return i
}

// streamSince is a stream and since when it counts.
type streamSince struct {
	id   string
	from int64
}

// appendCounters appends the counters: the agents, the streams with since when
// they count, and of each counter agent, boot, series, stream, role, value, and
// by how much its time and its last use are before now; lists after their length.
func appendCounters(dst []byte, counters iter.Seq2[counterKey, *counter], now int64) []byte {
	agents := numbered[string]{of: map[string]int{}}
	streams := numbered[streamSince]{of: map[streamSince]int{}}
	var body []byte
	count := 0
	for k, n := range counters {
		count++
		flags := byte(k.role)
		if n.fresh {
			flags |= freshBit
		}
		body = binary.LittleEndian.AppendUint32(body, uint32(agents.number(k.agent)))
		body = binary.LittleEndian.AppendUint32(body, uint32(streams.number(streamSince{k.stream, k.from})))
		body = binary.LittleEndian.AppendUint64(body, k.boot)
		body = binary.LittleEndian.AppendUint64(body, k.series)
		body = append(body, flags)
		body = binary.AppendUvarint(body, n.value)
		body = binary.AppendVarint(body, now-n.time)
		body = binary.AppendVarint(body, now-n.used)
	}
	dst = binary.AppendVarint(dst, now)
	dst = binary.AppendUvarint(dst, uint64(len(agents.list)))
	for _, a := range agents.list {
		dst = appendText(dst, a)
	}
	dst = binary.AppendUvarint(dst, uint64(len(streams.list)))
	for _, s := range streams.list {
		dst = binary.AppendVarint(appendText(dst, s.id), s.from)
	}
	dst = binary.AppendUvarint(dst, uint64(count))
	return append(dst, body...)
}

// readCounters reads what appendCounters wrote, one after the other.
func readCounters(b []byte, take func(counterKey, counter)) error {
	r := bootReader{b: b}
	now := r.varint()
	var agents []string
	for range r.length() {
		agents = append(agents, r.text())
	}
	var streams []streamSince
	for range r.length() {
		streams = append(streams, streamSince{r.text(), r.varint()})
	}
	for range r.length() {
		agent, stream := int(r.fixed32()), int(r.fixed32())
		k := counterKey{boot: r.fixed(), series: r.fixed()}
		flags := byte(0)
		if f := r.take(1); f != nil {
			flags = f[0]
		}
		c := counter{value: r.uvarint(), time: now - r.varint(), used: now - r.varint(), fresh: flags&freshBit != 0}
		if r.bad || agent >= len(agents) || stream >= len(streams) {
			return errors.New("the list of counters is damaged")
		}
		k.agent, k.stream, k.from, k.role = agents[agent], streams[stream].id, streams[stream].from, role(flags&^freshBit)
		take(k, c)
	}
	if r.bad || len(r.b) > 0 {
		return errors.New("the list of counters is damaged")
	}
	return nil
}
