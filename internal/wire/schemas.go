package wire

import (
	"cmp"
	"slices"

	"nines/internal/telemetry"
)

// Schemas keeps the schemas that a decoder has seen.
type Schemas interface {
	// Lookup returns the schema with the fingerprint, or nil.
	Lookup(fp uint64) *telemetry.Schema
	// Add remembers the schema. It is shared and must not be changed.
	Add(s *telemetry.Schema)
}

// DefaultSchemas is how many schemas a SchemaCache holds unless told otherwise.
const DefaultSchemas = 1 << 16

// SchemaCache is a bounded Schemas. When full it forgets schemas that were not
// used for as long as it took to see half of its bound of others; they come
// again with the agents' next definition. What it holds depends on the calls
// alone, not on chance. It is for one goroutine.
type SchemaCache struct {
	// Two generations approximate least recently used at the cost of one map
	// look-up: what is used moves to the young one, and when that is full, the
	// old one goes.
	young, old map[uint64]*telemetry.Schema
	half       int
}

// NewSchemaCache returns a cache of at most max schemas; 0 takes
// DefaultSchemas.
func NewSchemaCache(max int) *SchemaCache {
	if max <= 0 {
		max = DefaultSchemas
	}
	return &SchemaCache{young: map[uint64]*telemetry.Schema{}, half: (max + 1) / 2}
}

// Lookup returns the schema with the fingerprint, or nil.
func (c *SchemaCache) Lookup(fp uint64) *telemetry.Schema {
	if s := c.young[fp]; s != nil {
		return s
	}
	s := c.old[fp]
	if s != nil {
		c.Add(s)
	}
	return s
}

// Add remembers the schema.
func (c *SchemaCache) Add(s *telemetry.Schema) {
	if len(c.young) >= c.half && c.young[s.Fingerprint] == nil {
		c.old, c.young = c.young, make(map[uint64]*telemetry.Schema, len(c.young))
	}
	c.young[s.Fingerprint] = s
}

// Len returns how many schemas the cache holds.
func (c *SchemaCache) Len() int { return len(c.All()) }

// All returns the schemas in ascending order of their fingerprints, for
// checkpoints.
func (c *SchemaCache) All() []*telemetry.Schema {
	all := make([]*telemetry.Schema, 0, len(c.young)+len(c.old))
	for _, s := range c.young {
		all = append(all, s)
	}
	for fp, s := range c.old {
		if c.young[fp] == nil {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *telemetry.Schema) int { return cmp.Compare(a.Fingerprint, b.Fingerprint) })
	return all
}

// AppendSchema appends a schema's definition as it stands in frames, for
// checkpoints.
func AppendSchema(dst []byte, s *telemetry.Schema) []byte { return appendSchema(dst, s) }

// DecodeSchema reads what AppendSchema wrote at the start of b and returns the
// bytes after it.
func DecodeSchema(b []byte) (*telemetry.Schema, []byte, error) {
	r := reader{b: b, record: "schema"}
	s := r.schema()
	if r.err != nil {
		return nil, nil, r.err
	}
	return s, b[r.p:], nil
}
