package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// fetchRequest is the Fetch request for one partition. The library's own
// decodes records one small read and several allocations at a time; as a
// RawExchanger it keeps the library's routing, TLS, authentication and
// deadlines, and takes the response as the bytes it is.
type fetchRequest struct {
	clientID  string
	topic     string
	partition int32
	offset    int64
	maxWaitMS int32
	maxBytes  int32
	buf       []byte // reused for the response
	version   int16
}

// fetchResponse points into buf, which the caller may give to the next request.
type fetchResponse struct {
	buf           []byte
	errorCode     int16
	highWatermark int64
	records       []byte
}

const (
	// fetchCorrelation needs no counting: a connection carries one request at
	// a time.
	fetchCorrelation = 0x6e696e65
	// minFetchVersion is the lowest that returns message format 2 and the
	// lowest that Apache Kafka 4 accepts; maxFetchVersion is the last before
	// the format changes (flexible fields).
	minFetchVersion = 4
	maxFetchVersion = 11
	// maxResponse bounds what a broker can make us allocate.
	maxResponse = 512 << 20
)

var errShortFetch = errors.New("the fetch response ends too early")

func (*fetchRequest) ApiKey() protocol.ApiKey { return protocol.Fetch }

func (*fetchResponse) ApiKey() protocol.ApiKey { return protocol.Fetch }

// Broker routes to the partition's leader.
func (r *fetchRequest) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	route := fetch.Request{Topics: []fetch.RequestTopic{{
		Topic: r.topic, Partitions: []fetch.RequestPartition{{Partition: r.partition}},
	}}}
	return route.Broker(cluster)
}

// Required is asked with the versions negotiated on the connection.
func (r *fetchRequest) Required(versions map[protocol.ApiKey]int16) bool {
	r.version = min(versions[protocol.Fetch], maxFetchVersion)
	return true
}

// RawExchange writes the request and reads the whole response.
func (r *fetchRequest) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if r.version < minFetchVersion {
		return nil, fmt.Errorf("the broker is older than Kafka 0.11: it offers Fetch %d", r.version)
	}
	if _, err := rw.Write(r.encode()); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, unexpectedEOF(err)
	}
	size := int64(binary.BigEndian.Uint32(head[:]))
	if size > maxResponse {
		return nil, fmt.Errorf("the broker announces a response of %d bytes: is this Kafka?", size)
	}
	buf := r.buf
	if int64(cap(buf)) < size {
		buf = make([]byte, size+size/4)
	}
	buf = buf[:size]
	if _, err := io.ReadFull(rw, buf); err != nil {
		return nil, unexpectedEOF(err)
	}
	return parseFetch(buf, r.version)
}

func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *fetchRequest) encode() []byte {
	be := binary.BigEndian
	b := make([]byte, 4, 128+len(r.topic)+len(r.clientID))
	str := func(s string) {
		b = be.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	i32 := func(v int32) { b = be.AppendUint32(b, uint32(v)) }
	i64 := func(v int64) { b = be.AppendUint64(b, uint64(v)) }
	b = be.AppendUint16(b, uint16(protocol.Fetch))
	b = be.AppendUint16(b, uint16(r.version))
	i32(fetchCorrelation)
	str(r.clientID)
	i32(-1) // replica: a consumer
	i32(r.maxWaitMS)
	i32(1) // min bytes: answer as soon as there is anything
	i32(r.maxBytes)
	b = append(b, 0) // isolation: read uncommitted
	if r.version >= 7 {
		i32(0)  // session: none
		i32(-1) // session epoch: none
	}
	i32(1)
	str(r.topic)
	i32(1)
	i32(r.partition)
	if r.version >= 9 {
		i32(-1) // leader epoch: unknown
	}
	i64(r.offset)
	if r.version >= 5 {
		i64(-1) // log start: for replicas only
	}
	i32(r.maxBytes)
	if r.version >= 7 {
		i32(0) // forgotten topics
	}
	if r.version >= 11 {
		str("") // rack
	}
	be.PutUint32(b, uint32(len(b)-4))
	return b
}

// parseFetch reads a response for one partition.
func parseFetch(buf []byte, version int16) (*fetchResponse, error) {
	p := parser{b: buf}
	if id := p.i32(); p.err == nil && id != fetchCorrelation {
		return nil, fmt.Errorf("the broker answers request %d, not %d", id, fetchCorrelation)
	}
	p.i32() // throttle
	out := &fetchResponse{buf: buf}
	if version >= 7 {
		out.errorCode = p.i16()
		p.i32() // session
	}
	topics := p.i32()
	if p.err == nil && topics == 0 && out.errorCode != 0 {
		return out, nil
	}
	p.skip(int(p.i16())) // topic
	partitions := p.i32()
	if p.err == nil && (topics != 1 || partitions != 1) {
		return nil, fmt.Errorf("the broker answers for %d topics and %d partitions instead of one", topics, partitions)
	}
	p.i32() // partition
	if code := p.i16(); code != 0 {
		out.errorCode = code
	}
	out.highWatermark = p.i64()
	p.i64() // last stable offset
	if version >= 5 {
		p.i64() // log start offset
	}
	if aborted := p.i32(); aborted > 0 {
		p.skip(int(aborted) * 16)
	}
	if version >= 11 {
		p.i32() // preferred replica
	}
	if n := p.i32(); n > 0 {
		out.records = p.skip(int(n))
	}
	return out, p.err
}

// parser reads big-endian fields until the first error.
type parser struct {
	b   []byte
	err error
}

func (p *parser) skip(n int) []byte {
	if p.err != nil {
		return nil
	}
	if n < 0 || n > len(p.b) {
		p.err = errShortFetch
		return nil
	}
	out := p.b[:n:n]
	p.b = p.b[n:]
	return out
}

func (p *parser) i16() int16 {
	if b := p.skip(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (p *parser) i32() int32 {
	if b := p.skip(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (p *parser) i64() int64 {
	if b := p.skip(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}
