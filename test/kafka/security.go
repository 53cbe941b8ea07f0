package kafka

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Security is how clients are let in. The zero value lets anybody do anything,
// in clear text. Brokers among themselves, and Tool, use listeners of their own,
// which are open.
type Security struct {
	// Cert and Key are the broker's certificate and its key in PKCS 8, one PEM
	// file each. Set, the listener speaks TLS.
	Cert, Key string
	// ClientCA is a PEM file with the authority whose certificates clients must
	// show. A client's principal is then User:CN=name.
	ClientCA string
	// Mechanisms are those of SASL that are offered: PLAIN, SCRAM-SHA-256,
	// SCRAM-SHA-512, OAUTHBEARER. None means that nobody logs in.
	Mechanisms []string
	// Users are the names and passwords of PLAIN and SCRAM. A user's principal
	// is User:name.
	Users map[string]string
	OAuth OAuth
	// ACLs turns on access control: only SuperUsers ("User:name") may do
	// anything, all others what ACLs allow them. See Cluster.Allow.
	ACLs       bool
	SuperUsers []string
	// Audit writes each decision of access control down. See Cluster.Decisions.
	Audit bool
}

// OAuth is what tokens of OAUTHBEARER must be. A token's principal is User:sub.
type OAuth struct {
	// JWKS is the URL of the signers' public keys, file: or http:.
	JWKS             string
	Issuer, Audience string
}

func (s *Security) protocol() string {
	switch tls := s.Cert != ""; {
	case tls && len(s.Mechanisms) > 0:
		return "SASL_SSL"
	case tls:
		return "SSL"
	case len(s.Mechanisms) > 0:
		return "SASL_PLAINTEXT"
	}
	return "PLAINTEXT"
}

// scram returns the users as the storage tool takes them.
func (s *Security) scram() (out []string) {
	for _, m := range s.Mechanisms {
		if !strings.HasPrefix(m, "SCRAM-") {
			continue
		}
		for name, password := range s.Users {
			out = append(out, fmt.Sprintf("%s=[name=%s,password=%s]", m, name, password))
		}
	}
	return out
}

const modules = "org.apache.kafka.common.security."

// configure adds what the listener needs to the properties; dir takes files.
func (s *Security) configure(p map[string]string, dir string) error {
	const at = "listener.name.client."
	if s.Cert != "" {
		file := filepath.Join(dir, "keystore.pem")
		if err := s.keystore(file); err != nil {
			return err
		}
		p[at+"ssl.keystore.type"] = "PEM"
		p[at+"ssl.keystore.location"] = file
	}
	if s.ClientCA != "" {
		p[at+"ssl.truststore.type"] = "PEM"
		p[at+"ssl.truststore.location"] = s.ClientCA
		p[at+"ssl.client.auth"] = "required"
	}
	if len(s.Mechanisms) > 0 {
		p[at+"sasl.enabled.mechanisms"] = strings.Join(s.Mechanisms, ",")
	}
	for _, m := range s.Mechanisms {
		jaas := at + strings.ToLower(m) + ".sasl.jaas.config"
		switch m {
		case "PLAIN":
			p[jaas] = modules + "plain.PlainLoginModule required"
			for name, password := range s.Users {
				p[jaas] += fmt.Sprintf(" user_%s=%q", name, password)
			}
			p[jaas] += ";"
		case "OAUTHBEARER":
			p[jaas] = modules + "oauthbearer.OAuthBearerLoginModule required;"
			p[at+"oauthbearer.sasl.server.callback.handler.class"] = modules + "oauthbearer.OAuthBearerValidatorCallbackHandler"
			p["sasl.oauthbearer.jwks.endpoint.url"] = s.OAuth.JWKS
			p["sasl.oauthbearer.expected.issuer"] = s.OAuth.Issuer
			p["sasl.oauthbearer.expected.audience"] = s.OAuth.Audience
		default:
			p[jaas] = modules + "scram.ScramLoginModule required;"
		}
	}
	if s.ACLs {
		p["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
		p["super.users"] = strings.Join(append([]string{"User:ANONYMOUS"}, s.SuperUsers...), ";")
	}
	return nil
}

// keystore writes certificate and key into the one file that Kafka reads.
func (s *Security) keystore(file string) error {
	key, err := os.ReadFile(s.Key)
	if err != nil {
		return fmt.Errorf("read the broker's key: %w", err)
	}
	cert, err := os.ReadFile(s.Cert)
	if err != nil {
		return fmt.Errorf("read the broker's certificate: %w", err)
	}
	return os.WriteFile(file, slices.Concat(key, []byte("\n"), cert), 0o600)
}
