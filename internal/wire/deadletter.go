package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// Headers of a dead letter.
const (
	headerDeadTopic     = "nines-dead-topic"
	headerDeadPartition = "nines-dead-partition"
	headerDeadOffset    = "nines-dead-offset"
	headerDeadReason    = "nines-dead-reason"
	headerDeadDetail    = "nines-dead-detail"
	headerDeadTime      = "nines-dead-time"
	headerDeadSize      = "nines-dead-size"
)

// Headers of a reinjection.
const (
	headerLetter            = "nines-letter"
	headerReTopic           = "nines-reinjected-topic"
	headerRePartition       = "nines-reinjected-partition"
	headerReOffset          = "nines-reinjected-offset"
	deadHeaders             = "nines-dead-"
	claimed           int64 = -1
)

// HeaderReinjected is on a record that was sent again: the offset of its letter
// on nines.deadletter, in decimal.
const HeaderReinjected = "nines-reinjected"

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
	out := []Header{
		{HeaderType, []byte(TypeDeadLetter)},
		{headerDeadTopic, []byte(d.Topic)},
		{headerDeadPartition, strconv.AppendInt(nil, int64(d.Partition), 10)},
		{headerDeadOffset, strconv.AppendInt(nil, d.Offset, 10)},
		{headerDeadReason, []byte(d.Reason)},
		{headerDeadDetail, []byte(detail)},
		{headerDeadTime, strconv.AppendInt(nil, d.Time, 10)},
	}
	if d.Size > 0 {
		out = append(out, Header{headerDeadSize, strconv.AppendInt(nil, int64(d.Size), 10)})
	}
	return out
}

// Original returns the original's headers from a letter's: what follows those
// that Headers wrote.
func Original(headers []Header) []Header {
	for i := range headers {
		if i > 0 && !strings.HasPrefix(headers[i].Key, deadHeaders) {
			return headers[i:]
		}
	}
	return nil
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
	at, err := optional(headers, headerDeadTime)
	if err != nil {
		return DeadLetter{}, err
	}
	size, err := optional(headers, headerDeadSize)
	if err != nil {
		return DeadLetter{}, err
	}
	return DeadLetter{
		Time: at, Size: int(size),
		Topic:     header(headers, headerDeadTopic),
		Partition: int32(partition),
		Offset:    offset,
		Reason:    header(headers, headerDeadReason),
		Detail:    header(headers, headerDeadDetail),
	}, nil
}

// optional reads a number that letters of older releases lack; it is not below 0.
func optional(headers []Header, key string) (int64, error) {
	text := header(headers, key)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 63)
	if err == nil && n < 0 {
		err = fmt.Errorf("%d is below 0", n)
	}
	if err != nil {
		return 0, fmt.Errorf("decode dead letter: header %s: %w", key, err)
	}
	return n, nil
}

// Headers returns the headers that are all of the record; its value is empty.
func (r *Reinjection) Headers() []Header {
	return []Header{
		{HeaderType, []byte(TypeReinjection)},
		{headerLetter, strconv.AppendInt(nil, r.Letter, 10)},
		{headerReTopic, []byte(r.Topic)},
		{headerRePartition, strconv.AppendInt(nil, int64(r.Partition), 10)},
		{headerReOffset, strconv.AppendInt(nil, r.Offset, 10)},
	}
}

// DecodeReinjection reads what Headers wrote.
func DecodeReinjection(headers []Header) (Reinjection, error) {
	r := Reinjection{Topic: header(headers, headerReTopic)}
	var err error
	number := func(key string, bits int, least int64) int64 {
		n, bad := strconv.ParseInt(header(headers, key), 10, bits)
		if bad == nil && n < least {
			bad = fmt.Errorf("%d is below %d", n, least)
		}
		if bad != nil && err == nil {
			err = fmt.Errorf("decode reinjection: header %s: %w", key, bad)
		}
		return n
	}
	r.Letter = number(headerLetter, 64, 0)
	r.Partition = int32(number(headerRePartition, 32, 0))
	r.Offset = number(headerReOffset, 64, claimed)
	if err != nil {
		return Reinjection{}, err
	}
	return r, nil
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
