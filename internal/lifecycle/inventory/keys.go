package inventory

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"math/bits"
)

// keyKind is what an algorithm identifier of a public key means. size is fixed for
// some algorithms; category is NIST's for those that resist quantum computers.
type keyKind struct {
	name     string
	size     int
	category int
}

// keyKinds: RFC 3279, 4055, 8410, 9881 (ML-DSA), 9909 (SLH-DSA), 9935 (ML-KEM).
func keyKinds(oid string) (keyKind, bool) {
	switch oid {
	case "1.2.840.113549.1.1.1":
		return keyKind{name: "RSA"}, true
	case "1.2.840.113549.1.1.10":
		return keyKind{name: "RSA-PSS"}, true
	case "1.2.840.113549.1.1.7":
		return keyKind{name: "RSA-OAEP"}, true
	case "1.2.840.10045.2.1":
		return keyKind{name: "EC"}, true
	case "1.2.840.10040.4.1":
		return keyKind{name: "DSA"}, true
	case "1.2.840.113549.1.3.1", "1.2.840.10046.2.1":
		return keyKind{name: "DH"}, true
	case "1.3.101.110":
		return keyKind{name: "X25519", size: 256}, true
	case "1.3.101.111":
		return keyKind{name: "X448", size: 448}, true
	case "1.3.101.112":
		return keyKind{name: "Ed25519", size: 256}, true
	case "1.3.101.113":
		return keyKind{name: "Ed448", size: 456}, true
	case "1.2.643.2.2.19":
		return keyKind{name: "GOST-2001", size: 256}, true
	case "1.2.643.7.1.1.1.1":
		return keyKind{name: "GOST-2012-256", size: 256}, true
	case "1.2.643.7.1.1.1.2":
		return keyKind{name: "GOST-2012-512", size: 512}, true
	}
	name, category := postQuantum(oid)
	return keyKind{name: name, category: category}, name != ""
}

// postQuantum names the algorithms of FIPS 203, 204 and 205 with their NIST category.
func postQuantum(oid string) (string, int) {
	const sigs, kems = "2.16.840.1.101.3.4.3.", "2.16.840.1.101.3.4.4."
	switch oid {
	case sigs + "17":
		return "ML-DSA-44", 2
	case sigs + "18":
		return "ML-DSA-65", 3
	case sigs + "19":
		return "ML-DSA-87", 5
	case kems + "1":
		return "ML-KEM-512", 1
	case kems + "2":
		return "ML-KEM-768", 3
	case kems + "3":
		return "ML-KEM-1024", 5
	}
	var n int
	if _, err := fmt.Sscanf(oid, sigs+"%d", &n); err != nil || n < 20 || n > 31 {
		return "", 0
	}
	hash := "SHA2"
	if n >= 26 {
		hash = "SHAKE"
	}
	set := [...]string{"128s", "128f", "192s", "192f", "256s", "256f"}[(n-20)%6]
	return "SLH-DSA-" + hash + "-" + set, [...]int{1, 1, 3, 3, 5, 5}[(n-20)%6]
}

// curves are the named curves of RFC 5480, RFC 5639 and SEC 2.
func curve(oid string) (name string, size int) {
	switch oid {
	case "1.2.840.10045.3.1.7":
		return "P-256", 256
	case "1.3.132.0.34":
		return "P-384", 384
	case "1.3.132.0.35":
		return "P-521", 521
	case "1.3.132.0.33":
		return "P-224", 224
	case "1.2.840.10045.3.1.1":
		return "P-192", 192
	case "1.3.132.0.10":
		return "secp256k1", 256
	case "1.3.132.0.6":
		return "secp112r1", 112
	case "1.3.132.0.8":
		return "secp160r1", 160
	case "1.3.36.3.3.2.8.1.1.1":
		return "brainpoolP160r1", 160
	case "1.3.36.3.3.2.8.1.1.7":
		return "brainpoolP256r1", 256
	case "1.3.36.3.3.2.8.1.1.11":
		return "brainpoolP384r1", 384
	case "1.3.36.3.3.2.8.1.1.13":
		return "brainpoolP512r1", 512
	case "1.2.156.10197.1.301":
		return "SM2", 256
	}
	return oid, 0
}

