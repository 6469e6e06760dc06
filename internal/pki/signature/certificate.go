package signature

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"chatelaine.dev/internal/vault/keystore/slhdsa"
)

// ParseCertificate is x509.ParseCertificate for keys of SLH-DSA too: PublicKey is then a
// *slhdsa.PublicKey, and CheckFrom checks what it signed.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	c.PublicKey = keyOf(c)
	return c, nil
}

// keyOf is the key of a certificate that crypto/x509 has read, or nil when nobody knows it.
func keyOf(c *x509.Certificate) crypto.PublicKey {
	if c.PublicKey != nil {
		return c.PublicKey
	}
	if k, err := slhdsa.ParsePublic(c.RawSubjectPublicKeyInfo); err == nil {
		return k
	}
	return nil
}

// MarshalPublic is x509.MarshalPKIXPublicKey for keys of SLH-DSA too.
func MarshalPublic(pub crypto.PublicKey) ([]byte, error) {
	if k, ok := pub.(*slhdsa.PublicKey); ok {
		return slhdsa.MarshalPublic(k)
	}
	return x509.MarshalPKIXPublicKey(pub)
}

// CheckFrom is c.CheckSignatureFrom for parents with a key of SLH-DSA too.
func CheckFrom(c, parent *x509.Certificate) error {
	key, ok := keyOf(parent).(*slhdsa.PublicKey)
	if !ok {
		return c.CheckSignatureFrom(parent)
	}
	if !parent.BasicConstraintsValid || !parent.IsCA || parent.KeyUsage != 0 && parent.KeyUsage&x509.KeyUsageCertSign == 0 {
		return x509.ConstraintViolationError{}
	}
	return check(c.Raw, key)
}

// CheckListFrom is list.CheckSignatureFrom for parents with a key of SLH-DSA too.
func CheckListFrom(list *x509.RevocationList, parent *x509.Certificate) error {
	key, ok := keyOf(parent).(*slhdsa.PublicKey)
	if !ok {
		return list.CheckSignatureFrom(parent)
	}
	if !parent.BasicConstraintsValid || !parent.IsCA || parent.KeyUsage != 0 && parent.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return x509.ConstraintViolationError{}
	}
	return check(list.Raw, key)
}

// check checks what is signed as certificates and lists are (RFC 5280 sections 4.1 and
// 5.1). The algorithm must be named both inside and outside of what is signed.
func check(der []byte, key *slhdsa.PublicKey) error {
	input := cryptobyte.String(der)
	var outer, tbs, inside, algorithm, named cryptobyte.String
	var signed []byte
	if !input.ReadASN1(&outer, asn1.SEQUENCE) || !input.Empty() || !outer.ReadASN1Element(&tbs, asn1.SEQUENCE) ||
		!outer.ReadASN1Element(&algorithm, asn1.SEQUENCE) || !outer.ReadASN1BitStringAsBytes(&signed) || !outer.Empty() {
		return errForm
	}
	whole := tbs
	if !tbs.ReadASN1(&inside, asn1.SEQUENCE) {
		return errForm
	}
	for range 3 { // before it: the version, and in certificates the serial
		var tag asn1.Tag
		if !inside.ReadAnyASN1Element(&named, &tag) {
			return errForm
		}
		if tag == asn1.SEQUENCE {
			break
		}
	}
	if !bytes.Equal(named, algorithm) || !bytes.Equal(algorithm, key.Algorithm()) || !key.Verify(whole, signed) {
		return errSignature
	}
	return nil
}

var errForm = errors.New("this is not signed as certificates and lists are")
