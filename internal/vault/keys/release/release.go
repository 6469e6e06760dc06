// Package release lets a key leave its vault, to an environment that an attestation
// service vouches for: secure key release (contract §2.5). The key goes encrypted for a
// key of that environment, in a statement that the installation signs.
package release

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/attestation"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/transfer"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// releasing is what is done here; the audit record says KeyRelease.
const releasing object.Operation = "Release"

// Verifier believes attestation tokens, or does not; attestation.Authorities is one.
type Verifier interface {
	Verify(ctx context.Context, token string, authorities []string) (attestation.Statement, error)
}

// Signer signs for a vault: a compact JWS (RFC 7515) whose header has the certificate
// chain of the signing key.
type Signer interface {
	Sign(ctx context.Context, vault string, payload []byte) (string, error)
}

// Deps are what the service needs.
type Deps struct {
	object.Deps
	Keys     *keys.Service
	Verifier Verifier
	Signer   Signer
}

// Service releases the keys of all vaults.
type Service struct {
	*object.Shelf
	d Deps
}

// New makes the service.
func New(d Deps) *Service {
	return &Service{d: d, Shelf: object.NewShelf(d.Deps, object.Keys, map[object.Operation]access.Action{releasing: "keys/release/action"})}
}

// Request asks for a key.
type Request struct {
	Target string          // the attestation token of the environment
	Scheme transfer.Scheme // "" for CKM_RSA_AES_KEY_WRAP
	// Describe writes the statement that is signed. keyHSM is the wrapped key.
	Describe func(e object.Entry, scheme transfer.Scheme, keyHSM []byte) ([]byte, error)
}

// maxTarget bounds the token, which a body is checked for before it is parsed.
const maxTarget = attestation.MaxToken

func (q *Request) check() error {
	if q.Scheme == "" {
		q.Scheme = transfer.SHA1
	}
	if !slices.Contains(transfer.Schemes(), q.Scheme) {
		return fault.New(fault.Invalid, "BadParameter", "The encryption algorithm (enc) %.40q is not supported; use one of %q.", q.Scheme, transfer.Schemes())
	}
	if q.Target == "" || len(q.Target) > maxTarget {
		return fault.New(fault.Invalid, "BadParameter", "The parameter target must be the attestation token of the environment, at most %d bytes.", maxTarget)
	}
	return nil
}

// Release returns a signed statement that holds the key, wrapped for the environment
// which the target speaks of. It is recorded before it is returned.
func (s *Service) Release(ctx context.Context, c access.Caller, r object.Ref, q Request) (signed string, err error) {
	err = s.Call(ctx, c, releasing, r, func(v *object.Vault) error {
		if err := q.check(); err != nil {
			return err
		}
		e, err := s.Find(ctx, v, r)
		if err != nil {
			return err
		}
		to, err := s.recipient(ctx, e, q.Target)
		if err != nil {
			return err
		}
		keyHSM, err := s.wrap(ctx, e, to, q.Scheme)
		if err != nil {
			return err
		}
		payload, err := q.Describe(e, q.Scheme, keyHSM)
		if err != nil {
			return err
		}
		if signed, err = s.d.Signer.Sign(ctx, v.Name, payload); err != nil {
			return fmt.Errorf("sign the released key: %w", err)
		}
		done := object.Ref{Vault: r.Vault, Name: r.Name, Version: e.Version.ID}
		return s.Done(ctx, c, releasing, done, map[audit.Field]string{audit.Algorithm: string(q.Scheme), audit.Issuer: to.Authority})
	})
	if err != nil {
		return "", err
	}
	return signed, nil
}

// recipient decides whether the key may go to where the token speaks of.
func (s *Service) recipient(ctx context.Context, e object.Entry, token string) (attestation.Statement, error) {
	var none attestation.Statement
	x, err := keys.ExtraOf(e.Head)
	if err != nil {
		return none, err
	}
	if !x.Exportable || x.Release == nil {
		return none, fault.New(fault.Denied, "KeyOperationForbidden", "Operation release is not permitted on this key.")
	}
	if !e.Version.Enabled {
		return none, fault.New(fault.Denied, "KeyDisabled", "Operation release is not allowed on a disabled key.")
	}
	authorities := make([]string, 0, len(x.Release.Policy.Authorities))
	for _, a := range x.Release.Policy.Authorities {
		authorities = append(authorities, a.URL)
	}
	to, err := s.d.Verifier.Verify(ctx, token, authorities)
	if err != nil {
		return none, err
	}
	if !x.Release.Policy.Met(to.Authority, to.Claims) {
		return none, fault.New(fault.Denied, "AccessDenied", "Target environment attestation does not meet key release policy requirements.")
	}
	return to, nil
}

// wrap encrypts the key for the recipient.
func (s *Service) wrap(ctx context.Context, e object.Entry, to attestation.Statement, scheme transfer.Scheme) ([]byte, error) {
	kid, receiver, err := to.Recipient()
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "BadParameter",
			"The target names no key that the released key can be encrypted for: its claim x-ms-runtime needs an RSA key of 2048 bits or more for encryption.")
	}
	plain, err := s.export(ctx, e)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	blob, err := transfer.Seal(scheme, kid, receiver, plain)
	if err != nil {
		return nil, err
	}
	return json.Marshal(blob)
}

// export returns the key itself: PKCS #8, or the bytes of a symmetric one.
func (s *Service) export(ctx context.Context, e object.Entry) ([]byte, error) {
	private, err := s.d.Keys.OpenVersion(ctx, e.Version)
	if err != nil {
		return nil, err
	}
	x, ok := private.(keystore.Exporter)
	if !ok {
		return nil, fault.New(fault.Denied, "KeyOperationForbidden", "What protects this key does not let it out.")
	}
	key, err := x.Export()
	if err != nil {
		return nil, err
	}
	if secret, ok := key.(keystore.Secret); ok {
		return slices.Clone(secret), nil
	}
	return keystore.MarshalPKCS8(key)
}
