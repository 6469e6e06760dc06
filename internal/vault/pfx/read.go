package pfx

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"

	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/keystore/p256k"
	"chatelaine.dev/internal/vault/keystore/p256k/certificate"
)

// The structures of RFC 7292, section 4, and of RFC 5652 below them.
type (
	pfxPDU struct {
		Version  int
		AuthSafe contentInfo
		MAC      macData `asn1:"optional"`
	}
	macData struct {
		Digest     digestInfo
		Salt       []byte
		Iterations int `asn1:"optional,default:1"`
	}
	digestInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
	}
	encryptedData struct {
		Version int
		Content struct {
			Type      asn1.ObjectIdentifier
			Algorithm pkix.AlgorithmIdentifier
			Encrypted []byte `asn1:"tag:0,optional"`
		}
		Attributes asn1.RawValue `asn1:"tag:1,optional"`
	}
	safeBag struct {
		Type       asn1.ObjectIdentifier
		Value      asn1.RawValue `asn1:"tag:0,explicit"`
		Attributes asn1.RawValue `asn1:"set,optional"`
	}
	certificateBag struct {
		Type asn1.ObjectIdentifier
		Data []byte `asn1:"tag:0,explicit"`
	}
	encryptedKey struct { // RFC 5208, section 6
		Algorithm pkix.AlgorithmIdentifier
		Encrypted []byte
	}
)

const (
	oidData            = "1.2.840.113549.1.7.1"
	oidEncryptedData   = "1.2.840.113549.1.7.6"
	oidKeyBag          = "1.2.840.113549.1.12.10.1.1"
	oidShroudedKeyBag  = "1.2.840.113549.1.12.10.1.2"
	oidCertificateBag  = "1.2.840.113549.1.12.10.1.3"
	oidX509Certificate = "1.2.840.113549.1.9.22.1"
)

// reader walks one file. bags and budget only shrink.
type reader struct {
	secret secret
	budget budget
	bags   int
	bundle Bundle
}

// Decode reads a PKCS#12 file. It must hold exactly one private key, RSA or EC, and may
// hold any certificates; other bags are passed over. An error of kind Invalid says what
// is wrong with the file.
func Decode(der []byte, password string) (Bundle, error) {
	b, err := Open(der, password)
	if err == nil && b.Key == nil {
		return Bundle{}, invalid("there is no private key in it; export it with its key")
	}
	return b, err
}

// Open is Decode for a file that may hold certificates alone.
func Open(der []byte, password string) (Bundle, error) {
	if len(der) > MaxSize {
		return Bundle{}, invalid("it has %d bytes; the limit is %d", len(der), MaxSize)
	}
	s, err := newSecret(password)
	if err != nil {
		return Bundle{}, err
	}
	r := &reader{secret: s, budget: MaxIterations, bags: MaxBags}
	if err := r.file(der); err != nil {
		return Bundle{}, err
	}
	return r.bundle, nil
}

func (r *reader) file(der []byte) error {
	var pdu pfxPDU
	if err := parse(der, &pdu); err != nil {
		return err
	}
	if pdu.Version != 3 || pdu.AuthSafe.Type.String() != oidData {
		return invalid("it is no PKCS#12 file of version 3 that a password protects")
	}
	var content []byte
	if err := parse(pdu.AuthSafe.Content.Bytes, &content); err != nil {
		return err
	}
	if len(pdu.MAC.Digest.Algorithm.Algorithm) > 0 {
		if err := r.verify(pdu.MAC, content); err != nil {
			return err
		}
	}
	return each(r, content, r.safe)
}

// each reads a SEQUENCE OF part by part, so that a file of a million empty parts costs no
// more than one of the allowed number.
func each[T any](r *reader, der []byte, do func(T) error) error {
	var list asn1.RawValue
	if err := parse(der, &list); err != nil {
		return err
	}
	if list.Class != asn1.ClassUniversal || list.Tag != asn1.TagSequence || !list.IsCompound {
		return errDamaged()
	}
	for rest := list.Bytes; len(rest) > 0; {
		if r.bags == 0 {
			return invalid("it has more than %d parts", MaxBags)
		}
		r.bags--
		var part T
		var err error
		if rest, err = asn1.Unmarshal(rest, &part); err != nil {
			return errDamaged()
		}
		if err := do(part); err != nil {
			return err
		}
	}
	return nil
}

