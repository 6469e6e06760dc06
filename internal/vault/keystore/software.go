package keystore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"runtime"

	"chatelaine.dev/internal/fault"
)

// Software makes and uses keys in this process. Its material is the key itself, as
// PKCS #8 (RFC 5208); what protects it at rest is whoever seals the material.
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
	if err := spec.Check(); err != nil {
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

func generate(spec Spec) (crypto.Signer, error) {
	if spec.Type == RSA {
		return rsa.GenerateKey(rand.Reader, spec.Bits)
	}
	curve, _ := Curve(spec.Curve)
	return ecdsa.GenerateKey(curve, rand.Reader)
}

// Import takes an *rsa.PrivateKey with two primes or an *ecdsa.PrivateKey. fault.Invalid
// when it is of another kind, weak, or its parts do not belong together.
func (s *Software) Import(ctx context.Context, key crypto.PrivateKey) (Material, crypto.PublicKey, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fault.New(fault.Invalid, "BadParameter", "The key to import is not a private key of type RSA or EC.")
	}
	if _, err := SpecOf(signer.Public()); err != nil {
		return nil, nil, err
	}
	done, err := s.turn(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	if err := check(signer); err != nil {
		return nil, nil, err
	}
	return pack(signer)
}

// Open makes a usable key of what Generate or Import returned.
func (s *Software) Open(_ context.Context, m Material) (Private, error) {
	key, err := x509.ParsePKCS8PrivateKey(m)
	if err != nil {
		return nil, fmt.Errorf("open software key: %w", err)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return rsaPrivate{key: k}, nil
	case *ecdsa.PrivateKey:
		return ecPrivate{key: k}, nil
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

func pack(key crypto.Signer) (Material, crypto.PublicKey, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode software key: %w", err)
	}
	return der, key.Public(), nil
}
