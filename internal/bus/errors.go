package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

var (
	// ErrClosed is returned after Client.Close.
	ErrClosed = errors.New("the Kafka client is closed")
	// ErrFenced means that the generation is over: another member may own the
	// partition, and nothing was committed.
	ErrFenced = errors.New("the group has moved on to another generation")
	// ErrUnknownTopic means that the broker knows no such topic or partition.
	ErrUnknownTopic = errors.New("no such topic or partition")
	// ErrTooLarge means that the records exceed the topic's max.message.bytes
	// together; producing them again as they are cannot succeed.
	ErrTooLarge = errors.New("the records exceed the topic's max.message.bytes")
)

// ErrOutOfRange says that the log does not hold the position asked for: it was
// truncated by retention (position below First), or recreated (above Next).
type ErrOutOfRange struct {
	Topic     string
	Partition int32
	// Offset was asked for; the log holds First up to, not including, Next.
	Offset, First, Next int64
}

func (e *ErrOutOfRange) Error() string {
	return fmt.Sprintf("offset %d of %s/%d is outside the log, which holds %d to %d",
		e.Offset, e.Topic, e.Partition, e.First, e.Next)
}

// ErrCorrupt says that the batch at Offset cannot be decoded. SeekTo(Next) goes
// on after it.
type ErrCorrupt struct {
	Topic        string
	Partition    int32
	Offset, Next int64
	Reason       string
}

func (e *ErrCorrupt) Error() string {
	return fmt.Sprintf("batch at offset %d of %s/%d is damaged: %s", e.Offset, e.Topic, e.Partition, e.Reason)
}

type dialError struct {
	addr string
	err  error
}

func (e *dialError) Error() string { return "dial " + e.addr + ": " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// Temporary tells whether trying again can succeed without a change to what is
// sent. An unreachable broker, a refused password or a missing topic are
// temporary: an operator mends them while we run. A cancelled context is not.
func Temporary(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed) || errors.Is(err, ErrFenced) ||
		errors.Is(err, ErrTooLarge) {
		return false
	}
	var ke kafka.Error
	if errors.As(err, &ke) {
		switch ke {
		case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidTopic, kafka.InvalidRequiredAcks,
			kafka.UnsupportedForMessageFormat, kafka.PolicyViolation, kafka.InvalidTimestamp,
			kafka.UnsupportedCompressionType, kafka.InvalidRecord, kafka.OffsetMetadataTooLarge,
			kafka.InvalidReplicationFactor, kafka.InvalidPartitionNumber, kafka.InvalidConfiguration:
			return false
		}
		return true
	}
	var oor *ErrOutOfRange
	var corrupt *ErrCorrupt
	return !errors.As(err, &oor) && !errors.As(err, &corrupt)
}

// stale tells whether the cached picture of the cluster may be the reason.
func stale(err error) bool {
	var ke kafka.Error
	if errors.As(err, &ke) {
		switch ke {
		case kafka.NotLeaderForPartition, kafka.LeaderNotAvailable, kafka.UnknownTopicOrPartition, kafka.BrokerNotAvailable,
			kafka.NetworkException, kafka.KafkaStorageError, kafka.FencedLeaderEpoch, kafka.UnknownLeaderEpoch,
			kafka.ReplicaNotAvailable, kafka.NotCoordinatorForGroup, kafka.GroupCoordinatorNotAvailable, kafka.NotController,
			kafka.ListenerNotFound:
			return true
		}
		return false
	}
	return !errors.Is(err, context.Canceled)
}

func unknownTopic(err error) bool {
	return errors.Is(err, protocol.ErrNoTopic) || errors.Is(err, protocol.ErrNoPartition) ||
		errors.Is(err, kafka.UnknownTopicOrPartition)
}

// explained is an error with the words for a person and the cause for errors.Is.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

