// Package certificate reads and makes X.509 certificates and requests whose key is on
// secp256k1, which crypto/x509 does not know. It lets crypto/x509 do all but the key: a
// key of P-256 stands in its place, and is replaced in what is read and written.
package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	encoding "encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"chatelaine.dev/internal/vault/keystore/p256k"
)

// Parse is x509.ParseCertificate for keys on secp256k1 too: PublicKey is then a
// *p256k.PublicKey, and no signature can be checked with the certificate.
func Parse(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err == nil {
		return c, nil
	}
	own, ok := open(der, certificateKey)
	if !ok {
		return nil, err
	}
	pub, ok := readPublic(own.key)
	if !ok {
		return nil, err
	}
	standIn, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	other, err := x509.MarshalPKIXPublicKey(&standIn.PublicKey)
	if err != nil {
		return nil, err
	}
	changed, err := own.with(other).close(own.signature)
	if err != nil {
		return nil, err
	}
	if c, err = x509.ParseCertificate(changed); err != nil {
		return nil, err
	}
	c.Raw, c.RawTBSCertificate, c.RawSubjectPublicKeyInfo, c.PublicKey = der, own.tbs(), own.key, pub
	return c, nil
}

// SelfSign is x509.CreateCertificate for a certificate that key signs itself.
func SelfSign(template *x509.Certificate, key crypto.Signer) ([]byte, error) {
	pub, ok := key.Public().(*p256k.PublicKey)
	if !ok {
		return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	}
	return sign(certificateKey, pub, key, func(standIn crypto.Signer) ([]byte, error) {
		return x509.CreateCertificate(rand.Reader, template, template, standIn.Public(), standIn)
	})
}

// Request is x509.CreateCertificateRequest.
func Request(template *x509.CertificateRequest, key crypto.Signer) ([]byte, error) {
	pub, ok := key.Public().(*p256k.PublicKey)
	if !ok {
		return x509.CreateCertificateRequest(rand.Reader, template, key)
	}
	return sign(requestKey, pub, key, func(standIn crypto.Signer) ([]byte, error) {
		return x509.CreateCertificateRequest(rand.Reader, template, standIn)
	})
}

// sign makes something with a key that stands in, puts the right key in its place, and
// signs it (RFC 5758, section 3.2: the algorithm is that of P-256).
func sign(position func(cryptobyte.String) int, pub *p256k.PublicKey, key crypto.Signer, by func(crypto.Signer) ([]byte, error)) ([]byte, error) {
	standIn, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := by(standIn)
	if err != nil {
		return nil, err
	}
	made, ok := open(der, position)
	if !ok {
		return nil, errors.New("what crypto/x509 made has another form than was thought")
	}
	own, err := MarshalPublic(pub)
	if err != nil {
		return nil, err
	}
	right := made.with(own)
	digest := sha256.Sum256(right.tbs())
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return right.close(signature)
}

// MarshalPublic is x509.MarshalPKIXPublicKey (RFC 5480, section 2).
func MarshalPublic(pub crypto.PublicKey) ([]byte, error) {
	k, ok := pub.(*p256k.PublicKey)
	if !ok {
		return x509.MarshalPKIXPublicKey(pub)
	}
	point, err := k.Bytes()
	if err != nil {
		return nil, err
	}
	curve, err := encoding.Marshal(oidCurve())
	if err != nil {
		return nil, err
	}
	return encoding.Marshal(publicKeyInfo{
		Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidPublicKey(), Parameters: encoding.RawValue{FullBytes: curve}},
		Key:       encoding.BitString{Bytes: point, BitLength: 8 * len(point)},
	})
}

type publicKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Key       encoding.BitString
}

func oidPublicKey() encoding.ObjectIdentifier {
	return encoding.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
}
func oidCurve() encoding.ObjectIdentifier { return encoding.ObjectIdentifier{1, 3, 132, 0, 10} }

// readPublic reads a key on secp256k1, and no other.
func readPublic(spki []byte) (*p256k.PublicKey, bool) {
	var info publicKeyInfo
	var curve encoding.ObjectIdentifier
	if rest, err := encoding.Unmarshal(spki, &info); err != nil || len(rest) > 0 || !info.Algorithm.Algorithm.Equal(oidPublicKey()) {
		return nil, false
	}
	if rest, err := encoding.Unmarshal(info.Algorithm.Parameters.FullBytes, &curve); err != nil || len(rest) > 0 || !curve.Equal(oidCurve()) {
		return nil, false
	}
	pub, err := p256k.ParsePublic(info.Key.RightAlign())
	return pub, err == nil
}

// signed is a certificate or a request in its parts: what is signed before its key, the
// key (SubjectPublicKeyInfo), what is signed after it, the algorithm, and the signature.
type signed struct {
	before, key, after, algorithm, signature []byte
}

// open cuts a certificate or a request. position tells which element the key is.
func open(der []byte, position func(tbs cryptobyte.String) int) (s signed, ok bool) {
	input := cryptobyte.String(der)
	var outer, tbs, algorithm cryptobyte.String
	var signature encoding.BitString
	if !input.ReadASN1(&outer, asn1.SEQUENCE) || !input.Empty() || !outer.ReadASN1(&tbs, asn1.SEQUENCE) ||
		!outer.ReadASN1Element(&algorithm, asn1.SEQUENCE) || !outer.ReadASN1BitString(&signature) || !outer.Empty() {
		return s, false
	}
	rest := tbs
	for range position(tbs) {
		var element cryptobyte.String
		var tag asn1.Tag
		if !rest.ReadAnyASN1Element(&element, &tag) {
			return s, false
		}
	}
	s.before = tbs[:len(tbs)-len(rest)]
	var key cryptobyte.String
	if !rest.ReadASN1Element(&key, asn1.SEQUENCE) {
		return s, false
	}
	s.key, s.after, s.algorithm, s.signature = key, rest, algorithm, signature.RightAlign()
	return s, true
}

// certificateKey: RFC 5280, section 4.1. The version is there or not.
func certificateKey(tbs cryptobyte.String) int {
	if tbs.PeekASN1Tag(asn1.Tag(0).ContextSpecific().Constructed()) {
		return 6
	}
	return 5
}

// requestKey: RFC 2986, section 4.1.
func requestKey(cryptobyte.String) int { return 2 }

func (s signed) with(key []byte) signed {
	s.key = key
	return s
}

// tbs is what is signed.
func (s signed) tbs() []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(s.before)
		b.AddBytes(s.key)
		b.AddBytes(s.after)
	})
	return b.BytesOrPanic() // nothing in it can fail
}

// close writes it with a signature.
func (s signed) close(signature []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(s.tbs())
		b.AddBytes(s.algorithm)
		b.AddASN1BitString(signature)
	})
	out, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return out, nil
}
