package bus

// Header is one header of a record. Keys may repeat.
type Header struct {
	Key   string
	Value []byte
}

// Record is one Kafka record.
type Record struct {
	// Offset is set when read and ignored when produced.
	Offset int64
	// Time is the record's timestamp, Unix milliseconds: the producer's clock,
	// or the broker's on topics set to append time. 0 when produced means now.
	Time int64
	// Key and Value may be nil, which Kafka keeps apart from empty.
	Key, Value []byte
	Headers    []Header
}
