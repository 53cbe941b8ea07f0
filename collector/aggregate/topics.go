package aggregate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"nines/collector/decode"
	"nines/internal/wire"
)

// maxTopicPartitions is how many partitions a topic may have for its sources to
// have numbers of their own.
const maxTopicPartitions = 1 << 16

// source is a partition of a topic that is aggregated.
type source struct {
	topic     string
	partition int32
}

// String returns the source as people read it.
func (s source) String() string { return fmt.Sprintf("%s/%d", s.topic, s.partition) }

// number returns the source's number in partials and checkpoints. Those of
// nines.telemetry are its partitions; those of another topic depend on its name
// alone, so that topics can be added.
func (s source) number() int32 {
	if s.topic == wire.TopicTelemetry {
		return s.partition
	}
	return int32(1+xxhash.Sum64String(s.topic)%0x7ffe)<<16 | s.partition
}

// OwnFormat is the name of the format in which nines' agents write: that of the
// topics of regions, nines.telemetry.REGION.
const OwnFormat = "nines"

// parseFormat returns the format of a topic by name, 0 for nines' own.
func parseFormat(topic, name string) (decode.Format, error) {
	if topic != wire.TopicTelemetry && wire.IsTelemetry(topic) {
		if name != OwnFormat {
			return 0, fmt.Errorf("the topic is for agents of a region: must be %s", OwnFormat)
		}
		return 0, nil
	}
	if strings.HasPrefix(topic, "nines.") && topic != wire.TopicTelemetry {
		return 0, fmt.Errorf("topics that begin with nines. are nines' own; agents may write to %s.REGION, other fleets to %s and to topics of other names",
			wire.TopicTelemetry, wire.TopicTelemetry)
	}
	if name == OwnFormat {
		return 0, fmt.Errorf("agents write to %s and to %s.REGION only", wire.TopicTelemetry, wire.TopicTelemetry)
	}
	return decode.ParseFormat(name)
}

// ParseFormats returns the formats by topic, and what is wrong with those that
// cannot be used.
func ParseFormats(names map[string]string) (formats map[string]decode.Format, bad map[string]error) {
	formats, bad = map[string]decode.Format{}, map[string]error{}
	numbers := map[int32]string{}
	for _, topic := range slices.Sorted(maps.Keys(names)) {
		f, err := parseFormat(topic, names[topic])
		n := source{topic: topic}.number()
		other, taken := numbers[n]
		switch {
		case err != nil:
		case taken:
			err = fmt.Errorf("topic %s cannot be told from topic %s: choose another name", topic, other)
		}
		if err != nil {
			bad[topic] = err
			continue
		}
		formats[topic], numbers[n] = f, topic
	}
	return formats, bad
}
