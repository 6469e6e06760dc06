package cms

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"testing"
	"time"

	"chatelaine.dev/internal/fault"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// recipient is one of an envelope: a certificate, named by its key id or by its serial.
type recipient struct {
	certificate *x509.Certificate
	byID        bool
}

// envelope is content for several, in the order given.
func envelope(t testing.TB, content, iv []byte, to ...recipient) []byte {
	t.Helper()
	key := make([]byte, 16)
	block, err := aes.NewCipher(key)
	must(t, err)
	pad := 16 - len(content)%16
	padded := append(bytes.Clone(content), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, append(iv, make([]byte, 16)...)[:16]).CryptBlocks(padded, padded)
	e := envelopedData{Content: encryptedContent{
		Type: oidData, Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidAES128CBC, Parameters: asn1.RawValue{Tag: asn1.TagOctetString, Bytes: iv}},
		Content: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: padded},
	}}
	for _, r := range to {
		wrapped, err := rsa.EncryptPKCS1v15(rand.Reader, r.certificate.PublicKey.(*rsa.PublicKey), key) //nolint:staticcheck // what is being tested
		must(t, err)
		who, err := asn1.Marshal(issuerAndSerial{asn1.RawValue{FullBytes: r.certificate.RawIssuer}, r.certificate.SerialNumber})
		must(t, err)
		if r.byID {
			who, err = asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: r.certificate.SubjectKeyId})
			must(t, err)
		}
		der, err := asn1.Marshal(transport{Recipient: asn1.RawValue{FullBytes: who}, Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue}, Key: wrapped})
		must(t, err)
		e.Recipients = append(e.Recipients, asn1.RawValue{FullBytes: der})
	}
	inner, err := asn1.Marshal(e)
	must(t, err)
	out, err := wrap(oidEnveloped, inner)
	must(t, err)
	return out
}

// named is a certificate for a key, by its issuer's name, serial and key id.
func named(t testing.TB, key *rsa.PrivateKey, issuer string, serial int64, id string) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: issuer}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0), SubjectKeyId: []byte(id)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	c, err := x509.ParseCertificate(der)
	must(t, err)
	return c
}

func TestOurKeyIsFoundAmongThoseOfOthers(t *testing.T) {
	t.Parallel()
	_, key := party(t)
	_, otherKey := party(t)
	ours, content, iv := named(t, key, "ca", 7, "ours"), []byte("content"), make([]byte, 16)
	me := Opener{Certificate: ours, Key: key}
	for why, c := range map[string]struct {
		to   []recipient
		good bool
	}{
		"alone":                      {[]recipient{{ours, false}}, true},
		"behind another serial":      {[]recipient{{named(t, otherKey, "ca", 6, "x"), false}, {ours, false}}, true}, // a SET is sorted
		"behind another issuer":      {[]recipient{{named(t, otherKey, "ac", 7, "x"), false}, {ours, false}}, true},
		"behind another key id":      {[]recipient{{named(t, otherKey, "ca", 8, "x"), true}, {ours, true}}, true},
		"the sixteenth":              {append(repeated(recipient{named(t, otherKey, "ca", 8, "x"), false}, 15), recipient{ours, false}), true},
		"the seventeenth":            {append(repeated(recipient{named(t, otherKey, "ca", 8, "x"), false}, 16), recipient{ours, false}), false},
		"not there":                  {[]recipient{{named(t, otherKey, "ca", 8, "x"), false}}, false},
		"nobody":                     {nil, false},
		"our name, for another key":  {[]recipient{{named(t, otherKey, "ca", 7, "ours"), false}}, false},
		"our key id, another's name": {[]recipient{{named(t, key, "ac", 9, "ours"), true}}, true},
	} {
		got, err := me.Open(envelope(t, content, iv, c.to...))
		if (err == nil && bytes.Equal(got, content)) != c.good || err != nil && !fault.HasCode(err, "BadMessage") {
			t.Errorf("%s: %q, %v", why, got, err)
		}
	}
	for _, size := range []int{0, 1, 15, 17, 32} {
		if _, err := me.Open(envelope(t, content, make([]byte, size), recipient{ours, false})); !fault.HasCode(err, "BadMessage") {
			t.Errorf("an initialisation vector of %d bytes: %v", size, err)
		}
	}
	if _, err := me.Open(append(envelope(t, content, iv, recipient{ours, false}), 5, 0)); !fault.HasCode(err, "BadMessage") {
		t.Errorf("something behind the envelope: %v", err)
	}
}

