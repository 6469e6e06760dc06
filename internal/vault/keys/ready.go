package keys

import (
	"context"
	"crypto"
	"sync"

	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// ready is a version of a key as its uses need it. It stays in memory with the version's
// entry, so that a key is read once and not for every use.
type ready struct {
	ops    []Operation
	spec   keystore.Spec
	public crypto.PublicKey // nil for a symmetric key
	open   func(ctx context.Context) (keystore.Private, error)

	mu      sync.Mutex
	private keystore.Private // once it was opened
}

func (s *Service) readyOf(x object.Version) (*ready, error) {
	b, err := bodyOf(x)
	if err != nil {
		return nil, err
	}
	r := &ready{ops: b.Ops, open: func(ctx context.Context) (keystore.Private, error) { return s.open(ctx, b) }}
	if keyType(b.Type) == keystore.Oct {
		r.spec, err = b.spec()
		return r, err
	}
	if r.public, err = b.Public(); err != nil {
		return nil, err
	}
	r.spec, err = keystore.SpecOf(r.public)
	return r, err
}

// key is the key as algorithms take it.
func (r *ready) key(ctx context.Context) algorithm.Key {
	return algorithm.Key{Spec: r.spec, Public: r.public, Open: func() (keystore.Private, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.private != nil {
			return r.private, nil
		}
		p, err := r.open(ctx)
		if err == nil {
			r.private = p
		}
		return p, err
	}}
}
