package bus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
	"pgregory.net/rapid"
)

func codecs(t testing.TB) (*zstd.Encoder, *decoder) {
	t.Helper()
	c := &Client{}
	if err := c.newCodecs(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.zenc.Close(); c.zdec.Close() })
	return c.zenc, newDecoder(c.zdec)
}

// at gives a batch a base offset, as a broker does when it appends it.
func at(set []byte, base int64) []byte {
	b := bytes.Clone(set[4:])
	binary.BigEndian.PutUint64(b, uint64(base))
	return b
}

// sign recomputes the checksum after a change.
func sign(b []byte) []byte {
	binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttrAt:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestEveryRecordSurvives(t *testing.T) {
	enc, dec := codecs(t)
	value := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300),
		rapid.Map(rapid.IntRange(0, 4000), func(n int) []byte { return bytes.Repeat([]byte("cpu"), n) }))
	header := rapid.Custom(func(t *rapid.T) Header {
		return Header{Key: rapid.StringN(0, 5, 20).Draw(t, "key"), Value: value.Draw(t, "value")}
	})
	record := rapid.Custom(func(t *rapid.T) Record {
		r := Record{Time: rapid.Int64Range(1, 1<<50).Draw(t, "time"), Key: value.Draw(t, "key"), Value: value.Draw(t, "value")}
		if hs := rapid.SliceOfN(header, 0, 3).Draw(t, "headers"); len(hs) > 0 {
			r.Headers = hs
		}
		return r
	})
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Int64Range(0, 1<<40).Draw(t, "base")
		recs := rapid.SliceOfN(record, 1, 20).Draw(t, "records")
		set := at(appendRecordSet(nil, recs, 5, enc), base)
		from := base + rapid.Int64Range(0, int64(len(recs))-1).Draw(t, "skip")
		dec.reset()
		next, _, bad := dec.decode(set, from)
		if bad != nil || next != base+int64(len(recs)) {
			t.Fatalf("next %d, damage %v", next, bad)
		}
		want := recs[from-base:]
		for i := range want {
			want[i].Offset = from + int64(i)
		}
		if !reflect.DeepEqual(dec.records, want) {
			t.Fatalf("got  %+v\nwant %+v", dec.records, want)
		}
	})
}

func TestForeignCodecs(t *testing.T) {
	_, dec := codecs(t)
	for _, codec := range []compress.Compression{compress.Gzip, compress.Snappy, compress.Lz4, compress.Zstd} {
		// Two batches, so that the second lands behind the first in the arena.
		var set []byte
		for base := range int64(2) {
			plain := appendRecordSet(nil, []Record{{Time: 7, Key: []byte("k"), Value: []byte(strings.Repeat("v", 50))}}, 0, nil)
			b := at(plain, base)
			var packed bytes.Buffer
			w := codec.Codec().NewWriter(&packed)
			if _, err := w.Write(b[batchHeader:]); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			b = append(b[:batchHeader], packed.Bytes()...)
			binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(len(b)-batchPrefix))
			binary.BigEndian.PutUint16(b[batchAttrAt:], uint16(codec))
			set = append(set, sign(b)...)
		}
		dec.reset()
		next, _, bad := dec.decode(set, 0)
		if bad != nil || next != 2 || len(dec.records) != 2 || len(dec.records[1].Value) != 50 || dec.records[1].Offset != 1 {
			t.Errorf("%s: next %d, damage %v, records %+v", codec, next, bad, dec.records)
		}
	}
}

