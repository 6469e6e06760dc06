package pfx

import (
	"bytes"
	"crypto/aes"
	"crypto/des" //nolint:gosec // only to read what others wrote with it
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // the key derivation of old files
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"hash"
)

// budget is what may still be spent on password iterations, in hashes of one block of
// SHA-1. A file is charged before the work, so a count in the deepest layer costs us
// nothing but an error.
type budget int

// spend charges iterations of which each costs so many hashes.
func (b *budget) spend(iterations, each int) error {
	if iterations < 1 || iterations > int(*b)/each {
		return invalid("it asks for %d rounds of password derivation, each of %d hashes; a file may cost %d hashes together", iterations, each, MaxIterations)
	}
	*b -= budget(iterations * each)
	return nil
}

// price is what one hash of a block costs: those of 64-bit words take three times as long.
func price(size int) int {
	if size > sha256.Size {
		return 3
	}
	return 1
}

// outputs is how many hashes of a size make so many bytes.
func outputs(bytes, size int) int { return (bytes + size - 1) / size }

// block is the decrypting half of a cipher.
type block interface {
	BlockSize() int
	Decrypt(dst, src []byte)
}

// pbeParameters are those of PKCS#12's own ciphers (RFC 7292, appendix C).
type pbeParameters struct {
	Salt       []byte
	Iterations int
}

// pbes2Parameters: RFC 8018, A.4.
type pbes2Parameters struct {
	Derivation pkix.AlgorithmIdentifier
	Cipher     pkix.AlgorithmIdentifier
}

// pbkdf2Parameters: RFC 8018, A.2.
type pbkdf2Parameters struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// pbmac1Parameters: RFC 9579, section 4.
type pbmac1Parameters struct {
	Derivation pkix.AlgorithmIdentifier
	MAC        pkix.AlgorithmIdentifier
}

// decrypt opens what a password hides: the ciphers of RFC 7292, appendix C, that are in
// use, and PBES2 with PBKDF2 and AES or triple DES.
func (s secret) decrypt(b *budget, a pkix.AlgorithmIdentifier, ciphertext []byte) ([]byte, error) {
	var (
		c   block
		iv  []byte
		err error
	)
	switch oid := a.Algorithm.String(); oid {
	case "1.2.840.113549.1.12.1.3": // pbeWithSHAAnd3-KeyTripleDES-CBC
		c, iv, err = s.pbe(b, a, 24, newTripleDES)
	case "1.2.840.113549.1.12.1.5": // pbeWithSHAAnd128BitRC2-CBC
		c, iv, err = s.pbe(b, a, 16, func(key []byte) (block, error) { return newRC2(key), nil })
	case "1.2.840.113549.1.12.1.6": // pbewithSHAAnd40BitRC2-CBC
		c, iv, err = s.pbe(b, a, 5, func(key []byte) (block, error) { return newRC2(key), nil })
	case "1.2.840.113549.1.5.13": // PBES2
		c, iv, err = s.pbes2(b, a)
	default:
		err = invalid("it is encrypted with algorithm %s, which is not supported; write it again with AES-256", oid)
	}
	if err != nil {
		return nil, err
	}
	return decryptCBC(c, iv, ciphertext)
}

func newTripleDES(key []byte) (block, error) { return des.NewTripleDESCipher(key) } //nolint:gosec // see the import

func (s secret) pbe(b *budget, a pkix.AlgorithmIdentifier, size int, open func([]byte) (block, error)) (block, []byte, error) {
	var p pbeParameters
	if err := parse(a.Parameters.FullBytes, &p); err != nil {
		return nil, nil, err
	}
	if err := b.spend(p.Iterations, outputs(size, sha1.Size)+1); err != nil { // key and IV
		return nil, nil, err
	}
	c, err := open(s.derive(sha1.New, forKey, p.Salt, p.Iterations, size))
	if err != nil {
		return nil, nil, err
	}
	return c, s.derive(sha1.New, forIV, p.Salt, p.Iterations, c.BlockSize()), nil
}

func (s secret) pbes2(b *budget, a pkix.AlgorithmIdentifier) (block, []byte, error) {
	var p pbes2Parameters
	if err := parse(a.Parameters.FullBytes, &p); err != nil {
		return nil, nil, err
	}
	sizes := map[string]int{
		"2.16.840.1.101.3.4.1.2":  16, // aes128-CBC
		"2.16.840.1.101.3.4.1.22": 24, // aes192-CBC
		"2.16.840.1.101.3.4.1.42": 32, // aes256-CBC
		"1.2.840.113549.3.7":      24, // des-EDE3-CBC
	}
	name := p.Cipher.Algorithm.String()
	size, ok := sizes[name]
	if !ok {
		return nil, nil, invalid("it is encrypted with algorithm %s, which is not supported; write it again with AES-256", name)
	}
	key, err := s.pbkdf2(b, p.Derivation, size)
	if err != nil {
		return nil, nil, err
	}
	var iv []byte
	if err := parse(p.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, nil, err
	}
	var c block
	if name == "1.2.840.113549.3.7" {
		c, err = newTripleDES(key)
	} else {
		c, err = aes.NewCipher(key)
	}
	return c, iv, err
}

