package hostile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The tags of DER that bombs are made of.
const (
	integer     = 0x02
	octets      = 0x04
	bitString   = 0x03
	sequence    = 0x30
	set         = 0x31
	explicit0   = 0xa0
	implicit0   = 0x80
	primitiveNL = 0x05
)

// der encodes one element.
func der(tag byte, parts ...[]byte) []byte {
	content := bytes.Join(parts, nil)
	return append(head(tag, len(content)), content...)
}

// head is tag and length of an element, the length in as few bytes as DER wants.
func head(tag byte, n int) []byte {
	if n < 1<<7 {
		return []byte{tag, byte(n)}
	}
	length := big.NewInt(int64(n)).Bytes()
	return append([]byte{tag, 0x80 | byte(len(length))}, length...)
}

func oid(numbers ...int) []byte {
	b, err := asn1.Marshal(asn1.ObjectIdentifier(numbers))
	if err != nil {
		panic(err) // a mistake of this test
	}
	return b
}

func number(n int64) []byte {
	b, err := asn1.Marshal(n)
	if err != nil {
		panic(err)
	}
	return b
}

// nested wraps content in n elements.
func nested(tag byte, n int, content []byte) []byte {
	var heads [][]byte
	size := len(content)
	for range n {
		h := head(tag, size)
		heads = append(heads, h)
		size += len(h)
	}
	slices.Reverse(heads)
	return append(bytes.Join(heads, nil), content...)
}

// The object identifiers of PKCS #12 (RFC 7292) and #5 (RFC 8018).
func pkcs7(last int) []byte { return oid(1, 2, 840, 113549, 1, 7, last) }
func bagID(last int) []byte { return oid(1, 2, 840, 113549, 1, 12, 10, 1, last) }

func bag(kind int, value []byte) []byte { return der(sequence, bagID(kind), der(explicit0, value)) }

func certBag(certificate []byte) []byte {
	return bag(3, der(sequence, oid(1, 2, 840, 113549, 1, 9, 22, 1), der(explicit0, der(octets, certificate))))
}

// plainSafe is a part of a file that is not encrypted.
func plainSafe(bags ...[]byte) []byte {
	return der(sequence, pkcs7(1), der(explicit0, der(octets, der(sequence, bags...))))
}

// encryptedSafe is a part that is, with an algorithm of the sender's choice.
func encryptedSafe(algorithm []byte) []byte {
	return der(sequence, pkcs7(6), der(explicit0, der(sequence, number(0), der(sequence, pkcs7(1), algorithm, der(implicit0, make([]byte, 64))))))
}

// file is a PKCS #12 file around parts; mac, if any, is its MacData.
func file(mac []byte, parts ...[]byte) []byte {
	return der(sequence, number(3), der(sequence, pkcs7(1), der(explicit0, der(octets, der(sequence, parts...)))), mac)
}

func pbe(iterations int64) []byte {
	return der(sequence, oid(1, 2, 840, 113549, 1, 12, 1, 3), der(sequence, der(octets, make([]byte, 8)), number(iterations)))
}

func pbkdf2(iterations, length int64, salt int) []byte {
	return der(sequence, oid(1, 2, 840, 113549, 1, 5, 12), der(sequence, der(octets, make([]byte, salt)), number(iterations), number(length), der(sequence, oid(1, 2, 840, 113549, 2, 9))))
}

func pbes2(derivation []byte) []byte {
	return der(sequence, oid(1, 2, 840, 113549, 1, 5, 13), der(sequence, derivation, der(sequence, oid(2, 16, 840, 1, 101, 3, 4, 1, 42), der(octets, make([]byte, 16)))))
}

func scrypt(n, r, p int64) []byte {
	return der(sequence, oid(1, 3, 6, 1, 4, 1, 11591, 4, 11), der(sequence, der(octets, make([]byte, 8)), number(n), number(r), number(p)))
}

// macData asks for the sender's number of iterations.
func macData(iterations int64) []byte {
	return der(sequence, der(sequence, der(sequence, oid(2, 16, 840, 1, 101, 3, 4, 2, 1), der(primitiveNL)), der(octets, make([]byte, 32))), der(octets, make([]byte, 8)), number(iterations))
}

