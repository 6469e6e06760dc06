package issuance

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
)

// Offline makes a certificate on a machine without a database: drafted, held to the
// constraints above, linted, signed and compared as the Ceremony does it. Whoever calls
// keeps the record before the certificate leaves. Operation, Profile, Request, Names and
// Also of the order count for nothing.
func Offline(o Order, l *Linter) (*x509.Certificate, error) {
	serial, err := newSerial(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer := o.Issuer.Signer.Public()
	t := o.Template
	t.SerialNumber = serial
	if t.SignatureAlgorithm, err = algorithm(signer); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(o.PublicKey)
	if err != nil {
		return nil, err
	}
	keyHash := sha256.Sum256(spki)
	t.SubjectKeyId = keyHash[:20] // RFC 7093 section 2 (4), cut to the usual length
	if o.Issuer.Certificate == nil {
		t.AuthorityKeyId = t.SubjectKeyId
	}
	d, err := newDraft(&t, o.Issuer.Certificate, signer, o.PublicKey)
	if err != nil {
		return nil, err
	}
	if err := o.allowed(d); err != nil {
		return nil, err
	}
	der, err := d.lint()
	if err != nil {
		return nil, err
	}
	if err := l.Check(der, o.Standards); err != nil {
		return nil, err
	}
	if der, err = d.sign(o.Issuer.Signer); err != nil {
		return nil, err
	}
	final, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return final, correspond(d.tbs, final, o.Issuer.Certificate)
}

// statement keeps what an authority's key signs besides certificates apart from those: no
// certificate or CRL begins with it.
const statement = "chatelaine statement v1\n"

// SignStatement signs a text with an authority's key.
func SignStatement(key crypto.Signer, text []byte) ([]byte, error) {
	a, err := algorithm(key.Public())
	if err != nil {
		return nil, err
	}
	return crypto.SignMessage(key, rand.Reader, append([]byte(statement), text...), hashOf(a))
}

// CheckStatement checks a text that SignStatement signed with the key of a certificate.
func CheckStatement(by *x509.Certificate, text, signature []byte) error {
	a, err := algorithm(by.PublicKey)
	if err == nil {
		err = by.CheckSignature(a, append([]byte(statement), text...), signature)
	}
	if err != nil {
		return fmt.Errorf("the signature is not that of %s: %w", by.Subject, err)
	}
	return nil
}
