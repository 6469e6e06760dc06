package pfx

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"

	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/keystore/p256k/certificate"
)

// Types of PEM blocks (RFC 7468), and the two older ones for keys.
const (
	pemCertificate  = "CERTIFICATE"
	pemKey          = "PRIVATE KEY"
	pemEncryptedKey = "ENCRYPTED PRIVATE KEY"
	pemRSAKey       = "RSA PRIVATE KEY"
	pemECKey        = "EC PRIVATE KEY"
)

// IsPEM reports whether the text is PEM rather than base64 of PKCS#12.
func IsPEM(text string) bool {
	return bytes.Contains([]byte(text), []byte("-----BEGIN "))
}

// DecodePEM reads one private key (PKCS#8, also encrypted with the password; PKCS#1;
// SEC 1) and certificates, in any order. Blocks of other types, such as EC PARAMETERS,
// are passed over.
func DecodePEM(text []byte, password string) (Bundle, error) {
	b, err := OpenPEM(text, password)
	if err == nil && b.Key == nil {
		return Bundle{}, invalid("there is no private key in it; add one as a PRIVATE KEY block (PKCS#8)")
	}
	return b, err
}

// OpenPEM is DecodePEM for a file that may hold certificates alone.
func OpenPEM(text []byte, password string) (Bundle, error) {
	if len(text) > MaxSize {
		return Bundle{}, invalid("it has %d bytes; the limit is %d", len(text), MaxSize)
	}
	s, err := newSecret(password)
	if err != nil {
		return Bundle{}, err
	}
	r := &reader{secret: s, budget: MaxIterations}
	for blocks := 1; ; blocks++ {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return r.bundle, nil
		}
		if blocks > MaxBags {
			return Bundle{}, invalid("it has more than %d parts", MaxBags)
		}
		if err := r.block(b); err != nil {
			return Bundle{}, err
		}
	}
}

func (r *reader) block(b *pem.Block) error {
	if b.Headers["DEK-Info"] != "" {
		return invalid("its key is encrypted the old way (DEK-Info), which protects nothing; convert it with openssl pkcs8")
	}
	switch b.Type {
	case pemCertificate:
		c, err := certificate.Parse(b.Bytes)
		if err != nil {
			return invalid("one of its certificates does not parse (%v)", err)
		}
		r.bundle.Certificates = append(r.bundle.Certificates, c)
		return nil
	case pemKey:
		return r.key(b.Bytes)
	case pemEncryptedKey:
		plain, err := r.secret.decryptKey(&r.budget, b.Bytes)
		if err != nil {
			return err
		}
		return r.key(plain)
	case pemRSAKey, pemECKey:
		pkcs8, err := upgrade(b)
		if err != nil {
			return err
		}
		return r.key(pkcs8)
	}
	return nil
}

// upgrade turns PKCS#1 or SEC 1 into PKCS#8.
func upgrade(b *pem.Block) ([]byte, error) {
	if err := checkSize(b.Bytes); err != nil {
		return nil, err
	}
	var key crypto.PrivateKey
	var err error
	if b.Type == pemRSAKey {
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	} else {
		key, err = x509.ParseECPrivateKey(b.Bytes)
	}
	if err != nil {
		return nil, invalid("its private key does not parse as %s", b.Type)
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// EncodePEM writes the key, when there is one, as PKCS#8 and then the certificates in
// their order.
func EncodePEM(b Bundle) ([]byte, error) {
	var out bytes.Buffer
	if b.Key != nil {
		der, err := keystore.MarshalPKCS8(b.Key)
		if err != nil {
			return nil, err
		}
		if err := pem.Encode(&out, &pem.Block{Type: pemKey, Bytes: der}); err != nil {
			return nil, err
		}
	}
	for _, c := range b.Certificates {
		if err := pem.Encode(&out, &pem.Block{Type: pemCertificate, Bytes: c.Raw}); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}
