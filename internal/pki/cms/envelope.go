package cms

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // old SCEP clients know nothing else; the caller decides
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"

	"chatelaine.dev/internal/fault"
)

var (
	oidRSA       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidAES128CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	oidDES3CBC   = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}
	oidDESCBC    = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 7}
)

// maxRecipients of an envelope that is read.
const maxRecipients = 16

// envelopedData: RFC 5652 section 6.1, without originator and attributes.
type envelopedData struct {
	Version    int
	Recipients []asn1.RawValue `asn1:"set"`
	Content    encryptedContent
}

type encryptedContent struct {
	Type      asn1.ObjectIdentifier
	Algorithm pkix.AlgorithmIdentifier
	Content   asn1.RawValue `asn1:"optional,tag:0"`
}

// transport is the recipient of a key that is encrypted for an RSA key (section 6.2.1).
type transport struct {
	Version   int
	Recipient asn1.RawValue // issuer and serial, or [0] key id
	Algorithm pkix.AlgorithmIdentifier
	Key       []byte
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

// Encrypt makes an envelope that the holder of a certificate with an RSA key can open:
// AES-128-CBC, which RFC 8894 section 3.5.2 has everybody know, under PKCS #1 v1.5.
func Encrypt(content []byte, to *x509.Certificate) ([]byte, error) {
	pub, ok := to.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fault.New(fault.Invalid, "NoRSAKey", "only for an RSA key can an answer be encrypted; use one")
	}
	key, iv := make([]byte, 16), make([]byte, aes.BlockSize)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
	_, _ = rand.Read(iv)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(content)%aes.BlockSize
	padded := append(bytes.Clone(content), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	wrapped, err := rsa.EncryptPKCS1v15(rand.Reader, pub, key) //nolint:staticcheck // what SCEP's clients open
	if err != nil {
		return nil, fmt.Errorf("encrypt for the certificate's key: %w", err)
	}
	who, err := asn1.Marshal(issuerAndSerial{asn1.RawValue{FullBytes: to.RawIssuer}, to.SerialNumber})
	if err != nil {
		return nil, err
	}
	recipient, err := asn1.Marshal(transport{
		Recipient: asn1.RawValue{FullBytes: who}, Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue}, Key: wrapped,
	})
	if err != nil {
		return nil, err
	}
	inner, err := asn1.Marshal(envelopedData{
		Recipients: []asn1.RawValue{{FullBytes: recipient}},
		Content: encryptedContent{
			Type: oidData, Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidAES128CBC, Parameters: asn1.RawValue{Tag: asn1.TagOctetString, Bytes: iv}},
			Content: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: padded},
		},
	})
	if err != nil {
		return nil, err
	}
	return wrap(oidEnveloped, inner)
}

// Opener opens envelopes that were made for a certificate.
type Opener struct {
	Certificate *x509.Certificate
	Key         crypto.Decrypter // RSA
	// Legacy takes DES and triple DES besides AES.
	Legacy bool
}

// Open returns what is in an envelope, in DER. Whatever is wrong with it, the error is
// the same, and a wrong key is only noticed by what it makes of the content (RFC 3218
// section 2.3.2): nobody learns whether PKCS #1 padding was right.
func (o Opener) Open(der []byte) ([]byte, error) {
	var info contentInfo
	var e envelopedData
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 || !info.Type.Equal(oidEnveloped) {
		return nil, errUnreadable()
	}
	if rest, err := asn1.Unmarshal(info.Content.Bytes, &e); err != nil || len(rest) > 0 || len(e.Recipients) > maxRecipients {
		return nil, errUnreadable()
	}
	size, open := o.cipher(e.Content.Algorithm.Algorithm)
	wrapped, ours := o.recipient(e.Recipients)
	if open == nil || !ours {
		return nil, errUnreadable()
	}
	// With a length the standard library answers with random bytes when the padding is wrong.
	key, err := o.Key.Decrypt(rand.Reader, wrapped, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: size}) //nolint:staticcheck // what clients send; see above
	if err != nil {
		return nil, errUnreadable()
	}
	block, err := open(key)
	if err != nil {
		return nil, errUnreadable()
	}
	return decryptCBC(block, e.Content)
}

// cipher returns the size of a content's key, and what opens it.
func (o Opener) cipher(a asn1.ObjectIdentifier) (int, func([]byte) (cipher.Block, error)) {
	switch {
	case a.Equal(oidAES128CBC):
		return 16, aes.NewCipher
	case a.Equal(oidAES192CBC):
		return 24, aes.NewCipher
	case a.Equal(oidAES256CBC):
		return 32, aes.NewCipher
	case o.Legacy && a.Equal(oidDES3CBC):
		return 24, des.NewTripleDESCipher
	case o.Legacy && a.Equal(oidDESCBC):
		return 8, des.NewCipher
	}
	return 0, nil
}

// recipient finds the key that was encrypted for us.
func (o Opener) recipient(list []asn1.RawValue) ([]byte, bool) {
	for _, raw := range list {
		var t transport
		if _, err := asn1.Unmarshal(raw.FullBytes, &t); err != nil || !t.Algorithm.Algorithm.Equal(oidRSA) {
			continue
		}
		if t.Recipient.Class == asn1.ClassContextSpecific && t.Recipient.Tag == 0 {
			if bytes.Equal(t.Recipient.Bytes, o.Certificate.SubjectKeyId) {
				return t.Key, true
			}
			continue
		}
		var who issuerAndSerial
		if _, err := asn1.Unmarshal(t.Recipient.FullBytes, &who); err == nil && bytes.Equal(who.Issuer.FullBytes, o.Certificate.RawIssuer) && who.Serial.Cmp(o.Certificate.SerialNumber) == 0 {
			return t.Key, true
		}
	}
	return nil, false
}

func decryptCBC(block cipher.Block, c encryptedContent) ([]byte, error) {
	text := c.Content.Bytes
	if c.Content.IsCompound { // an octet string in pieces
		joined, err := octetsOf(c.Content.Bytes)
		if err != nil {
			return nil, err
		}
		text = joined
	}
	iv := c.Algorithm.Parameters.Bytes
	if c.Algorithm.Parameters.Tag != asn1.TagOctetString || len(iv) != block.BlockSize() || len(text) == 0 || len(text)%block.BlockSize() != 0 {
		return nil, errUnreadable()
	}
	plain := make([]byte, len(text))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, text)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > block.BlockSize() || !bytes.Equal(plain[len(plain)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errUnreadable()
	}
	return plain[:len(plain)-pad], nil
}

// octetsOf joins octet strings.
func octetsOf(b []byte) ([]byte, error) {
	var out []byte
	for len(b) > 0 {
		var piece []byte
		rest, err := asn1.Unmarshal(b, &piece)
		if err != nil {
			return nil, errUnreadable()
		}
		out, b = append(out, piece...), rest
	}
	return out, nil
}