// explain turns what the client library says into words that name the address
// and what to look at.
func (c *Client) explain(err error) error {
	var done *explained
	if err == nil || errors.As(err, &done) {
		return err
	}
	say := func(format string, args ...any) error {
		return &explained{text: fmt.Sprintf(format, args...), cause: err}
	}
	at := strings.Join(c.cfg.Brokers, ", ")
	var de *dialError
	var te *tlsError
	var token *tokenError
	var pass *passwordError
	switch {
	case errors.As(err, &de):
		return say("connect to Kafka at %s: %s", de.addr, dialReason(de.err))
	case errors.As(err, &te):
		return say("connect to Kafka at %s: %s", te.addr, c.cfg.TLS.tlsReason(te.err, time.Now()))
	case errors.As(err, &token):
		return say("connect to Kafka at %s: %v", at, token)
	case errors.As(err, &pass):
		return say("connect to Kafka at %s: %v", at, pass)
	case remoteAlert(err):
		return say("connect to Kafka at %s: %s", at, c.cfg.TLS.tlsReason(err, time.Now()))
	}
	var ke kafka.Error
	if errors.Is(err, protocol.ErrNoLeader) {
		ke = kafka.LeaderNotAvailable
	}
	if ke != 0 || errors.As(err, &ke) {
		switch ke {
		case kafka.NotLeaderForPartition, kafka.LeaderNotAvailable:
			return say("no broker leads the partition at the moment: is one stopping or starting?")
		case kafka.NotEnoughReplicas, kafka.NotEnoughReplicasAfterAppend:
			return say("too few copies of the partition are in sync (min.insync.replicas): are brokers down?")
		case kafka.KafkaStorageError:
			return say("the broker cannot reach its log: is a disk full or broken?")
		case kafka.SASLAuthenticationFailed:
			return say("connect to Kafka at %s: %s", at, c.refused())
		case kafka.UnsupportedSASLMechanism:
			return say("connect to Kafka at %s: the broker does not offer SASL mechanism %s: set sasl.mechanism to one of its sasl.enabled.mechanisms",
				at, c.sasl.Name())
		case kafka.IllegalSASLState:
			return say("connect to Kafka at %s: the broker does not expect SASL on this port: is it the right one, or are settings under sasl to go?", at)
		case kafka.TopicAuthorizationFailed:
			return say("%s may not do this to the topic: an ACL for %s is missing on the broker (kafka-acls --add)", c.who(), missing(err))
		case kafka.GroupAuthorizationFailed:
			return say("%s may not take part in the group: an ACL for READ on the group is missing on the broker (kafka-acls --add)", c.who())
		case kafka.ClusterAuthorizationFailed:
			return say("%s may not do this to the cluster: an ACL for it is missing on the broker (kafka-acls --add)", c.who())
		}
		return err
	}
	switch {
	case strings.Contains(err.Error(), "expecting TLS"):
		return say("connect to Kafka at %s: the broker expects TLS on this port: set tls.enabled, or tls.ca_file", at)
	case strings.Contains(err.Error(), "authentication failed"), strings.Contains(err.Error(), "server nonce"):
		return say("connect to Kafka at %s: %s", at, c.refused())
	case broken(err):
		switch {
		case c.auth == nil:
			return say("the Kafka broker at %s closed the connection: is it restarting, or does it expect SASL or TLS?", at)
		case c.auth.refused():
			return say("connect to Kafka at %s: %s", at, c.refused())
		}
		return say("the Kafka broker at %s closed the connection: is it restarting?", at)
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return say("the Kafka broker at %s did not answer in time", at)
	}
	return err
}

// needs keeps with the broker's answer which right on the topic was asked for:
// its refusal does not say.
func needs(right string, err error) error {
	if errors.Is(err, kafka.TopicAuthorizationFailed) {
		return &rightError{right: right, err: err}
	}
	return err
}

type rightError struct {
	right string // as kafka-acls --operation names it, in capitals
	err   error
}

func (e *rightError) Error() string { return e.err.Error() }
func (e *rightError) Unwrap() error { return e.err }

func missing(err error) string {
	var r *rightError
	if errors.As(err, &r) {
		return r.right
	}
	return "it"
}

// who names this client as far as it knows: a broker may map names.
func (c *Client) who() string {
	switch {
	case c.cfg.SASL.User != "":
		return "user " + c.cfg.SASL.User
	case c.sasl != nil:
		return "the subject of this client's token"
	case c.cfg.TLS.CertFile != "":
		return "the subject of the certificate " + c.cfg.TLS.CertFile
	}
	return "User:ANONYMOUS"
}

// refused is what to say of an authentication that failed.
func (c *Client) refused() string {
	if b, ok := c.auth.Mechanism.(*bearer); ok {
		return fmt.Sprintf("the broker refused the token (%s): has it expired, or is it of another issuer or audience than the broker wants?", b.reason())
	}
	return fmt.Sprintf("the broker refused user %s: wrong password?", c.cfg.SASL.User)
}

// broken tells whether the other side ended the connection.
func broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func dialReason(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: is the broker running?"
	case errors.As(err, &dns):
		return dns.Error() + ": is the host name right?"
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "no answer: is the address right, and does a firewall let it through?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to the host"
	}
	return err.Error()
}
