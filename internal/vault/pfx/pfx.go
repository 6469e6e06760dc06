// Package pfx reads and writes the two files in which a private key travels with its
// certificates: PKCS#12 (RFC 7292) and PEM (RFC 7468). What it reads comes from strangers,
// so size, number of parts and password iterations have limits that are checked before
// the work that they would cost.
package pfx

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"

	"chatelaine.dev/internal/fault"
)

// The limits on what is read.
const (
	MaxSize       = 1 << 20   // bytes of a file
	MaxKey        = 16 << 10  // bytes of a private key; one of RSA 4096 has 2,400
	MaxBags       = 100       // safe contents and bags of a PKCS#12 file together; blocks of a PEM file
	MaxIterations = 1_000_000 // hashes for passwords, over the whole file: a fifth of a second
)

// Bundle is a private key with its certificates. It never prints its key.
type Bundle struct {
	Key          crypto.PrivateKey   // *rsa.PrivateKey, *ecdsa.PrivateKey or *p256k.PrivateKey; nil when there is none
	Certificates []*x509.Certificate // in the order of the file
}

// Format hides the key from every verb of fmt.
func (Bundle) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[key and certificates]") }

// LogValue hides the key.
func (Bundle) LogValue() slog.Value { return slog.StringValue("[key and certificates]") }

// Leaf is the first certificate that holds the public half of the key.
// The error, of kind Invalid, says that there is none.
func (b Bundle) Leaf() (*x509.Certificate, error) {
	signer, ok := b.Key.(crypto.Signer)
	if !ok {
		return nil, invalid("there is no private key; add it to the file")
	}
	for _, c := range b.Certificates {
		if Same(c.PublicKey, signer.Public()) {
			return c, nil
		}
	}
	return nil, invalid("no certificate belongs to the private key; add the key's own certificate to the file")
}

// LeafFirst returns the certificates with the leaf first, then each one's issuer as far
// as the chain goes, then the others in their order.
func (b Bundle) LeafFirst() ([]*x509.Certificate, error) {
	leaf, err := b.Leaf()
	if err != nil {
		return nil, err
	}
	return Chain(leaf, b.Certificates), nil
}

// Chain orders certificates from leaf upwards: each one's issuer follows it, and what is
// not of the chain comes last in its old order. Doubles are dropped.
func Chain(leaf *x509.Certificate, all []*x509.Certificate) []*x509.Certificate {
	ordered := []*x509.Certificate{leaf}
	rest := make([]*x509.Certificate, 0, len(all))
	for _, c := range all {
		if !contains(ordered, c) && !contains(rest, c) {
			rest = append(rest, c)
		}
	}
	for i := 0; i < len(rest); {
		if last := ordered[len(ordered)-1]; issued(rest[i], last) {
			ordered = append(ordered, rest[i])
			rest = append(rest[:i], rest[i+1:]...)
			i = 0
			continue
		}
		i++
	}
	return append(ordered, rest...)
}

func contains(list []*x509.Certificate, c *x509.Certificate) bool {
	for _, l := range list {
		if l.Equal(c) {
			return true
		}
	}
	return false
}

// issued compares names, then key identifiers when both certificates carry them.
func issued(issuer, subject *x509.Certificate) bool {
	if !bytes.Equal(issuer.RawSubject, subject.RawIssuer) {
		return false
	}
	if len(issuer.SubjectKeyId) == 0 || len(subject.AuthorityKeyId) == 0 {
		return true
	}
	return bytes.Equal(issuer.SubjectKeyId, subject.AuthorityKeyId)
}

// Same reports whether two public keys are equal.
func Same(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, "BadParameter", "The certificate file cannot be used: "+format+".", args...)
}