// readKey reads a SubjectPublicKeyInfo (without its header).
func readKey(b []byte) (Key, error) {
	alg, rest, err := want(b, tagSequence)
	if err != nil {
		return Key{}, err
	}
	oid, parameters, err := algorithm(alg.value)
	if err != nil {
		return Key{}, err
	}
	pub, _, err := want(rest, tagBitString)
	if err != nil {
		return Key{Algorithm: oid}, err
	}
	kind, known := keyKinds(oid)
	if !known {
		return Key{Algorithm: oid, Size: len(bits8(pub.value))}, nil
	}
	k := Key{Algorithm: kind.name, Size: kind.size, Category: kind.category, PostQuantum: kind.category > 0}
	switch kind.name {
	case "RSA", "RSA-PSS", "RSA-OAEP":
		n, e, err := rsaNumbers(bits8(pub.value))
		if err != nil {
			return k, err
		}
		k.Size, k.Exponent = bitLen(n), exponent(e)
	case "EC":
		k.Parameters, k.Size = ecParameters(parameters)
	case "DSA", "DH":
		k.Size = groupSize(parameters)
	default:
		if k.Size == 0 {
			k.Size = 8 * len(bits8(pub.value))
		}
	}
	return k, nil
}

// bits8 is the content of a BIT STRING of whole bytes, without the count of unused bits.
func bits8(value []byte) []byte {
	if len(value) == 0 {
		return nil
	}
	return value[1:]
}

// algorithm splits an AlgorithmIdentifier into its OID and the encoded parameters.
func algorithm(b []byte) (oid string, parameters []byte, err error) {
	t, rest, err := want(b, tagOID)
	if err != nil {
		return "", nil, err
	}
	return oidString(t.value), rest, nil
}

// oidString is the dotted form, or "?" and hex where the encoding is wrong.
func oidString(b []byte) string {
	var o x509.OID
	if len(b) > 64 || o.UnmarshalBinary(b) != nil {
		return fmt.Sprintf("?%x", b[:min(len(b), 64)])
	}
	return o.String()
}

// rsaNumbers reads RSAPublicKey (RFC 8017 appendix A.1.1).
func rsaNumbers(b []byte) (n, e []byte, err error) {
	seq, _, err := want(b, tagSequence)
	if err != nil {
		return nil, nil, err
	}
	mod, rest, err := want(seq.value, tagInteger)
	if err != nil {
		return nil, nil, err
	}
	exp, _, err := want(rest, tagInteger)
	return mod.value, exp.value, err
}

// bitLen is the length of an unsigned number. A modulus whose leading zero byte was
// forgotten would be negative as an INTEGER, but its size is still its size.
func bitLen(b []byte) int {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0
	}
	return 8*(len(b)-1) + bits.Len8(b[0])
}

// exponent prints e; one that is longer than 32 bytes only by its size, for printing a
// number takes time that grows with the square of its length.
func exponent(b []byte) string {
	if len(b) > 32 {
		return fmt.Sprintf("%d bits", bitLen(b))
	}
	return new(big.Int).SetBytes(b).String()
}

// ecParameters reads ECParameters: a named curve, or explicit numbers (RFC 3279), where
// the size is that of the prime.
func ecParameters(b []byte) (name string, size int) {
	t, _, err := next(b)
	if err != nil {
		return "", 0
	}
	if t.tag == tagOID {
		return curve(oidString(t.value))
	}
	parts, _ := children(t.value, 2) // version, fieldID
	if t.tag != tagSequence || len(parts) < 2 {
		return "", 0
	}
	field, _ := children(parts[1].value, 2) // OID prime-field, prime
	if len(field) < 2 || field[1].tag != tagInteger {
		return "explicit", 0
	}
	return "explicit", bitLen(field[1].value)
}

