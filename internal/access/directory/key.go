package directory

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"slices"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
)

// SigningKeys returns the key that signs tokens first, then the retired ones.
func (d *Directory) SigningKeys() []SigningKey {
	now := d.current.Load()
	var out []SigningKey
	for _, k := range now.keys {
		out = append(out, *k)
	}
	slices.SortFunc(out, func(a, b SigningKey) int { return b.Created.Compare(a.Created) })
	return out
}

// EnsureSigningKey makes the first signing key, once.
func (d *Directory) EnsureSigningKey(ctx context.Context) error {
	if d.current.Load().signing != nil {
		return nil
	}
	fresh, err := d.newSigningKey()
	if err != nil {
		return err
	}
	err = d.change(ctx, func(now *snapshot) (edit, error) {
		if now.signing != nil { // another node was faster
			return edit{}, nil
		}
		return edit{put: []any{fresh}, records: []audit.Record{access.System("access").Record("SigningKeyCreate", keyTarget(fresh))}}, nil
	})
	if err != nil {
		return err
	}
	return d.Reload(ctx)
}

// RotateSigningKey signs with a new key from now on. Tokens that the old one signed stay
// good; keys that retired before the time are removed.
func (d *Directory) RotateSigningKey(ctx context.Context, c access.Caller, retiredBefore time.Time) error {
	if err := d.Authorize(ctx, c, access.WriteAccess, access.Root, "SigningKeyRotate"); err != nil {
		return err
	}
	fresh, err := d.newSigningKey()
	if err != nil {
		return err
	}
	return d.change(ctx, func(now *snapshot) (edit, error) {
		e := edit{put: []any{fresh}, records: []audit.Record{c.Record("SigningKeyRotate", keyTarget(fresh))}}
		for _, k := range now.keys {
			switch old := *k; {
			case old.Retired.IsZero():
				old.Retired = fresh.Created
				e.put = append(e.put, old)
			case old.Retired.Before(retiredBefore):
				e.remove = append(e.remove, ref{signingKeyKind, old.ID})
			}
		}
		return e, nil
	})
}

func (d *Directory) newSigningKey() (SigningKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return SigningKey{}, fmt.Errorf("generate signing key: %w", err)
	}
	return SigningKey{ID: uuid.NewV4().String(), Created: d.now().UTC(), private: private}, nil
}

func keyTarget(k SigningKey) string { return "/signing-keys/" + k.ID }
