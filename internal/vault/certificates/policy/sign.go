package policy

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"chatelaine.dev/internal/vault/keystore/p256k/certificate"
)

// backdate is how long before its making a self-signed certificate is valid, for clocks
// that are behind (contract §2.6).
const backdate = 600 * time.Second

// Request makes the certificate request (PKCS#10, RFC 2986) of a complete policy, signed
// by the certificate's key. The result is DER.
func (p Policy) Request(key crypto.Signer) ([]byte, error) {
	subject, err := p.subject()
	if err != nil {
		return nil, err
	}
	extensions, err := p.X509.extensions()
	if err != nil {
		return nil, err
	}
	csr, err := certificate.Request(&x509.CertificateRequest{RawSubject: subject, ExtraExtensions: extensions}, key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate request: %w", err)
	}
	return csr, nil
}

// SelfSign makes a certificate of a complete policy that its own key signs. It is valid
// from ten minutes before now until validity_months after now. The result is DER.
func (p Policy) SelfSign(key crypto.Signer, now time.Time) ([]byte, error) {
	subject, err := p.subject()
	if err != nil {
		return nil, err
	}
	extensions, err := p.X509.extensions()
	if err != nil {
		return nil, err
	}
	id, err := keyIdentifier(key.Public())
	if err != nil {
		return nil, err
	}
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // never fails
	serial[0] = serial[0]&0x7F | 0x40
	now = now.UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		RawSubject:   subject,
		NotBefore:    now.Add(-backdate),
		NotAfter:     p.Until(now),
		SubjectKeyId: id, AuthorityKeyId: id,
		ExtraExtensions: extensions,
	}
	cert, err := certificate.SelfSign(template, key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return cert, nil
}

func (p Policy) subject() ([]byte, error) {
	sequence, err := ParseName(p.X509.Subject)
	if err != nil {
		return nil, err
	}
	raw, err := asn1.Marshal(sequence)
	if err != nil {
		return nil, bad("x509_props.subject has a value that its type cannot hold")
	}
	return raw, nil
}

// Until is the end of a certificate that begins now.
func (p Policy) Until(now time.Time) time.Time { return addMonths(now, p.X509.ValidityMonths) }

// addMonths keeps to the month: one month after 31 January is the last day of February.
func addMonths(t time.Time, months int) time.Time {
	end := t.AddDate(0, months, 0)
	if end.Day() != t.Day() {
		return end.AddDate(0, 0, -end.Day())
	}
	return end
}

// months is the validity of a certificate in whole months, rounded, at least one.
func months(from, to time.Time) int {
	const month = 365.25 / 12 * 24 * float64(time.Hour)
	n := int(float64(to.Sub(from))/month + 0.5)
	return min(max(n, 1), MaxValidityMonths)
}
