package pfx

import (
	"crypto/cipher"
	"crypto/des" //nolint:gosec // see Encode
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // see Encode
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"chatelaine.dev/internal/vault/keystore"
)

// Encode writes PKCS#12 with the empty password, as a vault gives it out: the leaf first,
// then the rest in their order, and the certificates alone when there is no key. The
// ciphers are the old ones (triple DES, SHA-1), because programs that fetch certificates
// from a vault read them with libraries that know nothing newer; an empty password
// protects nothing either way, and the file is only ever sent inside TLS or kept sealed.
func Encode(b Bundle) ([]byte, error) {
	w := writer{}
	w.secret, w.err = newSecret("")
	ordered := b.Certificates
	var own []attribute // of the leaf and its key
	if b.Key != nil {
		leaf, err := b.Leaf()
		if err != nil {
			return nil, err
		}
		ordered = []*x509.Certificate{leaf}
		for _, c := range b.Certificates {
			if !c.Equal(leaf) {
				ordered = append(ordered, c)
			}
		}
		sum := sha1.Sum(leaf.Raw) //nolint:gosec // an id, by which the leaf and its key find each other
		own = []attribute{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 21}, Values: []asn1.RawValue{{FullBytes: w.marshal(sum[:])}}}}
	}
	bags := make([]safeBag, 0, len(ordered))
	for i, c := range ordered {
		attributes := own
		switch {
		case b.Key == nil:
			attributes = trusted()
		case i > 0:
			attributes = nil
		}
		bags = append(bags, w.certificate(c, attributes))
	}
	safes := []contentInfo{w.encrypted(bags)}
	if b.Key != nil {
		safes = append(safes, w.data(w.marshal([]safeBag{w.key(b, own)})))
	}
	out := w.file(w.marshal(safes))
	if w.err != nil {
		return nil, fmt.Errorf("write PKCS#12: %w", w.err)
	}
	return out, nil
}

// attribute is an attribute of a bag (RFC 7292, section 4.2).
type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// trusted is how Java marks a certificate without a key, which it passes over otherwise:
// good for any purpose.
func trusted() []attribute {
	anyPurpose := []byte{0x06, 0x04, 0x55, 0x1d, 0x25, 0x00} // 2.5.29.37.0
	return []attribute{{Type: asn1.ObjectIdentifier{2, 16, 840, 1, 113894, 746875, 1, 1}, Values: []asn1.RawValue{{FullBytes: anyPurpose}}}}
}

// writtenIterations is OpenSSL's number. No number protects an empty password.
const writtenIterations = 2048

// writer makes the parts of a file. After an error it makes nothing that counts.
type writer struct {
	secret secret
	err    error
}

func (w *writer) marshal(v any) []byte {
	der, err := asn1.Marshal(v)
	if err != nil && w.err == nil {
		w.err = err
	}
	return der
}

// tagged is DER in the tag [0].
func tagged(der []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: der}
}

// set is the attributes of a bag, which are missing when there is none.
func (w *writer) set(list []attribute) asn1.RawValue {
	if len(list) == 0 {
		return asn1.RawValue{}
	}
	var all []byte
	for _, a := range list {
		all = append(all, w.marshal(a)...)
	}
	return asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: all}
}

func (w *writer) certificate(c *x509.Certificate, attributes []attribute) safeBag {
	return safeBag{
		Type:       asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 3},
		Value:      tagged(w.marshal(certificateBag{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1}, Data: c.Raw})),
		Attributes: w.set(attributes),
	}
}

func (w *writer) key(b Bundle, attributes []attribute) safeBag {
	pkcs8, err := keystore.MarshalPKCS8(b.Key)
	if err != nil {
		w.err = err
		return safeBag{}
	}
	algorithm, ciphertext := w.encrypt(pkcs8)
	return safeBag{
		Type:       asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2},
		Value:      tagged(w.marshal(encryptedKey{Algorithm: algorithm, Encrypted: ciphertext})),
		Attributes: w.set(attributes),
	}
}

func (w *writer) data(content []byte) contentInfo {
	return contentInfo{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}, Content: tagged(w.marshal(content))}
}

// encrypted is EncryptedData (RFC 5652, section 8) around bags.
func (w *writer) encrypted(bags []safeBag) contentInfo {
	var e encryptedData
	e.Content.Type = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	e.Content.Algorithm, e.Content.Encrypted = w.encrypt(w.marshal(bags))
	return contentInfo{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}, Content: tagged(w.marshal(e))}
}

// encrypt is pbeWithSHAAnd3-KeyTripleDES-CBC (RFC 7292, appendix C) with the padding of
// RFC 8018, section 6.1.1.
func (w *writer) encrypt(plain []byte) (pkix.AlgorithmIdentifier, []byte) {
	p := pbeParameters{Salt: salt(), Iterations: writtenIterations}
	algorithm := pkix.AlgorithmIdentifier{
		Algorithm:  asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 3},
		Parameters: asn1.RawValue{FullBytes: w.marshal(p)},
	}
	c, err := des.NewTripleDESCipher(w.secret.derive(sha1.New, forKey, p.Salt, p.Iterations, 24)) //nolint:gosec // see Encode
	if err != nil {
		w.err = err
		return algorithm, nil
	}
	iv := w.secret.derive(sha1.New, forIV, p.Salt, p.Iterations, c.BlockSize())
	pad := c.BlockSize() - len(plain)%c.BlockSize()
	out := make([]byte, len(plain)+pad)
	copy(out, plain)
	for i := len(plain); i < len(out); i++ {
		out[i] = byte(pad)
	}
	cipher.NewCBCEncrypter(c, iv).CryptBlocks(out, out)
	return algorithm, out
}

func salt() []byte {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return b
}

// file is the whole around its safes, with the integrity code.
func (w *writer) file(safes []byte) []byte {
	pdu := pfxPDU{Version: 3, AuthSafe: w.data(safes)}
	m := &pdu.MAC
	m.Digest.Algorithm = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, Parameters: asn1.NullRawValue} // SHA-1
	m.Salt, m.Iterations = salt(), writtenIterations
	h := hmac.New(sha1.New, w.secret.derive(sha1.New, forMAC, m.Salt, m.Iterations, sha1.Size))
	h.Write(safes)
	m.Digest.Digest = h.Sum(nil)
	return w.marshal(pdu)
}
