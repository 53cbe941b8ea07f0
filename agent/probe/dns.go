package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"nines/agent/discovery"
)

// dnsProbe asks one question an attempt, without repeating it.
type dnsProbe struct {
	network, server string
	name            dnsmessage.Name
	qtype           dnsmessage.Type
	want            dnsmessage.RCode
	answer          *regexp.Regexp
}

func (c *job) bindDNS(sp *spec, t discovery.Target) error {
	server, name := strings.TrimPrefix(t.Address, "dns://"), first(t.Labels["__name"], c.DNS.Name)
	if c.DNS.Server != "" {
		server, name = c.DNS.Server, t.Address
	}
	if name == "" {
		return errors.New("dns: give either dns.name or dns.server")
	}
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
	}
	if err := checkHostPort(server); err != nil {
		return fmt.Errorf("dns server must be host or host:port: %w", err)
	}
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return fmt.Errorf("not a name to ask for (%w), got %q", err, name)
	}
	p := &dnsProbe{network: c.DNS.Transport, server: server, name: n, answer: c.answer}
	if p.qtype, err = queryType(c.DNS.Type); err != nil {
		return err
	}
	if p.want, err = rcode(c.DNS.RCode); err != nil {
		return err
	}
	if _, err := p.query(0); err != nil {
		return fmt.Errorf("not a name to ask for (%w), got %q", err, name)
	}
	sp.probe = p.probe
	return nil
}

func (p *dnsProbe) probe(ctx context.Context, _ int64) result {
	r := newResult()
	id := uint16(rand.Uint32()) //nolint:gosec // tells our answer from others', no secret
	q, err := p.query(id)
	if err != nil {
		r.fail(err)
		return r
	}
	conn, err := dial(ctx, p.network, p.server, &r)
	if err != nil {
		r.fail(err)
		return r
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	m, err := p.ask(conn, id, q)
	if err != nil {
		r.fail(err)
		return r
	}
	p.judge(m, &r)
	return r
}

func (p *dnsProbe) query(id uint16) ([]byte, error) {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: p.name, Type: p.qtype, Class: dnsmessage.ClassINET}},
	}
	return m.Pack()
}

// ask sends the query and reads until its answer comes.
func (p *dnsProbe) ask(conn net.Conn, id uint16, q []byte) (*dnsmessage.Message, error) {
	stream := p.network == "tcp"
	if stream {
		q = append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)
	}
	if _, err := conn.Write(q); err != nil {
		return nil, fmt.Errorf("send query: %w", err)
	}
	buf := make([]byte, 1<<16)
	for {
		b, err := readDNS(conn, buf, stream)
		if err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		var m dnsmessage.Message
		if err := m.Unpack(b); err != nil {
			if stream {
				return nil, fmt.Errorf("read answer: %w", err)
			}
			continue // not from our server, or broken: the right one may follow
		}
		if m.ID == id && m.Response && p.isOurs(m.Questions) {
			return &m, nil
		}
	}
}

// isOurs tells whether an answer is to our question. Servers that refuse may
// leave the question out.
func (p *dnsProbe) isOurs(qs []dnsmessage.Question) bool {
	return len(qs) == 0 || qs[0].Type == p.qtype && strings.EqualFold(qs[0].Name.String(), p.name.String())
}

func readDNS(conn net.Conn, buf []byte, stream bool) ([]byte, error) {
	if !stream {
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	if _, err := io.ReadFull(conn, buf[:2]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(buf))
	_, err := io.ReadFull(conn, buf[:n])
	return buf[:n], err
}

func (p *dnsProbe) judge(m *dnsmessage.Message, r *result) {
	if m.RCode != p.want {
		r.failAs(reasonStatus, errAnswer("answered %s, want %s", rcodeName(m.RCode), rcodeName(p.want)))
		return
	}
	if p.answer == nil {
		r.ok = true
		return
	}
	for _, a := range m.Answers {
		if p.answer.MatchString(answerText(a.Body)) {
			r.ok = true
			return
		}
	}
	r.failAs(reasonStatus, errAnswer("none of %d answers matches %s", len(m.Answers), p.answer))
}

// answerText returns a record's data as dig prints it.
func answerText(body dnsmessage.ResourceBody) string {
	switch b := body.(type) {
	case *dnsmessage.AResource:
		return net.IP(b.A[:]).String()
	case *dnsmessage.AAAAResource:
		return net.IP(b.AAAA[:]).String()
	case *dnsmessage.CNAMEResource:
		return b.CNAME.String()
	case *dnsmessage.NSResource:
		return b.NS.String()
	case *dnsmessage.PTRResource:
		return b.PTR.String()
	case *dnsmessage.MXResource:
		return fmt.Sprintf("%d %s", b.Pref, b.MX)
	case *dnsmessage.SRVResource:
		return fmt.Sprintf("%d %d %d %s", b.Priority, b.Weight, b.Port, b.Target)
	case *dnsmessage.TXTResource:
		return strings.Join(b.TXT, "")
	case *dnsmessage.SOAResource:
		return fmt.Sprintf("%s %s %d", b.NS, b.MBox, b.Serial)
	}
	return ""
}