// What a fetch response may hold besides whole batches of records.
func TestDecodeSkipsWhatIsNoRecord(t *testing.T) {
	enc, dec := codecs(t)
	one := appendRecordSet(nil, []Record{{Time: 1, Value: []byte("a")}}, 0, enc)
	two := appendRecordSet(nil, []Record{{Time: 1, Value: []byte("a")}, {Time: 2, Value: []byte("b")}}, 0, enc)
	f := func(name string, set []byte, from, wantNext int64, wantOffsets ...int64) {
		t.Helper()
		dec.reset()
		next, _, bad := dec.decode(set, from)
		var got []int64
		for _, r := range dec.records {
			got = append(got, r.Offset)
		}
		if bad != nil || next != wantNext || !reflect.DeepEqual(got, wantOffsets) {
			t.Errorf("%s: next %d, offsets %v, damage %v; want %d, %v", name, next, got, bad, wantNext, wantOffsets)
		}
	}
	control := at(one, 10)
	binary.BigEndian.PutUint16(control[batchAttrAt:], attrControl)
	sign(control)
	f("nothing", nil, 5, 5)
	f("a control batch", control, 10, 11)
	f("a control batch between records", append(append(at(one, 9), control...), at(one, 11)...), 9, 12, 9, 11)
	f("a batch before the position", append(at(one, 3), at(one, 4)...), 4, 5, 4)
	f("a gap left by compaction", append(at(one, 3), at(one, 9)...), 3, 10, 3, 9)
	cut := append(at(one, 3), at(two, 4)[:40]...)
	f("a batch cut off at the end", cut, 3, 4, 3)
	f("a batch cut off in its body", append(at(one, 3), at(two, 4)[:63]...), 3, 4, 3)
	// Compaction keeps the batch's last offset although its records are gone.
	hollow := at(two, 20)
	binary.BigEndian.PutUint32(hollow[57:], 1)
	sign(hollow)
	f("a batch without its last record", hollow, 20, 22, 20)
	f("the same, past its records", hollow, 21, 22)
	appendTime := at(two, 0)
	binary.BigEndian.PutUint16(appendTime[batchAttrAt:], attrAppend)
	binary.BigEndian.PutUint64(appendTime[35:], 77)
	f("append time", sign(appendTime), 0, 2, 0, 1)
	if dec.records[0].Time != 77 {
		t.Errorf("append time %d, want 77", dec.records[0].Time)
	}
}

