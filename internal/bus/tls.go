package bus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// TLSConfig turns on TLS. Setting any file or name enables it too. Files are
// read for each connection, so that a certificate that is renewed, or was wrong,
// needs no restart.
type TLSConfig struct {
	Enabled bool `yaml:"enabled,omitempty"`
	// CAFile holds the authorities that may sign the broker's certificate
	// (PEM); empty means the system's.
	CAFile string `yaml:"ca_file,omitempty"`
	// CertFile and KeyFile are this client's certificate, if the broker asks.
	CertFile string `yaml:"cert_file,omitempty"`
	KeyFile  string `yaml:"key_file,omitempty"`
	// ServerName is checked in the certificate instead of the dialled host.
	ServerName string `yaml:"server_name,omitempty"`
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify,omitempty"`
}

func (t TLSConfig) on() bool { return t != (TLSConfig{}) }

// config reads the files.
func (t TLSConfig) config() (*tls.Config, error) {
	out := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify,
	}
	var err error
	if out.RootCAs, err = readCAs("tls.ca_file", t.CAFile); err != nil {
		return nil, err
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read tls.cert_file %s and tls.key_file %s: %w", t.CertFile, t.KeyFile, err)
		}
		// The certificate is shown even if the broker names other authorities:
		// its refusal says more than that none came.
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return out, nil
}

// readCAs returns nil, the system's authorities, where no file is named.
func readCAs(what, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read %s: no certificate in %s", what, file)
	}
	return pool, nil
}

// secure makes nc a TLS connection; address is what was dialled.
func (t TLSConfig) secure(ctx context.Context, nc net.Conn, address string) (net.Conn, error) {
	cfg, err := t.config()
	if err != nil {
		return nil, &tlsError{addr: address, err: err}
	}
	if cfg.ServerName == "" {
		if cfg.ServerName, _, err = net.SplitHostPort(address); err != nil {
			return nil, err
		}
	}
	c := tls.Client(nc, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, &tlsError{addr: address, err: err}
	}
	return c, nil
}

// tlsError is a handshake that failed, or that could not begin.
type tlsError struct {
	addr string
	err  error
}

func (e *tlsError) Error() string { return "TLS with " + e.addr + ": " + e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }

// tlsReason says why a handshake failed and what to look at; now tells whether
// a certificate of ours has ended.
func (t TLSConfig) tlsReason(err error, now time.Time) string {
	var host x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &host):
		return fmt.Sprintf("the broker's certificate is for other names: %v: dial one of them, or set tls.server_name", host)
	case errors.As(err, &unknown):
		return fmt.Sprintf("%v: is tls.ca_file the authority that signed the broker's certificate?", unknown)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the broker's certificate %q is not valid now, but from %s to %s: renew it on the broker, or set this host's clock",
			invalid.Cert.Subject.CommonName, day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter))
	case errors.As(err, &record):
		return "the broker does not speak TLS on this port: is it the right one, or are settings under tls to go?"
	case remoteAlert(err):
		return t.refused(err, now)
	case broken(err):
		return "the broker ended the TLS handshake: does it speak TLS on this port?"
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "no answer to the TLS handshake: does the broker speak TLS on this port?"
	}
	return err.Error()
}

func day(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// remoteAlert tells whether the other side refused us in TLS. In TLS 1.3 that
// comes after the handshake, with the first answer. The library has no type for
// it outside QUIC.
func remoteAlert(err error) bool {
	return err != nil && strings.Contains(err.Error(), "remote error: tls:")
}

// refused explains an alert from the broker, which is short of words: what is
// wrong with our certificate is seen here.
func (t TLSConfig) refused(err error, now time.Time) string {
	_, alert, _ := strings.Cut(err.Error(), "remote error: tls: ")
	alert, _, _ = strings.Cut(alert, "\n")
	if t.CertFile == "" {
		return fmt.Sprintf("the broker asks for a client certificate (%s): set tls.cert_file and tls.key_file", alert)
	}
	pair, lerr := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if lerr != nil || pair.Leaf == nil {
		return fmt.Sprintf("the broker refused the client certificate (%s): tls.cert_file %s cannot be read any more", alert, t.CertFile)
	}
	if now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		return fmt.Sprintf("the broker refused the client certificate (%s): tls.cert_file %s is valid from %s to %s: renew it, it is read again",
			alert, t.CertFile, day(pair.Leaf.NotBefore), day(pair.Leaf.NotAfter))
	}
	return fmt.Sprintf("the broker refused the client certificate (%s): is tls.cert_file %s signed by an authority that the broker trusts?", alert, t.CertFile)
}
