package wire

import (
	"fmt"
	"strconv"
)

// Headers of a dead letter.
const (
	headerDeadTopic     = "nines-dead-topic"
	headerDeadPartition = "nines-dead-partition"
	headerDeadOffset    = "nines-dead-offset"
	headerDeadReason    = "nines-dead-reason"
	headerDeadDetail    = "nines-dead-detail"
)

// maxDeadDetail bounds the detail of a dead letter, in bytes.
const maxDeadDetail = 1024

// Headers returns the headers that explain the record, its type among them. The
// original's headers may follow; its nines-type is superseded, as the first
// header of a key counts.
func (d *DeadLetter) Headers() []Header {
	detail := d.Detail
	if len(detail) > maxDeadDetail {
		detail = detail[:maxDeadDetail]
	}
	return []Header{
		{HeaderType, []byte(TypeDeadLetter)},
		{headerDeadTopic, []byte(d.Topic)},
		{headerDeadPartition, strconv.AppendInt(nil, int64(d.Partition), 10)},
		{headerDeadOffset, strconv.AppendInt(nil, d.Offset, 10)},
		{headerDeadReason, []byte(d.Reason)},
		{headerDeadDetail, []byte(detail)},
	}
}

// DecodeDeadLetter reads what Headers wrote.
func DecodeDeadLetter(headers []Header) (DeadLetter, error) {
	partition, err := strconv.ParseInt(header(headers, headerDeadPartition), 10, 32)
	if err != nil {
		return DeadLetter{}, fmt.Errorf("decode dead letter: header %s: %w", headerDeadPartition, err)
	}
	offset, err := strconv.ParseInt(header(headers, headerDeadOffset), 10, 64)
	if err != nil {
		return DeadLetter{}, fmt.Errorf("decode dead letter: header %s: %w", headerDeadOffset, err)
	}
	return DeadLetter{
		Topic:     header(headers, headerDeadTopic),
		Partition: int32(partition),
		Offset:    offset,
		Reason:    header(headers, headerDeadReason),
		Detail:    header(headers, headerDeadDetail),
	}, nil
}

// header returns the first value under the key, or "".
func header(headers []Header, key string) string {
	for i := range headers {
		if headers[i].Key == key {
			return string(headers[i].Value)
		}
	}
	return ""
}
