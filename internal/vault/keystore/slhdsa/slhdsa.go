// Package slhdsa is SLH-DSA (FIPS 205) as certificates have it (RFC 9909): whole messages,
// no context. Its security rests on hash functions alone; it pays with signatures of
// kilobytes, which take long to make and no time to check.
package slhdsa

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/cloudflare/circl/sign/slhdsa"
)

// set is one parameter set. The last number of its object identifier, below
// 2.16.840.1.101.3.4.3, names its keys and its signatures alike.
type set struct {
	id       slhdsa.ID
	arc      byte
	category int // of NIST: 1, 3 or 5
}

// sets are those that a key can be made of: for each strength the one with small
// signatures, because roots sign seldom and everybody carries what they sign. 128f is for
// machines and tests that cannot wait.
var sets = [...]set{
	{slhdsa.SHA2_128s, 20, 1},
	{slhdsa.SHA2_128f, 21, 1},
	{slhdsa.SHA2_192s, 22, 3},
	{slhdsa.SHA2_256s, 24, 5},
	{slhdsa.SHAKE_128s, 26, 1},
	{slhdsa.SHAKE_192s, 28, 3},
	{slhdsa.SHAKE_256s, 30, 5},
}

// Names are the parameter sets, such as "SLH-DSA-SHA2-128s".
func Names() []string {
	var names []string
	for _, s := range sets {
		names = append(names, s.id.String())
	}
	return names
}

// Known reports whether there is a parameter set of that name.
func Known(name string) bool {
	_, ok := named(name)
	return ok
}

func named(name string) (set, bool) {
	return find(func(s set) bool { return s.id.String() == name })
}

func find(is func(set) bool) (set, bool) {
	i := slices.IndexFunc(sets[:], is)
	if i < 0 {
		return set{}, false
	}
	return sets[i], true
}

// algorithm is the AlgorithmIdentifier in DER: the parameters are absent.
func (s set) algorithm() []byte {
	return []byte{0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, s.arc}
}

// PublicKey checks signatures.
type PublicKey struct {
	set set
	key slhdsa.PublicKey
}

// Name is the parameter set.
func (p *PublicKey) Name() string { return p.set.id.String() }

// Category is NIST's category of strength: 1, 3 or 5.
func (p *PublicKey) Category() int { return p.set.category }

// Algorithm is the AlgorithmIdentifier in DER, of the key and of its signatures.
func (p *PublicKey) Algorithm() []byte { return p.set.algorithm() }

// SignatureSize is the length of each signature in bytes.
func (p *PublicKey) SignatureSize() int { return p.set.id.Scheme().SignatureSize() }

// Equal reports whether x is the same key.
func (p *PublicKey) Equal(x crypto.PublicKey) bool {
	k, ok := x.(*PublicKey)
	return ok && p.key.Equal(k.key)
}

// Verify reports whether a signature is the key's.
func (p *PublicKey) Verify(message, signature []byte) bool {
	return len(signature) == p.SignatureSize() && slhdsa.Verify(&p.key, slhdsa.NewMessage(message), signature, nil)
}

// PrivateKey signs. It never prints.
type PrivateKey struct {
	set set
	key slhdsa.PrivateKey
}

var _ crypto.Signer = (*PrivateKey)(nil)

// Generate makes a key of a parameter set.
func Generate(name string) (*PrivateKey, error) { return generate(name, rand.Reader) }

func generate(name string, random io.Reader) (*PrivateKey, error) {
	s, ok := named(name)
	if !ok {
		return nil, fmt.Errorf("there is no parameter set %.40q of SLH-DSA", name)
	}
	_, key, err := slhdsa.GenerateKey(random, s.id)
	return &PrivateKey{s, key}, err
}

const hidden = "[key material]"

// Format hides the key from every verb.
func (*PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the key.
func (*PrivateKey) LogValue() slog.Value { return slog.StringValue(hidden) }

// Public returns a *PublicKey.
func (k *PrivateKey) Public() crypto.PublicKey { return &PublicKey{k.set, k.key.PublicKey()} }

// Sign signs a message with randomness; the small sets take up to seconds. What it made is
// checked before it leaves: a fault of the machine while a signature is made can give the
// key away (RFC 9909, Security Considerations).
func (k *PrivateKey) Sign(random io.Reader, message []byte, o crypto.SignerOpts) ([]byte, error) {
	if o != nil && o.HashFunc() != 0 {
		return nil, errors.New("SLH-DSA signs messages, not digests")
	}
	signature, err := k.key.Sign(random, message, nil)
	if err != nil {
		return nil, err
	}
	public := PublicKey{k.set, k.key.PublicKey()}
	if !public.Verify(message, signature) {
		return nil, errors.New("the signature that was made is wrong; check the machine")
	}
	return signature, nil
}
