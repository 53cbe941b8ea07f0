package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// checkpointPart is the most payload that one part carries: with its header it
// stays well below the 1 MB that brokers take by default.
const checkpointPart = 900 << 10

// maxCheckpointParts bounds the parts of a set: about 3.5 GB of state.
const maxCheckpointParts = 4096

// Checkpoint is one part of the state that aggregate saves for a telemetry
// partition. The parts of one set together are the payload; what that means is
// the role's own.
type Checkpoint struct {
	// Source is the telemetry partition.
	Source int32
	// Set numbers the partition's checkpoints; it rises.
	Set uint64
	// Part counts from 0 to Parts-1.
	Part, Parts uint32
	// Hash is the xxHash64 of the whole payload.
	Hash uint64
	// Payload is this part's share.
	Payload []byte
}

// SplitCheckpoint returns the records of a checkpoint set. Record i belongs
// under CheckpointKey(source, set, i).
func SplitCheckpoint(source int32, set uint64, payload []byte) [][]byte {
	hash := xxhash.Sum64(payload)
	parts := max(1, (len(payload)+checkpointPart-1)/checkpointPart)
	records := make([][]byte, parts)
	for i := range records {
		n := min(len(payload), checkpointPart)
		c := Checkpoint{Source: source, Set: set, Part: uint32(i), Parts: uint32(parts), Hash: hash, Payload: payload[:n]}
		records[i] = AppendCheckpoint(nil, &c)
		payload = payload[n:]
	}
	return records
}

// CheckpointKey returns the record key of a part. Sets alternate between two
// keys, so that compaction keeps the last complete set while the next one is
// being written.
func CheckpointKey(source int32, set uint64, part int) []byte {
	return fmt.Appendf(nil, "%d/%d/%d", source, set%2, part)
}

// AppendCheckpoint appends one part's bytes to dst.
func AppendCheckpoint(dst []byte, c *Checkpoint) []byte {
	dst = append(dst, MagicCheckpoint, versionCheckpoint)
	dst = appendUvarint(dst, uint64(uint32(c.Source)))
	dst = appendUvarint(dst, c.Set)
	dst = appendUvarint(dst, uint64(c.Part))
	dst = appendUvarint(dst, uint64(c.Parts))
	dst = binary.LittleEndian.AppendUint64(dst, c.Hash)
	return appendBytes(dst, c.Payload)
}

// DecodeCheckpoint reads one part. c.Payload aliases b.
func DecodeCheckpoint(b []byte, c *Checkpoint) error {
	r := reader{b: b, record: "checkpoint"}
	r.begin(MagicCheckpoint, versionCheckpoint)
	*c = Checkpoint{Source: int32(r.uint32("source")), Set: r.uvarint("set")}
	at := r.p
	c.Part, c.Parts = r.uint32("part"), r.uint32("parts")
	if r.err == nil && c.Part >= c.Parts {
		r.fail(at, "part", ErrCorrupt)
	}
	if c.Parts > maxCheckpointParts {
		r.fail(at, "parts", ErrLimit)
	}
	c.Hash = r.fixed64("hash")
	c.Payload = r.bytes("payload")
	r.end()
	return r.err
}

// CheckpointJoiner puts the parts read from the topic together again, in
// whatever order they come, and keeps the newest complete set of each source.
// The zero value is ready.
type CheckpointJoiner struct {
	sources map[int32]*joined
}

// joined is what is known of one source's sets.
type joined struct {
	complete bool
	set      uint64
	payload  []byte
	// open are the parts of the sets above the complete one.
	open map[uint64]*openSet
}

type openSet struct {
	parts map[uint32][]byte
	n     uint32
	hash  uint64
}

// Add takes one record. It keeps nothing of b.
func (j *CheckpointJoiner) Add(b []byte) error {
	var c Checkpoint
	if err := DecodeCheckpoint(b, &c); err != nil {
		return err
	}
	if j.sources == nil {
		j.sources = map[int32]*joined{}
	}
	s := j.sources[c.Source]
	if s == nil {
		s = &joined{open: map[uint64]*openSet{}}
		j.sources[c.Source] = s
	}
	if s.complete && c.Set <= s.set {
		return nil
	}
	o := s.open[c.Set]
	if o == nil || o.n != c.Parts || o.hash != c.Hash {
		// A set number is written anew, with other content, by an owner that
		// died before the set was complete: the later writer's parts count.
		o = &openSet{parts: map[uint32][]byte{}, n: c.Parts, hash: c.Hash}
		s.open[c.Set] = o
	}
	o.parts[c.Part] = append([]byte(nil), c.Payload...)
	if uint32(len(o.parts)) == o.n {
		return s.close(c.Set, o)
	}
	return nil
}

// close joins a set whose parts are all there.
func (s *joined) close(set uint64, o *openSet) error {
	var payload []byte
	for i := range o.n {
		payload = append(payload, o.parts[i]...)
	}
	delete(s.open, set)
	if xxhash.Sum64(payload) != o.hash {
		return fmt.Errorf("join checkpoint set %d: %w", set, ErrCorrupt)
	}
	s.complete, s.set, s.payload = true, set, payload
	for n := range s.open {
		if n <= set {
			delete(s.open, n)
		}
	}
	return nil
}

// Latest returns the newest complete set of the source and its payload, which
// the caller may keep; false where there is none.
func (j *CheckpointJoiner) Latest(source int32) (set uint64, payload []byte, ok bool) {
	s := j.sources[source]
	if s == nil || !s.complete {
		return 0, nil, false
	}
	return s.set, s.payload, true
}

// Next returns the number for the source's next set: above all that were seen,
// complete or not, and under the other keys than the newest complete set, which
// must outlive the next one's writing.
func (j *CheckpointJoiner) Next(source int32) uint64 {
	s := j.sources[source]
	if s == nil {
		return 1
	}
	next := s.set
	for n := range s.open {
		next = max(next, n)
	}
	next++
	if s.complete && next%2 == s.set%2 {
		next++
	}
	return next
}
