package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"syscall"
	"time"
)

// reason says why an attempt failed. The words are the values of the label
// reason of probe_failures_total.
type reason uint8

const (
	// reasonTimeout: no answer within the timeout.
	reasonTimeout reason = iota
	// reasonRefused: nothing listens there.
	reasonRefused
	// reasonUnreachable: the network has no way there.
	reasonUnreachable
	// reasonDNS: the target's name could not be resolved.
	reasonDNS
	// reasonTLS: handshake or certificate.
	reasonTLS
	// reasonStatus: an answer came, but not the expected one.
	reasonStatus
	// reasonReset: the peer closed the connection before the answer was whole.
	reasonReset
	// reasonCanceled: given up by the prober itself.
	reasonCanceled
	// reasonOther: what no other reason names.
	reasonOther
	// reasonOverrun: not started, too many attempts of the target under way.
	reasonOverrun
	// reasonAuth: the target does not accept who asks (HTTP 401, 403).
	reasonAuth
	// reasonRateLimited: the target has had enough requests (HTTP 429).
	reasonRateLimited
	// reasonOverloaded: the target has too much to do (HTTP 503, 529).
	reasonOverloaded
	// reasonServerError: the target failed (other HTTP 5xx).
	reasonServerError
	// reasonMalformed: what came is not what the protocol says.
	reasonMalformed
	// reasonCut: a stream stopped before its end.
	reasonCut
	// reasonEmpty: a whole answer with nothing in it.
	reasonEmpty
	// reasonContentFilter: the target's content filter ended the answer.
	reasonContentFilter
	// reasonLoss: some packets of a round were answered, and too many lost.
	reasonLoss
	// reasonCertExpired: a certificate has ended, or not begun.
	reasonCertExpired
	// reasonCertName: the certificate is for other names.
	reasonCertName
	// reasonCertUntrusted: nobody who is trusted vouches for the certificate.
	reasonCertUntrusted
	// reasonCertExpiring: a certificate ends sooner than it may.
	reasonCertExpiring
	// reasonNotServing: gRPC health says NOT_SERVING.
	reasonNotServing
	// reasonUnknown: gRPC health says UNKNOWN.
	reasonUnknown
	// reasonServiceUnknown: gRPC health does not know the service.
	reasonServiceUnknown
	numReasons
)

var reasonNames = [numReasons]string{
	"timeout", "refused", "unreachable", "dns", "tls", "status", "reset", "canceled", "other", "overrun",
	"auth", "rate_limited", "overloaded", "server_error", "malformed", "cut", "empty", "content_filter",
	"loss", "certificate_expired", "certificate_name", "certificate_untrusted", "certificate_expiring",
	"not_serving", "unknown", "service_unknown",
}

func (r reason) String() string { return reasonNames[r] }

// phase is a stretch of an HTTP attempt.
type phase uint8

const (
	phaseDNS phase = iota
	phaseConnect
	phaseTLS
	phaseFirstByte
	phaseTransfer
	numPhases
)

var phaseNames = [numPhases]string{"dns", "connect", "tls", "first_byte", "transfer"}

// result is what an attempt found out. Durations not measured are negative.
type result struct {
	ok     bool
	reason reason
	// local says that the prober itself could not try (no descriptor, no port,
	// not permitted): it is blind, and the target is not to blame.
	local bool
	err   error
	// latency of a successful attempt, where it is not the attempt's duration.
	latency time.Duration
	phases  [numPhases]time.Duration
	status  int       // HTTP status, 0 where none came
	expiry  time.Time // earliest end of the certificates shown, zero where none
	// noBudget says that the attempt was not made: its job has used up what it
	// may use.
	noBudget bool
	figures  figures
	finish   finish
	gaps     []time.Duration // between the pieces of a streamed answer
	// Of a round of several packets: how many were sent and lost, the times of
	// the others, and whether this process slept while it waited for them.
	sent, lost int
	rtts       []time.Duration
	starved    bool
}

func newResult() result {
	r := result{latency: -1, figures: noFigures()}
	for i := range r.phases {
		r.phases[i] = -1
	}
	return r
}

// fail notes err, with the reason that it shows by itself.
func (r *result) fail(err error) {
	r.ok, r.err, r.reason, r.local = false, err, reasonOf(err), isLocal(err)
}

// failAs notes err with the reason, unless the attempt ran out of time.
func (r *result) failAs(why reason, err error) {
	r.ok, r.err, r.reason = false, err, why
	if isTimeout(err) {
		r.reason = reasonTimeout
	}
}

func reasonOf(err error) reason {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var unreachable *unreachableError
	switch {
	case errors.As(err, &unreachable):
		return reasonUnreachable
	case errors.As(err, &dns):
		return reasonDNS
	case isTimeout(err):
		return reasonTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return reasonRefused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH),
		errors.Is(err, syscall.ENETDOWN), errors.Is(err, syscall.EHOSTDOWN):
		return reasonUnreachable
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return reasonReset
	case errors.As(err, &cert):
		return certReason(cert.Err)
	case errors.As(err, &alert), errors.As(err, &record):
		return reasonTLS
	case errors.Is(err, context.Canceled), errors.Is(err, net.ErrClosed):
		return reasonCanceled
	}
	return reasonOther
}

// certReason returns why a certificate is not accepted.
func certReason(err error) reason {
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return reasonCertExpired
	case errors.As(err, &name):
		return reasonCertName
	case errors.As(err, &authority):
		return reasonCertUntrusted
	}
	return reasonTLS
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &ne) && ne.Timeout()
}

// isLocal tells whether err is this host's inability to probe at all.
func isLocal(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS,
		syscall.EADDRNOTAVAIL, syscall.EPERM, syscall.EACCES, syscall.EAFNOSUPPORT,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.Is(err, errNotPermitted)
}

// seconds returns d in seconds, and tells whether it was measured.
func seconds(d time.Duration) (float64, bool) {
	if d < 0 {
		return 0, false
	}
	// Microseconds are what the measurement is worth; fewer digits also travel
	// in fewer bytes.
	return math.Round(float64(d)/1e3) / 1e6, true
}

func errAnswer(format string, args ...any) error { return fmt.Errorf(format, args...) }