func repeated(r recipient, n int) []recipient {
	list := make([]recipient, n)
	for i := range list {
		list[i] = r
	}
	return list
}

// watched is a key that remembers how it was asked.
type watched struct {
	*rsa.PrivateKey
	asked crypto.DecrypterOpts
}

// Decrypt implements crypto.Decrypter.
func (w *watched) Decrypt(random io.Reader, msg []byte, o crypto.DecrypterOpts) ([]byte, error) {
	w.asked = o
	return w.PrivateKey.Decrypt(random, msg, o)
}

// With a length, a wrong padding yields random bytes in the same time; without, an error
// (Bleichenbacher 1998).
func TestAWrongPaddingOfTheKeyTakesTheSameWay(t *testing.T) {
	t.Parallel()
	c, key := party(t)
	der, err := Encrypt([]byte("content"), c)
	must(t, err)
	w := &watched{PrivateKey: key}
	_, err = (Opener{Certificate: c, Key: w}).Open(der)
	must(t, err)
	o, ok := w.asked.(*rsa.PKCS1v15DecryptOptions) //nolint:staticcheck // what is being tested
	if !ok || o.SessionKeyLen != 16 {
		t.Errorf("asked with %+v", w.asked)
	}
}

func TestBombsOfBERAreRefusedByTheirShape(t *testing.T) {
	t.Parallel()
	nested := func(depth int) []byte {
		der := []byte{5, 0}
		for range depth {
			der = appendValue(0x30, der)
		}
		return der
	}
	for why, c := range map[string]struct {
		ber  []byte
		good bool
	}{
		"as deep as may be":              {nested(maxDepth), true},
		"deeper":                         {nested(maxDepth + 1), false},
		"as large as may be":             {appendValue(4, make([]byte, maxMessage-5)), true},
		"larger":                         {appendValue(4, make([]byte, maxMessage-4)), false},
		"a length of five bytes":         {[]byte{0x30, 0x85, 0, 0, 0, 0, 0}, false},
		"a negative length":              {[]byte{0x30, 0x84, 0x80, 0, 0, 0}, false},
		"a primitive of no length":       {[]byte{4, 0x80, 0, 0}, false},
		"a tag above thirty":             {[]byte{0x3f, 0x81, 0, 0}, false},
		"a string with a number in it":   {[]byte{0x24, 3, 2, 1, 5}, false},
		"an empty string in pieces":      {[]byte{0x24, 0x80, 0, 0}, true},
		"pieces in pieces, out of depth": {append(bytes.Repeat([]byte{0x24, 0x80}, 40), make([]byte, 80)...), false},
	} {
		if _, err := DER(c.ber); (err == nil) != c.good {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestAttributesOfACSRAreLookedAtWithinBounds(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	kind := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
	for n, want := range map[int]bool{0: false, 1: true, 32: true, 33: false} {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		must(t, err)
		csr, err := x509.ParseCertificateRequest(der)
		must(t, err)
		var info struct {
			Version            int
			Subject, PublicKey asn1.RawValue
			Attributes         []asn1.RawValue `asn1:"tag:0,set"`
		}
		_, err = asn1.Unmarshal(csr.RawTBSCertificateRequest, &info)
		must(t, err)
		info.Attributes = nil
		one, err := asn1.Marshal(struct {
			Type   asn1.ObjectIdentifier
			Values []asn1.RawValue `asn1:"set"`
		}{kind, []asn1.RawValue{{Tag: asn1.TagUTF8String, Bytes: []byte("x")}}})
		must(t, err)
		for range n {
			info.Attributes = append(info.Attributes, asn1.RawValue{FullBytes: one})
		}
		csr.RawTBSCertificateRequest, err = asn1.Marshal(info)
		must(t, err)
		if _, found := Attribute(csr, kind); found != want {
			t.Errorf("%d attributes: %v", n, found)
		}
	}
}
