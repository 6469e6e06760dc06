package keystore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"runtime"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore/p256k"
	"chatelaine.dev/internal/vault/keystore/slhdsa"
)

// Software makes and uses keys in this process. Its material is the key itself, as
// PKCS #8 (RFC 5208), or as an ASN.1 octet string when it is symmetric; what protects it at
// rest is whoever seals the material.
type Software struct {
	// Making or checking an RSA key can take seconds of one processor. Half of them
	// are enough for it, so that callers who make keys do not starve those who use them.
	slots chan struct{}
}

var _ Keystore = (*Software)(nil)

// NewSoftware returns a keystore of this process.
func NewSoftware() *Software {
	return &Software{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

// Name is "software".
func (*Software) Name() string { return "software" }

// Generate makes a key. It waits for its turn, and gives up when ctx ends.
func (s *Software) Generate(ctx context.Context, spec Spec) (Material, crypto.PublicKey, error) {
	if err := spec.check(); err != nil {
		return nil, nil, err
	}
	done, err := s.turn(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	key, err := generate(spec)
	if err != nil {
		return nil, nil, fmt.Errorf("generate %s: %w", spec, err)
	}
	return pack(key)
}

// generate makes a key of a Spec that was checked.
func generate(spec Spec) (crypto.PrivateKey, error) {
	switch spec.Type {
	case RSA:
		return rsa.GenerateKey(rand.Reader, spec.Bits)
	case Oct:
		key := make(Secret, spec.Bits/8)
		_, _ = rand.Read(key) // never fails
		return key, nil
	case AKP:
		if spec.RootOnly() {
			return slhdsa.Generate(spec.Algorithm)
		}
		p, _ := parametersNamed(spec.Algorithm)
		return mldsa.GenerateKey(p)
	case OKP:
		return generateEd25519()
	}
	curve, _ := CurveNamed(spec.Curve)
	return curve.arithmetic.generate()
}

// Import takes an *rsa.PrivateKey with two primes, an *ecdsa.PrivateKey, a
// *p256k.PrivateKey, an *mldsa.PrivateKey or a Secret. fault.Invalid when it is of another
// kind, weak, or its parts do not belong together.
func (s *Software) Import(ctx context.Context, key crypto.PrivateKey) (Material, crypto.PublicKey, error) {
	if _, err := SpecOfKey(key); err != nil {
		return nil, nil, err
	}
	done, err := s.turn(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	if err := check(key); err != nil {
		return nil, nil, err
	}
	return pack(key)
}

// Open makes a usable key of what Generate or Import returned.
func (s *Software) Open(_ context.Context, m Material) (Private, error) {
	if k, ok := parseSecret(m); ok {
		return newSecret(k)
	}
	key, err := ParsePKCS8(m)
	if err != nil {
		return nil, fmt.Errorf("open software key: %w", err)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return rsaPrivate{private{key: k}, k}, nil
	case *ecdsa.PrivateKey, *p256k.PrivateKey, *mldsa.PrivateKey, ed25519.PrivateKey, *slhdsa.PrivateKey:
		return private{key: k.(crypto.Signer)}, nil
	}
	return nil, fmt.Errorf("open software key: material holds a %T", key)
}

// turn waits for a slot. Nothing is made for a caller who has gone.
func (s *Software) turn(ctx context.Context) (done func(), err error) {
	if ctx.Err() == nil {
		select {
		case s.slots <- struct{}{}:
			return func() { <-s.slots }, nil
		case <-ctx.Done():
		}
	}
	return nil, fault.Wrap(ctx.Err(), fault.Unavailable, "", "The key was not made in time because many others were asked for; try again.")
}
