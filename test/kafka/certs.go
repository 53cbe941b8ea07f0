package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is a certificate authority for one test.
type CA struct {
	// File is its certificate, in PEM.
	File string

	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	last int64
}

// Pair are the files of a certificate and of its key in PKCS 8, both in PEM.
type Pair struct{ Cert, Key string }

// NewCA makes an authority whose files go with the test.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{t: t, dir: t.TempDir()}
	self := ca.template("authority", 24*time.Hour)
	self.IsCA, self.BasicConstraintsValid, self.KeyUsage = true, true, x509.KeyUsageCertSign
	pair := ca.sign(self, self, nil)
	ca.File, ca.cert = pair.Cert, self
	return ca
}

// Issue signs a certificate for loopback that ends after life, which may be
// negative: it has expired then.
func (ca *CA) Issue(name string, life time.Duration) Pair {
	ca.t.Helper()
	return ca.sign(ca.template(name, life), ca.cert, ca.key)
}

func (ca *CA) template(name string, life time.Duration) *x509.Certificate {
	ca.last++
	return &x509.Certificate{SerialNumber: big.NewInt(ca.last), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(min(life, 0) - time.Hour), NotAfter: time.Now().Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
}

// sign writes the certificate and its new key; without a signer it signs itself.
func (ca *CA) sign(c, by *x509.Certificate, signer *ecdsa.PrivateKey) Pair {
	ca.t.Helper()
	fail := func(err error) {
		if err != nil {
			ca.t.Helper()
			ca.t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fail(err)
	if signer == nil {
		signer, ca.key = key, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, signer)
	fail(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	fail(err)
	base := filepath.Join(ca.dir, c.SerialNumber.String())
	pair := Pair{Cert: base + ".crt", Key: base + ".key"}
	fail(os.WriteFile(pair.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	fail(os.WriteFile(pair.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	return pair
}
