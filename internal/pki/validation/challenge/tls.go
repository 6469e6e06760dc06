package challenge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// protocol is what the server must negotiate (RFC 8737 section 6.2).
const protocol = "acme-tls/1"

// identifierOID is id-pe-acmeIdentifier (RFC 8737 section 6.1).
func identifierOID() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}
}

func subjectAltNameOID() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, 17} }

// tlsALPN01 looks for the digest in the certificate of a handshake (RFC 8737 section 3).
func (v *Validator) tlsALPN01(ctx context.Context, p Proof) error {
	where := net.JoinHostPort(p.host(), strconv.Itoa(v.c.TLSPort))
	c, err := v.c.Dial(ctx, "tcp", where)
	if err != nil {
		return unreached(where, err)
	}
	defer c.Close()
	name := p.Name
	if name == "" {
		name = reverse(p.IP)
	}
	t := tls.Client(c, &tls.Config{
		ServerName: name, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS12, // section 4: 1.2 or higher
		InsecureSkipVerify: true, //nolint:gosec // G402: the certificate signs itself; the digest in it is the proof
	})
	if err := t.HandshakeContext(ctx); err != nil {
		return &Failure{TLS, "the handshake with " + where + " did not succeed", err}
	}
	s := t.ConnectionState()
	if s.NegotiatedProtocol != protocol {
		return &Failure{Kind: Unauthorized, Detail: where + " does not speak " + protocol}
	}
	if len(s.PeerCertificates) == 0 {
		return &Failure{Kind: TLS, Detail: where + " shows no certificate"}
	}
	if why := p.judge(s.PeerCertificates[0]); why != "" {
		return &Failure{Kind: Unauthorized, Detail: "the certificate of " + where + " " + why}
	}
	return nil
}

// judge returns what is wrong with the certificate, or nothing.
func (p Proof) judge(c *x509.Certificate) string {
	if !bytes.Equal(c.RawIssuer, c.RawSubject) || c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
		return "is not signed by itself"
	}
	names := 0
	var proof []byte
	for _, e := range c.Extensions {
		switch {
		case e.Id.Equal(subjectAltNameOID()):
			if names++; !p.only(e.Value) {
				return "names something else, or more"
			}
		case e.Id.Equal(identifierOID()):
			if proof != nil || !e.Critical {
				return "has the acmeIdentifier extension twice, or not critical"
			}
			rest, err := asn1.Unmarshal(e.Value, &proof)
			if err != nil || len(rest) > 0 || len(proof) != sha256.Size {
				return "has a malformed acmeIdentifier extension"
			}
		}
	}
	if names != 1 {
		return "names nothing"
	}
	want := sha256.Sum256([]byte(p.Authorization))
	if subtle.ConstantTimeCompare(proof, want[:]) != 1 {
		return "does not hold the digest that was asked for"
	}
	return ""
}

// only reports whether a subjectAltName holds the identifier and nothing else. It is read
// here because x509 leaves out the kinds of names that it does not know.
func (p Proof) only(value []byte) bool {
	var names []asn1.RawValue
	if rest, err := asn1.Unmarshal(value, &names); err != nil || len(rest) > 0 || len(names) != 1 {
		return false
	}
	n := names[0]
	if n.Class != asn1.ClassContextSpecific || n.IsCompound {
		return false
	}
	if p.Name != "" {
		return n.Tag == 2 && strings.EqualFold(string(n.Bytes), p.Name)
	}
	a, ok := netip.AddrFromSlice(n.Bytes)
	return n.Tag == 7 && ok && a == p.IP
}

// reverse is the name by which a server is asked for the certificate of an address (RFC
// 8738 section 6, RFC 1034, RFC 3596).
func reverse(a netip.Addr) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	raw := a.AsSlice()
	for i := len(raw) - 1; i >= 0; i-- {
		if a.Is4() {
			b.WriteString(strconv.Itoa(int(raw[i])) + ".")
			continue
		}
		b.WriteString(string([]byte{hex[raw[i]&15], '.', hex[raw[i]>>4], '.'}))
	}
	if a.Is4() {
		return b.String() + "in-addr.arpa"
	}
	return b.String() + "ip6.arpa"
}
