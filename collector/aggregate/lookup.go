package aggregate

import "nines/internal/telemetry"

// lookup finds a frame's schemas. What a boot sent before it sends again, so
// that mostly each block costs one comparison.
type lookup struct {
	looked int   // how many of the frame were looked up
	sender *boot // of the frame, if it is known and as it was before
	last   *resolved
	// recent are the schemas of the frame before, by their turn in it.
	recent [16]*schema
}

// Lookup implements wire.Schemas.
func (s *State) Lookup(fp uint64) *telemetry.Schema {
	at := s.looked
	if s.looked++; at == 0 {
		s.sender = s.tied()
	}
	s.last = nil
	if s.sender != nil {
		if res := s.sender.resolved(fp, at); res != nil && res.plan != nil && !res.plan.schema.gone {
			s.last = res
			res.plan.schema.used = s.logTime
			return res.plan.schema.def
		}
	}
	at %= len(s.recent)
	sc := s.recent[at]
	if sc == nil || sc.def.Fingerprint != fp {
		if sc = s.schemas[fp]; sc == nil {
			return nil
		}
		s.recent[at] = sc
	}
	sc.used = s.logTime
	return sc.def
}

// tied returns the boot that sent the frame being decoded, where it is known and
// has the host labels that it had when its schemas were resolved.
func (s *State) tied() *boot {
	from := s.decoder.Sender()
	b, _ := from.Tie.(*boot)
	if b == nil || b.gone || b.class == nil || !sameLabels(b.host, from.Host) {
		return nil
	}
	return b
}

// tie has the boot found at once with the next frame of its sender.
func (s *State) tie(b *boot) {
	if from := s.decoder.Sender(); from.Tie != b {
		from.Tie = b
	}
}

// unneeded says whether a block of the schema that was looked up last feeds
// nothing; where that is not known yet, its values are read.
func (s *State) unneeded(*telemetry.Schema) bool { return s.last != nil && s.last.plan.idles }

// Add implements wire.Schemas.
func (s *State) Add(def *telemetry.Schema) {
	if sc := s.schemas[def.Fingerprint]; sc != nil {
		sc.used = s.logTime
		return
	}
	s.schemas[def.Fingerprint] = &schema{def: def, used: s.logTime}
}
