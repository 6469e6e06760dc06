package keys

import (
	"context"
	"crypto"
	"slices"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// Result is the answer of an operation and the version that gave it.
type Result struct {
	Entry object.Entry
	Value []byte
}

// Sign signs a digest. Every use of a key, this and those below, is recorded before its
// result is returned; a use that fails is recorded as failed.
func (s *Service) Sign(ctx context.Context, c access.Caller, r object.Ref, algorithm string, digest []byte) (Result, error) {
	return s.use(ctx, c, use{signing, Sign, r, algorithm}, func(a Algorithm, k key) ([]byte, error) {
		private, err := k.private()
		if err != nil {
			return nil, err
		}
		return a.Sign(private, digest)
	})
}

// Verify reports whether sig is the key's signature of digest.
func (s *Service) Verify(ctx context.Context, c access.Caller, r object.Ref, algorithm string, digest, sig []byte) (ok bool, err error) {
	_, err = s.use(ctx, c, use{verifying, Verify, r, algorithm}, func(a Algorithm, k key) ([]byte, error) {
		ok, err = a.Verify(k.public, digest, sig)
		return nil, err
	})
	return ok && err == nil, err
}

// Encrypt encrypts a short value.
func (s *Service) Encrypt(ctx context.Context, c access.Caller, r object.Ref, algorithm string, plaintext []byte) (Result, error) {
	return s.use(ctx, c, use{encrypt, Encrypt, r, algorithm}, func(a Algorithm, k key) ([]byte, error) {
		return a.Encrypt(k.public, plaintext)
	})
}

// Decrypt decrypts a value.
func (s *Service) Decrypt(ctx context.Context, c access.Caller, r object.Ref, algorithm string, ciphertext []byte) (Result, error) {
	return s.use(ctx, c, use{decrypt, Decrypt, r, algorithm}, func(a Algorithm, k key) ([]byte, error) {
		return k.decrypt(a, ciphertext)
	})
}

// WrapKey encrypts a symmetric key.
func (s *Service) WrapKey(ctx context.Context, c access.Caller, r object.Ref, algorithm string, plaintext []byte) (Result, error) {
	return s.use(ctx, c, use{wrapping, WrapKey, r, algorithm}, func(a Algorithm, k key) ([]byte, error) {
		return a.Encrypt(k.public, plaintext)
	})
}

// UnwrapKey decrypts a symmetric key.
func (s *Service) UnwrapKey(ctx context.Context, c access.Caller, r object.Ref, algorithm string, ciphertext []byte) (Result, error) {
	return s.use(ctx, c, use{unwrap, UnwrapKey, r, algorithm}, func(a Algorithm, k key) ([]byte, error) {
		return k.decrypt(a, ciphertext)
	})
}

// use is one use of a key.
type use struct {
	record    object.Operation // in the audit trail
	op        Operation        // in key_ops
	ref       object.Ref
	algorithm string
}

// key is a key that may be used now. The private half is opened only by those who need it.
type key struct {
	public  crypto.PublicKey
	private func() (keystore.Private, error)
}

func (k key) decrypt(a Algorithm, ciphertext []byte) ([]byte, error) {
	private, err := k.private()
	if err != nil {
		return nil, err
	}
	return a.Decrypt(private, ciphertext)
}

func (s *Service) use(ctx context.Context, c access.Caller, u use, fn func(a Algorithm, k key) ([]byte, error)) (res Result, err error) {
	err = s.Call(ctx, c, u.record, u.ref, func(v *object.Vault) error {
		e, err := s.Find(ctx, v, u.ref)
		if err != nil {
			return err
		}
		b, err := bodyOf(e.Version)
		if err != nil {
			return err
		}
		if err := usable(e.Version, b.Ops, u.op, s.Now()); err != nil {
			return err
		}
		pub, err := b.Public()
		if err != nil {
			return err
		}
		spec, err := keystore.SpecOf(pub)
		if err != nil {
			return err
		}
		a, err := FindAlgorithm(u.algorithm, u.op, spec)
		if err != nil {
			return err
		}
		value, err := fn(a, key{pub, func() (keystore.Private, error) { return s.open(ctx, b) }})
		if err != nil {
			return err
		}
		res = Result{Entry: e, Value: value}
		done := object.Ref{Vault: u.ref.Vault, Name: u.ref.Name, Version: e.Version.ID}
		return s.Done(ctx, c, u.record, done, map[audit.Field]string{audit.Algorithm: a.Name})
	})
	if err != nil {
		return Result{}, err
	}
	return res, nil
}

// usable says whether a version may be used now (contract §2.2). Outside its dates a key
// protects nothing new, but what it protected before can still be read and verified.
func usable(x object.Version, ops []Operation, op Operation, now time.Time) error {
	switch protects := op == Sign || op == Encrypt || op == WrapKey; {
	case !x.Enabled:
		return fault.New(fault.Denied, "KeyDisabled", "Operation %s is not allowed on a disabled key.", op)
	case !slices.Contains(ops, op):
		return fault.New(fault.Denied, "KeyOperationForbidden", "Operation %s is not permitted on this key.", op)
	case protects && !x.NotBefore.IsZero() && now.Before(x.NotBefore):
		return fault.New(fault.Denied, "KeyNotYetValid", "Operation %s is not allowed on a key before its nbf, %s.", op, x.NotBefore.UTC().Format(time.RFC3339))
	case protects && !x.Expires.IsZero() && !now.Before(x.Expires):
		return fault.New(fault.Denied, "KeyExpired", "Operation %s is not allowed on a key that expired on %s.", op, x.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}