func TestDamagedBatches(t *testing.T) {
	enc, dec := codecs(t)
	good := at(appendRecordSet(nil, []Record{{Time: 1, Value: []byte("good")}}, 0, enc), 0)
	f := func(name string, want string, change func(b []byte) []byte) {
		t.Helper()
		bad := change(at(appendRecordSet(nil, []Record{{Time: 1, Value: []byte("bad")}, {Time: 1}}, 0, enc), 1))
		// What precedes the damage is delivered first.
		dec.reset()
		if next, _, damage := dec.decode(append(bytes.Clone(good), bad...), 0); next != 1 || damage != nil || len(dec.records) != 1 {
			t.Errorf("%s: next %d, damage %v, %d records", name, next, damage, len(dec.records))
		}
		dec.reset()
		next, _, damage := dec.decode(bad, 1)
		if next != 1 || damage == nil || len(dec.records) != 0 || damage.next <= 1 || !strings.Contains(damage.err.Error(), want) {
			t.Errorf("%s: next %d, damage %+v, %d records; want %q", name, next, damage, len(dec.records), want)
		}
	}
	f("a flipped bit", "checksum", func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	f("an old format", "message format 1", func(b []byte) []byte { b[batchMagicAt] = 1; return b })
	f("an impossible length", "impossible", func(b []byte) []byte {
		binary.BigEndian.PutUint32(b[batchLengthAt:], 3)
		return b
	})
	f("too few records", errVarint.Error(), func(b []byte) []byte {
		binary.BigEndian.PutUint32(b[57:], 9)
		return sign(b)
	})
	f("an unknown codec", "unknown codec 7", func(b []byte) []byte {
		binary.BigEndian.PutUint16(b[batchAttrAt:], 7)
		return sign(b)
	})
	f("what is not zstd", "decompress", func(b []byte) []byte {
		binary.BigEndian.PutUint16(b[batchAttrAt:], codecZstd)
		return sign(b)
	})
	f("a record beyond the batch", errTruncated.Error(), func(b []byte) []byte { b[batchHeader] = 0x7e; return sign(b) })
}

// A response that unpacks to much more than it weighs is delivered in pieces.
func TestDecodeKeepsToItsBudget(t *testing.T) {
	const size = decodeBudget / 4
	enc, dec := codecs(t)
	batch := appendRecordSet(nil, []Record{{Value: make([]byte, size)}, {Value: make([]byte, size)}}, 1, enc)
	var set []byte
	for base := range int64(10) {
		set = append(set, at(batch, 2*base)...)
	}
	rounds, next := 0, int64(0)
	for rest := set; len(rest) > 0; rounds++ {
		var bad *damage
		dec.reset()
		first := next
		next, rest, bad = dec.decode(rest, next)
		if bad != nil || int64(len(dec.records)) != next-first {
			t.Fatalf("next %d, %d records, damage %v", next, len(dec.records), bad)
		}
		for i, r := range dec.records {
			if r.Offset != first+int64(i) || len(r.Value) != size {
				t.Fatalf("record %d at offset %d", i, r.Offset)
			}
		}
	}
	if next != 20 || rounds != 5 || cap(dec.arena) > 4*decodeBudget {
		t.Errorf("next %d after %d rounds, arena %d", next, rounds, cap(dec.arena))
	}
}

func FuzzDecodeRecordSet(f *testing.F) {
	enc, _ := codecs(f)
	f.Add(at(appendRecordSet(nil, []Record{{Time: 1, Key: []byte("k"), Headers: []Header{{Key: "h"}}}, {}}, 9, enc), 4), int64(4))
	f.Add(at(appendRecordSet(nil, []Record{{Value: bytes.Repeat([]byte("x"), 400)}}, 9, enc), 0), int64(0))
	f.Fuzz(func(t *testing.T, set []byte, from int64) {
		if from < 0 {
			return
		}
		_, dec := codecs(t)
		if len(set) >= batchHeader { // let the fuzzer past the checksum
			n := int(binary.BigEndian.Uint32(set[batchLengthAt:])) + batchPrefix
			if n >= batchHeader && n <= len(set) {
				sign(set[:n])
			}
		}
		next, _, bad := dec.decode(set, from)
		if bad == nil && next < from || bad != nil && (next != from || bad.next <= from) {
			t.Errorf("from %d: next %d, damage %+v", from, next, bad)
		}
		for _, r := range dec.records {
			if r.Offset < from {
				t.Errorf("offset %d before %d", r.Offset, from)
			}
		}
	})
}

func TestParseFetch(t *testing.T) {
	build := func(version int16, code int16, records []byte) []byte {
		be := binary.BigEndian
		var b []byte
		i32 := func(v int32) { b = be.AppendUint32(b, uint32(v)) }
		i32(fetchCorrelation)
		i32(0)
		if version >= 7 {
			b = be.AppendUint16(b, 0)
			i32(0)
		}
		i32(1)
		b = append(be.AppendUint16(b, 1), 't')
		i32(1)
		i32(0)
		b = be.AppendUint16(b, uint16(code))
		b = be.AppendUint64(b, 99)
		b = be.AppendUint64(b, 99)
		if version >= 5 {
			b = be.AppendUint64(b, 1)
		}
		i32(1) // one aborted transaction
		b = append(b, make([]byte, 16)...)
		if version >= 11 {
			i32(-1)
		}
		i32(int32(len(records)))
		return append(b, records...)
	}
	for version := int16(minFetchVersion); version <= maxFetchVersion; version++ {
		r, err := parseFetch(build(version, 3, []byte("batches")), version)
		if err != nil || r.errorCode != 3 || r.highWatermark != 99 || string(r.records) != "batches" {
			t.Errorf("version %d: %+v, %v", version, r, err)
		}
		whole := build(version, 0, []byte("x"))
		for n := range whole {
			if _, err := parseFetch(whole[:n], version); !errors.Is(err, errShortFetch) {
				t.Errorf("version %d cut at %d: %v", version, n, err)
			}
		}
	}
}

func FuzzParseFetch(f *testing.F) {
	f.Add([]byte{0x6e, 0x69, 0x6e, 0x65, 0, 0, 0, 0, 0, 0, 0, 1}, uint8(4))
	f.Fuzz(func(t *testing.T, b []byte, version uint8) {
		r, err := parseFetch(b, minFetchVersion+int16(version)%(maxFetchVersion-minFetchVersion+1))
		if err == nil && len(r.records) > len(b) {
			t.Error("more records than response")
		}
	})
}

func telemetrySet(tb testing.TB, n int) []byte {
	enc, _ := codecs(tb)
	recs := make([]Record, n)
	for i := range recs {
		v := bytes.Repeat([]byte{byte(i), byte(i >> 8), 3, 4, 5, 6, 7, 8}, 50)
		recs[i] = Record{Time: int64(1 + i), Key: []byte("host-1"), Value: v, Headers: []Header{{Key: "ct", Value: []byte("n1")}}}
	}
	var set []byte
	const batch = 100
	for i := 0; i < n; i += batch {
		set = append(set, at(appendRecordSet(nil, recs[i:min(i+batch, n)], 0, enc), int64(i))...)
	}
	return set
}

func BenchmarkDecode(b *testing.B) {
	const n = 2500 // about 1 MB of 400-byte records
	set := telemetrySet(b, n)
	_, dec := codecs(b)
	b.SetBytes(n * 400)
	b.ReportAllocs()
	for b.Loop() {
		dec.reset()
		if next, _, bad := dec.decode(set, 0); next != n || bad != nil {
			b.Fatal(next, bad)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
