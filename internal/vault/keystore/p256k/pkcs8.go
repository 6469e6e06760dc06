package p256k

import (
	encoding "encoding/asn1"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

func oidPublicKey() encoding.ObjectIdentifier {
	return encoding.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
}
func oidCurve() encoding.ObjectIdentifier { return encoding.ObjectIdentifier{1, 3, 132, 0, 10} }

// The fields of an ECPrivateKey that may be missing.
const (
	parameters = asn1.Tag(0xa0) // [0]
	publicKey  = asn1.Tag(0xa1) // [1]
)

// MarshalPKCS8 writes a private key as crypto/x509 writes those of its curves: PKCS #8
// (RFC 5208) around an ECPrivateKey (RFC 5915).
func MarshalPKCS8(k *PrivateKey) ([]byte, error) {
	point, err := k.public.Bytes()
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidPublicKey())
			b.AddASN1ObjectIdentifier(oidCurve())
		})
		b.AddASN1(asn1.OCTET_STRING, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(1)
				b.AddASN1OctetString(k.Bytes())
				b.AddASN1(publicKey, func(b *cryptobyte.Builder) { b.AddASN1BitString(point) })
			})
		})
	})
	return b.Bytes()
}

// ParsePKCS8 reads a private key of this curve, and no other. A public key inside must be
// that of the private one.
func ParsePKCS8(der []byte) (*PrivateKey, error) {
	wrong := errors.New("p256k: not a PKCS #8 private key of secp256k1")
	input := cryptobyte.String(der)
	var outer, algorithm, octets, inner, d cryptobyte.String
	var oid, curve encoding.ObjectIdentifier
	var version int
	if !input.ReadASN1(&outer, asn1.SEQUENCE) || !input.Empty() ||
		!outer.ReadASN1Integer(&version) || version > 1 ||
		!outer.ReadASN1(&algorithm, asn1.SEQUENCE) ||
		!algorithm.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidPublicKey()) ||
		!algorithm.ReadASN1ObjectIdentifier(&curve) || !curve.Equal(oidCurve()) || !algorithm.Empty() ||
		!outer.ReadASN1(&octets, asn1.OCTET_STRING) ||
		!octets.ReadASN1(&inner, asn1.SEQUENCE) || !octets.Empty() ||
		!inner.ReadASN1Integer(&version) || version != 1 ||
		!inner.ReadASN1(&d, asn1.OCTET_STRING) {
		return nil, wrong
	}
	k, err := ParsePrivate(d)
	if err != nil {
		return nil, err
	}
	var bits cryptobyte.String
	var there bool
	var point encoding.BitString
	if !inner.SkipOptionalASN1(parameters) || !inner.ReadOptionalASN1(&bits, &there, publicKey) || !inner.Empty() {
		return nil, wrong
	}
	if !there {
		return k, nil
	}
	if !bits.ReadASN1BitString(&point) || !bits.Empty() {
		return nil, wrong
	}
	public, err := ParsePublic(point.RightAlign())
	if err != nil || !public.Equal(k.public) {
		return nil, errors.New("p256k: the public key is not that of the private key")
	}
	return k, nil
}
