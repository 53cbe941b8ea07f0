package decode

import (
	"strings"

	"github.com/cespare/xxhash/v2"

	"nines/internal/telemetry"
)

// maxSets bounds the sets that are remembered as described.
const maxSets = 1 << 20

// Sets reads records and remembers which sets of series it has described. C is
// what the caller keeps of a column: it makes one when the column is new, and is
// handed it from then on. It is for one goroutine.
type Sets[C any] struct {
	// Make makes what is kept of a column. It may ask for the record that is open.
	Make func(*Column) C
	// Idle, if not nil, tells whether the samples of a column are of no use to the
	// caller whatever its labels are, and returns what is kept of it then, the same
	// for all sets; Make is asked of others only. The column's labels are not to be looked at.
	Idle func(*Column) (C, bool)
	// Unneeded, if not nil, tells whether the samples of a column are of no use
	// to the caller: points of line protocol may leave them out then.
	Unneeded func(*C) bool

	reader Reader
	record *Record
	key    uint64 // hash of the record's key, 0 without one
	known  map[uint64]*Known[C]

	// Of line protocol: the set of the point that was read last, nil where it has
	// to be found, and that of the line before; layouts by what they hold.
	found, before *Known[C]
	layouts       map[string]*layout
	kin           map[string]*kin[C]
	regions       map[string]string // each kept once
	scratch       []byte
}

// Known is a set that was described.
type Known[C any] struct {
	// Region is the label region of the set.
	Region string
	// Columns are in the order in which they were seen. Sets may share them.
	Columns []KnownColumn[C]
	// Used is the caller's: when it last used the set.
	Used int64

	format Format
	key    string
	// hostless says that the set names no host, so that it is another set under
	// each key of records; record is the one of this.
	hostless bool
	record   uint64
	next     *Known[C] // of the same hash
	// layout is that of its line that was read last, and after the set that came
	// next then, both of line protocol.
	layout *layout
	after  *Known[C]
}

// KnownColumn is a column of a set that was described.
type KnownColumn[C any] struct {
	Is    C
	field string
}

// Open begins the next record, which is kept until it has been read.
func (s *Sets[C]) Open(rec *Record) {
	if s.known == nil {
		s.known = map[uint64]*Known[C]{}
	}
	s.record, s.key = rec, 0
	if len(rec.Key) > 0 {
		s.key = max(xxhash.Sum64(rec.Key), 1)
	}
	s.reader.Open(rec.Format, rec.Value)
}

// Record returns the record that is open.
func (s *Sets[C]) Record() *Record { return s.record }

// Key returns a hash of the key of the record that is open, 0 where it has none.
func (s *Sets[C]) Key() uint64 { return s.key }

// Next is Reader.Next, but that it may leave out samples that are Unneeded.
func (s *Sets[C]) Next() (*Point, error) {
	if s.record.Format == Influx {
		return s.nextLine()
	}
	return s.reader.Next()
}

// Find returns the set of the point that Next returned last. On error the point
// is to be refused.
func (s *Sets[C]) Find(p *Point) (*Known[C], error) {
	if s.found != nil {
		return s.found, nil
	}
	h := s.hash(p.Key)
	if set := s.find(h, p.Key); set != nil {
		return set, nil
	}
	set, err := s.describe(h, p)
	if err != nil || set.format != Influx {
		return set, err
	}
	if set.layout != nil { // that of its kin
		s.chain(set)
		return set, nil
	}
	return set, s.follow(set, p)
}

func (s *Sets[C]) hash(key []byte) uint64 { return xxhash.Sum64(key) + uint64(s.record.Format) }

// find returns the set of the key, nil where it is not known.
func (s *Sets[C]) find(h uint64, key []byte) *Known[C] {
	if set := s.among(h, key); set != nil {
		return set
	}
	return s.among(h^s.key, key) // those without a host lie there
}

func (s *Sets[C]) among(h uint64, key []byte) *Known[C] {
	set := s.known[h]
	for set != nil && !(set.format == s.record.Format && set.key == string(key) && (!set.hostless || set.record == s.key)) {
		set = set.next
	}
	return set
}

func (s *Sets[C]) describe(h uint64, p *Point) (*Known[C], error) {
	set := &Known[C]{format: s.record.Format, key: string(p.Key), record: s.key}
	describe := s.describeWhole
	if set.format == Influx {
		describe = s.describeLine
	}
	labels, err := describe(set)
	if err != nil {
		return nil, err
	}
	set.hostless, set.Region = labels.Get(LabelHost) == "", s.region(labels.Get("region"))
	if len(s.known) >= maxSets {
		s.Clear()
	}
	if set.hostless {
		h ^= s.key
	}
	set.next, s.known[h] = s.known[h], set
	return set, nil
}

// describeWhole gives the set all that the reader says of it.
func (s *Sets[C]) describeWhole(set *Known[C]) (telemetry.Labels, error) {
	def, err := s.reader.Describe()
	if err != nil {
		return nil, err
	}
	for i := range def.Columns {
		s.add(set, &def.Columns[i])
	}
	return def.Labels, nil
}

// region returns the name in the memory in which it came first, so that sets of a
// region are seen to be without a look at its letters.
func (s *Sets[C]) region(name string) string {
	if kept, ok := s.regions[name]; ok {
		return kept
	}
	if s.regions == nil || len(s.regions) >= maxLayouts {
		s.regions = map[string]string{}
	}
	name = strings.Clone(name)
	s.regions[name] = name
	return name
}

func (s *Sets[C]) add(set *Known[C], c *Column) {
	is, idle := s.idle(c)
	if !idle {
		is = s.Make(c)
	}
	set.Columns = append(set.Columns, KnownColumn[C]{Is: is, field: c.Field})
}

func (s *Sets[C]) idle(c *Column) (is C, idle bool) {
	if s.Idle == nil {
		return is, false
	}
	return s.Idle(c)
}

// Column returns the place of the value's column, which is at where the fields
// come in their usual order; a field that is new gets one. On error the rest of
// the point is to be refused; a place below 0 means that there is no such column.
func (s *Sets[C]) Column(set *Known[C], v *Value, at int) (int, error) {
	if v.place > 0 {
		return v.place - 1, nil
	}
	if at < len(set.Columns) && set.Columns[at].field == string(v.Field) {
		return at, nil
	}
	if at = set.column(v.Field); at >= 0 {
		return at, nil
	}
	def, err := s.reader.Describe()
	if err != nil {
		return -1, err
	}
	for i := range def.Columns {
		if c := &def.Columns[i]; set.column([]byte(c.Field)) < 0 {
			s.add(set, c)
		}
	}
	return set.column(v.Field), nil
}

// column returns the place of a field's column, -1 where it has none.
func (set *Known[C]) column(field []byte) int {
	for i := range set.Columns {
		if set.Columns[i].field == string(field) {
			return i
		}
	}
	return -1
}

// Clear forgets all sets, so that each is described again.
func (s *Sets[C]) Clear() {
	clear(s.known)
	clear(s.layouts)
	clear(s.kin)
	clear(s.regions)
	s.found, s.before = nil, nil
}

// Forget drops sets that were used last before then.
func (s *Sets[C]) Forget(before int64) {
	s.before = nil
	for h, set := range s.known {
		for set != nil && set.Used < before {
			set = set.next
		}
		if set == nil {
			delete(s.known, h)
		} else {
			s.known[h] = set
		}
		for ; set != nil; set = set.next {
			if set.after != nil && set.after.Used < before {
				set.after = nil
			}
		}
	}
}
