package decode

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// Headers by which a foreign record says how it is written.
const (
	headerContentType     = "content-type"
	headerContentEncoding = "content-encoding"
)

// LabelHost names the host of a series. A foreign series without it takes the
// record's key, if that is text.
const LabelHost = "host"

// Record is a record that another fleet's agent wrote.
type Record struct {
	Format Format
	// Unknown says why the format cannot be told; the record cannot be used then.
	Unknown    error
	Key, Value []byte
	// Time is the record's own, Unix milliseconds: that of values without one.
	Time int64
}

// Topics returns what is read where other fleets write in these formats, by
// topic: nines.telemetry first. Format 0 is that of our own agents.
func Topics(formats map[string]Format) []string {
	all := slices.DeleteFunc(slices.Sorted(maps.Keys(formats)), func(t string) bool { return t == wire.TopicTelemetry })
	return append([]string{wire.TopicTelemetry}, all...)
}

// TypeOf returns what a record is: of a type of ours, or foreign. Without
// headers, a record of a foreign topic has the topic's format; on
// nines.telemetry, frames and ticks are still known by their first byte, unless
// the topic's format may begin with the same. Format is 0 where it is ours. What a
// foreign record is goes into other, memory that its caller keeps from record to
// record: there may be millions.
func TypeOf(rec *bus.Record, format Format, other *Record) (typ string, foreign bool) {
	var contentType, encoding string
	for i := range rec.Headers {
		switch h := &rec.Headers[i]; {
		case h.Key == wire.HeaderType:
			return wire.TypeNamed(h.Value), false
		case strings.EqualFold(h.Key, headerContentType):
			contentType = string(h.Value)
		case strings.EqualFold(h.Key, headerContentEncoding):
			encoding = string(h.Value)
		}
	}
	if contentType == "" && format != RemoteWrite {
		if typ = wire.TypeOf(rec.Value, nil); typ != "" || format == 0 {
			return typ, false
		}
	}
	*other = Record{Format: format, Key: rec.Key, Value: rec.Value, Time: rec.Time}
	if contentType != "" {
		other.Format, other.Unknown = FormatOf(contentType, encoding)
	}
	return "", true
}

// Host returns the record's key as the host of its series, "" where it cannot be
// a label's value.
func (r *Record) Host() string {
	if len(r.Key) > 255 || !utf8.Valid(r.Key) {
		return ""
	}
	for _, c := range string(r.Key) {
		if !unicode.IsPrint(c) {
			return ""
		}
	}
	return string(r.Key)
}

// WithHost returns the labels of a foreign series: where they name no host, with
// that of the record as one.
func WithHost(labels telemetry.Labels, host string) telemetry.Labels {
	if host == "" || labels.Get(LabelHost) != "" {
		return labels
	}
	return labels.With(telemetry.Labels{{Name: LabelHost, Value: host}})
}