// verify checks the integrity code. Some programs spell the empty password as no bytes
// at all instead of one zero character; the spelling that fits is kept for what follows.
func (r *reader) verify(m macData, content []byte) error {
	spellings := [][]byte{r.secret.bmp}
	if r.secret.utf8 == "" {
		spellings = append(spellings, nil)
	}
	for _, bmp := range spellings {
		r.secret.bmp = bmp
		sum, err := r.secret.mac(&r.budget, m, content)
		if err != nil {
			return err
		}
		if hmac.Equal(sum, m.Digest.Digest) {
			return nil
		}
	}
	return errPassword()
}

func (r *reader) safe(c contentInfo) error {
	var der []byte
	switch c.Type.String() {
	case oidData:
		if err := parse(c.Content.Bytes, &der); err != nil {
			return err
		}
	case oidEncryptedData:
		var e encryptedData
		err := parse(c.Content.Bytes, &e)
		if err != nil {
			return err
		}
		if der, err = r.secret.decrypt(&r.budget, e.Content.Algorithm, e.Content.Encrypted); err != nil {
			return err
		}
	default:
		return invalid("a part of it is encrypted for a certificate, not by a password; export it with a password")
	}
	return each(r, der, r.bag)
}

func (r *reader) bag(b safeBag) error {
	switch b.Type.String() {
	case oidCertificateBag:
		return r.certificate(b.Value.Bytes)
	case oidKeyBag:
		return r.key(b.Value.Bytes)
	case oidShroudedKeyBag:
		plain, err := r.secret.decryptKey(&r.budget, b.Value.Bytes)
		if err != nil {
			return err
		}
		return r.key(plain)
	}
	return nil
}

func (r *reader) certificate(der []byte) error {
	var bag certificateBag
	if err := parse(der, &bag); err != nil {
		return err
	}
	if bag.Type.String() != oidX509Certificate {
		return invalid("it has a certificate that is not X.509")
	}
	c, err := certificate.Parse(bag.Data)
	if err != nil {
		return invalid("one of its certificates does not parse (%v)", err)
	}
	r.bundle.Certificates = append(r.bundle.Certificates, c)
	return nil
}

func (r *reader) key(pkcs8 []byte) error {
	if r.bundle.Key != nil {
		return invalid("it has more than one private key; keep the certificate's own")
	}
	key, err := parseKey(pkcs8)
	r.bundle.Key = key
	return err
}

// decryptKey opens an EncryptedPrivateKeyInfo and returns the PKCS#8 inside.
func (s secret) decryptKey(b *budget, der []byte) ([]byte, error) {
	var k encryptedKey
	if err := parse(der, &k); err != nil {
		return nil, err
	}
	return s.decrypt(b, k.Algorithm, k.Encrypted)
}

// parseKey reads PKCS#8 and takes the types that a vault's certificate may have.
func parseKey(pkcs8 []byte) (crypto.PrivateKey, error) {
	if err := checkSize(pkcs8); err != nil {
		return nil, err
	}
	key, err := keystore.ParsePKCS8(pkcs8)
	if err != nil {
		// The cause could quote the key.
		return nil, invalid("its private key does not parse as PKCS#8")
	}
	return supported(key)
}

// checkSize refuses numbers with which the mere check of an RSA key takes seconds.
func checkSize(key []byte) error {
	if len(key) > MaxKey {
		return invalid("its private key has %d bytes; the limit is %d", len(key), MaxKey)
	}
	return nil
}

func supported(key crypto.PrivateKey) (crypto.PrivateKey, error) {
	switch key.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, *p256k.PrivateKey:
		return key, nil
	}
	return nil, invalid("its private key is neither RSA nor EC")
}

// parse reads one DER value that fills in.
func parse(in []byte, out any) error {
	rest, err := asn1.Unmarshal(in, out)
	if err != nil || len(rest) > 0 {
		return errDamaged()
	}
	return nil
}

func errDamaged() error {
	return invalid("it is not PKCS#12 in DER, or damaged; check that it was encoded in base64 once and whole")
}