// groupSize is the size of the prime p, the first parameter of DSA and DH.
func groupSize(parameters []byte) int {
	seq, _, err := want(parameters, tagSequence)
	if err != nil {
		return 0
	}
	p, _, err := want(seq.value, tagInteger)
	if err != nil {
		return 0
	}
	return bitLen(p.value)
}

// readSignature names a signature algorithm.
func readSignature(b []byte) (Signature, error) {
	oid, parameters, err := algorithm(b)
	if err != nil {
		return Signature{}, err
	}
	s := Signature{OID: oid, Algorithm: oid}
	switch oid {
	case "1.2.840.113549.1.1.2":
		s.Algorithm, s.Hash = "MD2-RSA", "MD2"
	case "1.2.840.113549.1.1.3":
		s.Algorithm, s.Hash = "MD4-RSA", "MD4"
	case "1.2.840.113549.1.1.4", "1.3.14.3.2.3":
		s.Algorithm, s.Hash = "MD5-RSA", "MD5"
	case "1.2.840.113549.1.1.5", "1.3.14.3.2.29":
		s.Algorithm, s.Hash = "SHA1-RSA", "SHA-1"
	case "1.2.840.113549.1.1.14":
		s.Algorithm, s.Hash = "SHA224-RSA", "SHA-224"
	case "1.2.840.113549.1.1.11":
		s.Algorithm, s.Hash = "SHA256-RSA", "SHA-256"
	case "1.2.840.113549.1.1.12":
		s.Algorithm, s.Hash = "SHA384-RSA", "SHA-384"
	case "1.2.840.113549.1.1.13":
		s.Algorithm, s.Hash = "SHA512-RSA", "SHA-512"
	case "1.2.840.113549.1.1.10":
		s.Hash = pssHash(parameters)
		s.Algorithm = "RSA-PSS-" + s.Hash
	case "1.2.840.10040.4.3", "1.3.14.3.2.27":
		s.Algorithm, s.Hash = "DSA-SHA1", "SHA-1"
	case "2.16.840.1.101.3.4.3.2":
		s.Algorithm, s.Hash = "DSA-SHA256", "SHA-256"
	case "1.2.840.10045.4.1":
		s.Algorithm, s.Hash = "ECDSA-SHA1", "SHA-1"
	case "1.2.840.10045.4.3.1":
		s.Algorithm, s.Hash = "ECDSA-SHA224", "SHA-224"
	case "1.2.840.10045.4.3.2":
		s.Algorithm, s.Hash = "ECDSA-SHA256", "SHA-256"
	case "1.2.840.10045.4.3.3":
		s.Algorithm, s.Hash = "ECDSA-SHA384", "SHA-384"
	case "1.2.840.10045.4.3.4":
		s.Algorithm, s.Hash = "ECDSA-SHA512", "SHA-512"
	case "1.3.101.112":
		s.Algorithm = "Ed25519"
	case "1.3.101.113":
		s.Algorithm = "Ed448"
	default:
		if name, _ := postQuantum(oid); name != "" {
			s.Algorithm = name
		}
	}
	return s, nil
}

// pssHash reads the hash of RSASSA-PSS-params (RFC 4055): SHA-1 when it is not named.
func pssHash(parameters []byte) string {
	seq, _, err := want(parameters, tagSequence)
	if err != nil {
		return "SHA-1"
	}
	t, _, err := next(seq.value)
	if err != nil || t.tag != 0xa0 {
		return "SHA-1"
	}
	id, _, err := want(t.value, tagSequence)
	if err != nil {
		return "unknown"
	}
	oid, _, _ := algorithm(id.value)
	switch oid {
	case "1.3.14.3.2.26":
		return "SHA-1"
	case "2.16.840.1.101.3.4.2.1":
		return "SHA-256"
	case "2.16.840.1.101.3.4.2.2":
		return "SHA-384"
	case "2.16.840.1.101.3.4.2.3":
		return "SHA-512"
	}
	return "unknown"
}
