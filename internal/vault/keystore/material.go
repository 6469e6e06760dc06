package keystore

import (
	"crypto"
	"crypto/x509"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"chatelaine.dev/internal/vault/keystore/p256k"
	"chatelaine.dev/internal/vault/keystore/slhdsa"
)

// MarshalPKCS8 writes a private key as PKCS #8 (RFC 5208), those of P-256K and SLH-DSA too.
func MarshalPKCS8(key crypto.PrivateKey) ([]byte, error) {
	switch k := key.(type) {
	case *p256k.PrivateKey:
		return p256k.MarshalPKCS8(k)
	case *slhdsa.PrivateKey:
		return slhdsa.MarshalPKCS8(k)
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// ParsePKCS8 reads what MarshalPKCS8 wrote, and any other private key that crypto/x509
// knows: the caller looks at the type.
func ParsePKCS8(der []byte) (crypto.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err == nil {
		return key, nil
	}
	if k, err := p256k.ParsePKCS8(der); err == nil {
		return k, nil
	}
	if k, err := slhdsa.ParsePKCS8(der); err == nil {
		return k, nil
	}
	return nil, err
}

// pack is the material of a software key, and its public half.
func pack(key crypto.PrivateKey) (Material, crypto.PublicKey, error) {
	if k, ok := key.(Secret); ok {
		var b cryptobyte.Builder
		b.AddASN1OctetString(k)
		m, err := b.Bytes()
		return m, nil, err
	}
	der, err := MarshalPKCS8(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode software key: %w", err)
	}
	return der, key.(crypto.Signer).Public(), nil
}

// parseSecret reads the material of a symmetric key. PKCS #8 begins as no octet string does.
func parseSecret(m Material) (Secret, bool) {
	input := cryptobyte.String(m)
	var k cryptobyte.String
	if !input.ReadASN1(&k, asn1.OCTET_STRING) || !input.Empty() {
		return nil, false
	}
	_, err := SpecOfKey(Secret(k))
	return Secret(k), err == nil
}
