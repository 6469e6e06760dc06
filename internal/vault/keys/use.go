package keys

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/object"
)

// Input is what an operation works on: the name of an algorithm and what it takes.
type Input struct {
	Algorithm string
	algorithm.Input
}

// Result is the answer of an operation and the version that gave it.
type Result struct {
	Entry object.Entry
	algorithm.Output
}

// Sign signs a digest, or a message where the algorithm takes one. Every use of a key, this
// and those below, is recorded before its result is returned; a use that fails is recorded
// as failed.
func (s *Service) Sign(ctx context.Context, c access.Caller, r object.Ref, in Input) (Result, error) {
	return s.use(ctx, c, use{signing, algorithm.Sign, r, in}, func(a algorithm.Algorithm, k algorithm.Key) (out algorithm.Output, err error) {
		out.Value, err = a.Sign(k, in.Input)
		return out, err
	})
}

// Verify reports whether sig is the key's signature of in.
func (s *Service) Verify(ctx context.Context, c access.Caller, r object.Ref, in Input, sig []byte) (ok bool, err error) {
	_, err = s.use(ctx, c, use{verifying, algorithm.Verify, r, in}, func(a algorithm.Algorithm, k algorithm.Key) (algorithm.Output, error) {
		ok, err = a.Verify(k, in.Input, sig)
		return algorithm.Output{}, err
	})
	return ok && err == nil, err
}

// Encrypt encrypts a value.
func (s *Service) Encrypt(ctx context.Context, c access.Caller, r object.Ref, in Input) (Result, error) {
	return s.use(ctx, c, use{encrypt, algorithm.Encrypt, r, in}, encryptOf(in))
}

// Decrypt decrypts a value.
func (s *Service) Decrypt(ctx context.Context, c access.Caller, r object.Ref, in Input) (Result, error) {
	return s.use(ctx, c, use{decrypt, algorithm.Decrypt, r, in}, decryptOf(in))
}

// WrapKey encrypts a symmetric key.
func (s *Service) WrapKey(ctx context.Context, c access.Caller, r object.Ref, in Input) (Result, error) {
	return s.use(ctx, c, use{wrapping, algorithm.WrapKey, r, in}, encryptOf(in))
}

// UnwrapKey decrypts a symmetric key.
func (s *Service) UnwrapKey(ctx context.Context, c access.Caller, r object.Ref, in Input) (Result, error) {
	return s.use(ctx, c, use{unwrap, algorithm.UnwrapKey, r, in}, decryptOf(in))
}

// work is what a use does with a key that may be used.
type work func(a algorithm.Algorithm, k algorithm.Key) (algorithm.Output, error)

func encryptOf(in Input) work {
	return func(a algorithm.Algorithm, k algorithm.Key) (algorithm.Output, error) { return a.Encrypt(k, in.Input) }
}

func decryptOf(in Input) work {
	return func(a algorithm.Algorithm, k algorithm.Key) (out algorithm.Output, err error) {
		out.Value, err = a.Decrypt(k, in.Input)
		return out, err
	}
}

// use is one use of a key.
type use struct {
	record object.Operation // in the audit trail
	op     Operation        // in key_ops
	ref    object.Ref
	in     Input
}

func (s *Service) use(ctx context.Context, c access.Caller, u use, do work) (res Result, err error) {
	err = s.Call(ctx, c, u.record, u.ref, func(v *object.Vault) error {
		e, err := s.Find(ctx, v, u.ref)
		if err != nil {
			return err
		}
		k, err := object.Derived(e, s.readyOf)
		if err != nil {
			return err
		}
		if err := usable(e.Version, k.ops, u.op, s.Now()); err != nil {
			return err
		}
		a, err := algorithm.Find(u.in.Algorithm, u.op, k.spec)
		if err != nil {
			return err
		}
		out, err := do(a, k.key(ctx))
		if err != nil {
			return err
		}
		res = Result{Entry: e, Output: out}
		done := object.Ref{Vault: u.ref.Vault, Name: u.ref.Name, Version: e.Version.ID}
		return s.Done(ctx, c, u.record, done, map[audit.Field]string{audit.Algorithm: a.Name})
	})
	if err != nil {
		return Result{}, err
	}
	return res, nil
}