// pbmac1 is the MacData of RFC 9579, with such a derivation.
func pbmac1(derivation []byte) []byte {
	alg := der(sequence, oid(1, 2, 840, 113549, 1, 5, 14), der(sequence, derivation, der(sequence, oid(1, 2, 840, 113549, 2, 9))))
	return der(sequence, der(sequence, alg, der(octets, make([]byte, 32))), der(octets, make([]byte, 8)), number(1))
}

// odd is an odd number of so many bits.
func odd(bits int) []byte {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return n.SetBit(n, 0, 1).Bytes()
}

func positive(b []byte) []byte {
	if b[0] >= 0x80 { // else it would be negative
		b = append([]byte{0}, b...)
	}
	return der(integer, b)
}

// hugeRSA is an RSAPrivateKey (RFC 8017, A.1.2) whose numbers are odd, large, and no more.
func hugeRSA(bits int) []byte {
	p := odd(bits / 2)
	n := new(big.Int).Mul(new(big.Int).SetBytes(p), new(big.Int).SetBytes(p)).Bytes()
	return der(sequence, number(0), positive(n), number(65537), positive(odd(bits)), positive(p), positive(p), positive(p), positive(p), positive(p))
}

func pkcs8(algorithm, key []byte) []byte {
	return der(sequence, number(0), der(sequence, algorithm, der(primitiveNL)), der(octets, key))
}

func rsaOID() []byte { return oid(1, 2, 840, 113549, 1, 1, 1) }

// hugePublic is a SubjectPublicKeyInfo of RSA.
func hugePublic(bits, exponentBits int) []byte {
	key := der(sequence, positive(odd(bits)), positive(odd(exponentBits)))
	return der(sequence, der(sequence, rsaOID(), der(primitiveNL)), der(bitString, []byte{0}, key))
}

func sha256RSA() []byte {
	return der(sequence, oid(1, 2, 840, 113549, 1, 1, 11), der(primitiveNL))
}

// request is a CSR (RFC 2986) of which only the form is right.
func request(subject, publicKey, attributes []byte, signature int) []byte {
	return der(sequence, der(sequence, number(0), subject, publicKey, der(explicit0, attributes)), sha256RSA(), der(bitString, []byte{0}, make([]byte, signature)))
}

func name(parts int) []byte {
	one := der(set, der(sequence, oid(2, 5, 4, 3), der(0x0c, []byte("a"))))
	return der(sequence, bytes.Repeat(one, parts))
}

// publicKey is a key that nothing is wrong with.
var publicKey = sync.OnceValue(func() []byte {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		panic(err)
	}
	return spki
})

// sanRequest asks for so many names.
func sanRequest(names int, one string) []byte {
	san := der(sequence, oid(2, 5, 29, 17), der(octets, der(sequence, bytes.Repeat(der(0x82, []byte(one)), names))))
	return request(name(1), publicKey(), der(sequence, oid(1, 2, 840, 113549, 1, 9, 14), der(set, der(sequence, san))), 256)
}

// certificateOf is a certificate that parses, with a public key of the sender's choice, or
// an own one for nil.
func certificateOf(t *testing.T, publicKey []byte, names int) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bomb"}, NotAfter: time.Now().Add(time.Hour)}
	for range names {
		c.DNSNames = append(c.DNSNames, "a.example")
	}
	made, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	if publicKey == nil {
		return made
	}
	spki, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	var outer struct{ TBS, Algorithm, Signature asn1.RawValue }
	if _, err := asn1.Unmarshal(made, &outer); err != nil {
		t.Fatal(err)
	}
	tbs := bytes.Replace(outer.TBS.Bytes, spki, publicKey, 1)
	return der(sequence, der(sequence, tbs), outer.Algorithm.FullBytes, outer.Signature.FullBytes)
}

func block(kind string, content []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func urlBase64Of(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func repeated(s string, size int) string { return strings.Repeat(s, size/len(s)) }