// pbkdf2 makes size bytes as the identifier a says.
func (s secret) pbkdf2(b *budget, a pkix.AlgorithmIdentifier, size int) ([]byte, error) {
	if name := a.Algorithm.String(); name != "1.2.840.113549.1.5.12" {
		return nil, invalid("it derives its key with algorithm %s, which is not supported; write it again with PBKDF2", name)
	}
	var p pbkdf2Parameters
	if err := parse(a.Parameters.FullBytes, &p); err != nil {
		return nil, err
	}
	if p.KeyLength != 0 && p.KeyLength != size {
		return nil, invalid("its derived key has %d bytes where its cipher takes %d", p.KeyLength, size)
	}
	newHash, err := hmacHash(p.PRF.Algorithm)
	if err != nil {
		return nil, err
	}
	length := newHash().Size()
	if err := b.spend(p.Iterations, outputs(size, length)*2*price(length)); err != nil { // an HMAC hashes twice
		return nil, err
	}
	return pbkdf2.Key(newHash, s.utf8, p.Salt, p.Iterations, size)
}

// hmacHash returns the hash of an HMAC; the absent one is SHA-1 (RFC 8018, A.2).
func hmacHash(oid asn1.ObjectIdentifier) (func() hash.Hash, error) {
	switch oid.String() {
	case "", "1.2.840.113549.2.7":
		return sha1.New, nil
	case "1.2.840.113549.2.9":
		return sha256.New, nil
	case "1.2.840.113549.2.10":
		return sha512.New384, nil
	case "1.2.840.113549.2.11":
		return sha512.New, nil
	}
	return nil, invalid("it uses the HMAC %s, which is not supported; write it again with HMAC-SHA-256", oid)
}

// mac computes the integrity code of a PKCS#12 file (RFC 7292, section 5.1; RFC 9579).
func (s secret) mac(b *budget, m macData, content []byte) ([]byte, error) {
	oid := m.Digest.Algorithm.Algorithm.String()
	if oid == "1.2.840.113549.1.5.14" { // PBMAC1
		return s.pbmac1(b, m, content)
	}
	var newHash func() hash.Hash
	switch oid {
	case "1.3.14.3.2.26":
		newHash = sha1.New
	case "2.16.840.1.101.3.4.2.1":
		newHash = sha256.New
	case "2.16.840.1.101.3.4.2.2":
		newHash = sha512.New384
	case "2.16.840.1.101.3.4.2.3":
		newHash = sha512.New
	default:
		return nil, invalid("its integrity code uses hash %s, which is not supported; write it again with SHA-256", oid)
	}
	if err := b.spend(m.Iterations, price(newHash().Size())); err != nil {
		return nil, err
	}
	h := hmac.New(newHash, s.derive(newHash, forMAC, m.Salt, m.Iterations, newHash().Size()))
	h.Write(content)
	return h.Sum(nil), nil
}

func (s secret) pbmac1(b *budget, m macData, content []byte) ([]byte, error) {
	var p pbmac1Parameters
	if err := parse(m.Digest.Algorithm.Parameters.FullBytes, &p); err != nil {
		return nil, err
	}
	newHash, err := hmacHash(p.MAC.Algorithm)
	if err != nil {
		return nil, err
	}
	// RFC 9579 wants the key as long as the hash; a shorter one could be guessed.
	key, err := s.pbkdf2(b, p.Derivation, newHash().Size())
	if err != nil {
		return nil, err
	}
	h := hmac.New(newHash, key)
	h.Write(content)
	return h.Sum(nil), nil
}

// decryptCBC undoes CBC and the padding of RFC 8018, section 6.1.1. Wrong padding is a
// wrong password; the file is the caller's own, so nothing is learnt from telling.
func decryptCBC(c block, iv, ciphertext []byte) ([]byte, error) {
	n := c.BlockSize()
	if len(iv) != n || len(ciphertext) == 0 || len(ciphertext)%n != 0 {
		return nil, invalid("its encrypted part is damaged")
	}
	plain := make([]byte, len(ciphertext))
	for at, last := 0, iv; at < len(ciphertext); at += n {
		c.Decrypt(plain[at:at+n], ciphertext[at:at+n])
		for i := range n {
			plain[at+i] ^= last[i]
		}
		last = ciphertext[at : at+n]
	}
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > n || !bytes.HasSuffix(plain, bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errPassword()
	}
	return plain[:len(plain)-pad], nil
}

func errPassword() error {
	return invalid("the password does not open it; send its password in pwd")
}
