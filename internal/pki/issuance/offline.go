package issuance

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"fmt"

	"chatelaine.dev/internal/pki/signature"
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
	if _, err := o.identify(serial); err != nil {
		return nil, err
	}
	d, err := newDraft(&o.Template, o.Issuer.Certificate, o.Issuer.Signer.Public(), o.PublicKey)
	if err != nil {
		return nil, err
	}
	if err := o.allowed(d); err != nil {
		return nil, err
	}
	if err := d.check(l, o.Standards); err != nil {
		return nil, err
	}
	return d.sign(o.Issuer)
}

// statement keeps what an authority's key signs besides certificates apart from those: no
// certificate or CRL begins with it.
const statement = "chatelaine statement v1\n"

// SignStatement signs a text with an authority's key.
func SignStatement(key crypto.Signer, text []byte) ([]byte, error) {
	scheme, err := signature.Of(key.Public())
	if err != nil {
		return nil, err
	}
	return scheme.Sign(key, append([]byte(statement), text...))
}

// CheckStatement checks a text that SignStatement signed with the key of a certificate.
func CheckStatement(by *x509.Certificate, text, signed []byte) error {
	scheme, err := signature.Of(by.PublicKey)
	if err == nil {
		err = scheme.Verify(by.PublicKey, append([]byte(statement), text...), signed)
	}
	if err != nil {
		return fmt.Errorf("the signature is not that of %s: %w", by.Subject, err)
	}
	return nil
}
