package mesh

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
)

// Sizes of STAMP packets: a question and its answer have the same, so that no
// answer is longer than what asked for it.
const (
	plainSize  = 44  // RFC 8762, 4.2.1 and 4.3.1
	sealedSize = 112 // RFC 8762, 4.2.2 and 4.3.2
	sealed     = 96  // bytes under the HMAC
	macSize    = 16
)

// question is a Session-Sender's packet.
type question struct {
	seq  uint32
	sent timestamp // T1
	err  errorEstimate
}

// answer is a Session-Reflector's packet.
type answer struct {
	seq      uint32
	sent     timestamp // T3
	err      errorEstimate
	received timestamp // T2
	asked    question  // as the reflector got it
	ttl      uint8     // of the question when it arrived
}

var (
	errShort  = errors.New("shorter than a STAMP packet")
	errForged = errors.New("its HMAC is not that of our key")
	errEcho   = errors.New("an answer, not a question")
	errFormat = errors.New("its time stamps are not in NTP's format")
)

// codec reads and writes STAMP packets, unauthenticated ones without a key and
// authenticated ones with it. It is for one goroutine.
type codec struct {
	mac hash.Hash // nil without a key
	sum [sha256.Size]byte
}

func newCodec(key []byte) *codec {
	c := &codec{}
	if len(key) > 0 {
		c.mac = hmac.New(sha256.New, key)
	}
	return c
}

// size is the length of the packets.
func (c *codec) size() int {
	if c.mac == nil {
		return plainSize
	}
	return sealedSize
}

// field offsets of the two formats; those of a question are the first three.
type offsets struct{ seq, sent, err, received, askedSeq, askedSent, askedErr, ttl int }

func (c *codec) offsets() offsets {
	if c.mac == nil {
		return offsets{0, 4, 12, 16, 24, 28, 36, 40}
	}
	return offsets{0, 16, 24, 32, 48, 64, 72, 80}
}

// seal appends the HMAC of an authenticated packet.
func (c *codec) seal(b []byte) {
	if c.mac != nil {
		copy(b[sealed:], c.hmac(b))
	}
}

// hmac is HMAC-SHA-256 of the first six blocks, truncated (RFC 8762, 4.4).
func (c *codec) hmac(b []byte) []byte {
	c.mac.Reset()
	c.mac.Write(b[:sealed])
	return c.mac.Sum(c.sum[:0])[:macSize]
}

// open checks length and HMAC. What follows a packet (the extensions of
// RFC 8972) is neither read nor sent back.
func (c *codec) open(b []byte) error {
	if len(b) < c.size() {
		return errShort
	}
	if c.mac != nil && !hmac.Equal(c.hmac(b), b[sealed:sealedSize]) {
		return errForged
	}
	return nil
}

// appendQuestion appends the packet to b.
func (c *codec) appendQuestion(b []byte, q question) []byte {
	b, p := c.grow(b)
	c.putQuestion(p, q)
	c.seal(p)
	return b
}

func (c *codec) putQuestion(p []byte, q question) {
	o := c.offsets()
	binary.BigEndian.PutUint32(p[o.seq:], q.seq)
	binary.BigEndian.PutUint64(p[o.sent:], uint64(q.sent))
	binary.BigEndian.PutUint16(p[o.err:], uint16(q.err))
}

// grow appends an empty packet and returns it alone too.
func (c *codec) grow(b []byte) (all, packet []byte) {
	n := len(b)
	all = append(b, make([]byte, c.size())...)
	return all, all[n:]
}

// parseQuestion reads a packet that a reflector got. A packet with a receive
// time is somebody's answer: to answer it would let two reflectors talk for
// ever. What a question leaves unused is not looked at otherwise.
func (c *codec) parseQuestion(b []byte) (question, error) {
	if err := c.open(b); err != nil {
		return question{}, err
	}
	o := c.offsets()
	if binary.BigEndian.Uint64(b[o.received:]) != 0 {
		return question{}, errEcho
	}
	return c.question(b), nil
}

func (c *codec) question(b []byte) question {
	o := c.offsets()
	return question{
		seq:  binary.BigEndian.Uint32(b[o.seq:]),
		sent: timestamp(binary.BigEndian.Uint64(b[o.sent:])),
		err:  errorEstimate(binary.BigEndian.Uint16(b[o.err:])),
	}
}

// appendAnswer appends the packet to b.
func (c *codec) appendAnswer(b []byte, a answer) []byte {
	b, p := c.grow(b)
	o := c.offsets()
	c.putQuestion(p, question{seq: a.seq, sent: a.sent, err: a.err})
	binary.BigEndian.PutUint64(p[o.received:], uint64(a.received))
	binary.BigEndian.PutUint32(p[o.askedSeq:], a.asked.seq)
	binary.BigEndian.PutUint64(p[o.askedSent:], uint64(a.asked.sent))
	binary.BigEndian.PutUint16(p[o.askedErr:], uint16(a.asked.err))
	p[o.ttl] = a.ttl
	c.seal(p)
	return b
}

// parseAnswer reads a packet that came back.
func (c *codec) parseAnswer(b []byte) (answer, error) {
	if err := c.open(b); err != nil {
		return answer{}, err
	}
	o := c.offsets()
	own := c.question(b)
	a := answer{
		seq: own.seq, sent: own.sent, err: own.err,
		received: timestamp(binary.BigEndian.Uint64(b[o.received:])),
		asked: question{
			seq:  binary.BigEndian.Uint32(b[o.askedSeq:]),
			sent: timestamp(binary.BigEndian.Uint64(b[o.askedSent:])),
			err:  errorEstimate(binary.BigEndian.Uint16(b[o.askedErr:])),
		},
		ttl: b[o.ttl],
	}
	if a.err.ptp() {
		return answer{}, errFormat
	}
	return a, nil
}
