package slhdsa

import (
	"bytes"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

var errKey = errors.New("this is no SLH-DSA key of a known parameter set")

// MarshalPublic writes a SubjectPublicKeyInfo (RFC 9909): the key is its bytes,
// without a structure of its own.
func MarshalPublic(p *PublicKey) ([]byte, error) {
	raw, err := p.key.MarshalBinary()
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(p.set.algorithm())
		b.AddASN1BitString(raw)
	})
	return b.Bytes()
}

// ParsePublic reads what MarshalPublic writes, and no other key.
func ParsePublic(spki []byte) (*PublicKey, error) {
	input := cryptobyte.String(spki)
	var inner, algorithm cryptobyte.String
	var raw []byte
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() || !inner.ReadASN1Element(&algorithm, asn1.SEQUENCE) ||
		!inner.ReadASN1BitStringAsBytes(&raw) || !inner.Empty() {
		return nil, errKey
	}
	s, ok := identified(algorithm)
	if !ok || len(raw) != s.id.Scheme().PublicKeySize() {
		return nil, errKey
	}
	p := &PublicKey{set: s}
	p.key.ID = s.id
	return p, p.key.UnmarshalBinary(raw)
}

func identified(algorithm []byte) (set, bool) {
	return find(func(s set) bool { return bytes.Equal(s.algorithm(), algorithm) })
}

// MarshalPKCS8 writes a private key as PKCS #8 (RFC 9909).
func MarshalPKCS8(k *PrivateKey) ([]byte, error) {
	raw, err := k.key.MarshalBinary()
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddBytes(k.set.algorithm())
		b.AddASN1OctetString(raw)
	})
	return b.Bytes()
}

// ParsePKCS8 reads what MarshalPKCS8 writes, and no other key. Attributes and a public
// key, which may follow (RFC 5958 section 2), are passed over: the private key holds both halves.
func ParsePKCS8(der []byte) (*PrivateKey, error) {
	input := cryptobyte.String(der)
	var inner, algorithm, raw cryptobyte.String
	var version int64
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() || !inner.ReadASN1Integer(&version) || version < 0 || version > 1 ||
		!inner.ReadASN1Element(&algorithm, asn1.SEQUENCE) || !inner.ReadASN1(&raw, asn1.OCTET_STRING) {
		return nil, errKey
	}
	s, ok := identified(algorithm)
	if !ok || len(raw) != s.id.Scheme().PrivateKeySize() {
		return nil, errKey
	}
	k := &PrivateKey{set: s}
	k.key.ID = s.id
	return k, k.key.UnmarshalBinary(raw)
}
