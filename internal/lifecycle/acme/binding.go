package acme

import (
	"context"
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"
	"uuid"

	"crypto/rand"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme/jws"
)

// binding checks the external account binding of a new account and returns its key; nil
// when there is none and none is wanted.
func (s *Service) binding(ctx context.Context, r Request, body []byte) (*ExternalKey, error) {
	if len(body) == 0 {
		if r.Server.Door.ExternalAccount {
			return nil, problem("externalAccountRequired", "this server makes accounts for those who have an external account key; ask the operator for one")
		}
		return nil, nil
	}
	m, err := r.inner(body)
	if err != nil {
		return nil, err
	}
	if m.Key != nil {
		return nil, problem("malformed", "the external account binding has a jwk; it needs the kid of the external account key")
	}
	// Who does not have the secret does not learn which ids there are.
	refused := problem("unauthorized", "the external account binding is not signed with a key that is good for this server")
	k, err := s.Keys.ExternalKey(ctx, m.KeyID)
	if fault.Is(err, fault.NotFound) {
		return nil, refused
	}
	if err != nil {
		return nil, err
	}
	secret, err := base64.RawURLEncoding.DecodeString(k.Secret.Reveal())
	if err != nil {
		return nil, err
	}
	if err := m.VerifyMAC(secret); err != nil || k.Profile != r.Server.Profile.Name {
		refused.Err = err
		return nil, refused
	}
	if err := k.usable(s.Now()); err != nil {
		return nil, err
	}
	bound, err := jws.ParseKey(m.Payload)
	if err != nil {
		return nil, err
	}
	if !same(bound.Thumbprint, r.Key.Thumbprint) {
		return nil, problem("malformed", "the external account binding is for another account key")
	}
	return &k, nil
}

// usable reports why a key makes no account any more.
func (k ExternalKey) usable(now time.Time) error {
	switch {
	case !k.Revoked.IsZero():
		return problem("unauthorized", "the external account key %s is revoked; ask the operator for another", k.ID)
	case !k.Expires.IsZero() && now.After(k.Expires):
		return problem("unauthorized", "the external account key %s has expired; ask the operator for another", k.ID)
	case k.Account != "" && !k.Many:
		return problem("unauthorized", "the external account key %s has made its account already; ask the operator for another", k.ID)
	}
	return nil
}

// bind notes in the transaction of ctx that the key has made an account, unless another
// account was faster.
func (s *Service) bind(ctx context.Context, id, account string) error {
	k, err := s.Keys.ExternalKey(ctx, id)
	if err != nil {
		return err
	}
	if err := k.usable(s.Now()); err != nil {
		return err
	}
	if k.Account != "" {
		return nil // one for many: its first use is noted
	}
	k.Account, k.Used = account, s.Now()
	k.Revision++
	return s.Keys.UpdateExternalKey(ctx, k)
}

// ExternalKeyDraft is an external account key to be made.
type ExternalKeyDraft struct {
	Profile string
	Owner   string // application or team that the certificates belong to
	Comment string
	Many    bool
	Expires time.Time // zero: never
}

const maxText = 200

// CreateExternalKey makes a key. Its secret is in the answer and is never shown again.
func (s *Service) CreateExternalKey(ctx context.Context, c access.Caller, d ExternalKeyDraft) (ExternalKey, error) {
	if err := s.Guard.Authorize(ctx, c, Write, access.Root, "AcmeKeyCreate"); err != nil {
		return ExternalKey{}, err
	}
	if _, err := s.Server(d.Profile); err != nil {
		return ExternalKey{}, fault.New(fault.Invalid, "NoDoor", "profile %.64q has no open ACME door; open it in the profile first", d.Profile)
	}
	if strings.TrimSpace(d.Owner) == "" || len(d.Owner) > maxText || len(d.Comment) > maxText || !utf8.ValidString(d.Owner+d.Comment) {
		return ExternalKey{}, fault.New(fault.Invalid, "BadOwner", "name the application or team that the certificates belong to; owner and comment have up to %d bytes each", maxText)
	}
	if !d.Expires.IsZero() && !d.Expires.After(s.Now()) {
		return ExternalKey{}, fault.New(fault.Invalid, "BadExpiry", "the key would have expired already; name a later time, or none")
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	k := ExternalKey{
		ID: uuid.NewV4().String(), Profile: d.Profile, Owner: d.Owner, Comment: d.Comment, Many: d.Many, Expires: d.Expires,
		Maker: c.Principal, Created: s.Now(), Revision: 1, Secret: access.NewSecret(base64.RawURLEncoding.EncodeToString(secret)),
	}
	err := s.Transact(ctx, func(ctx context.Context) error {
		if err := s.Keys.InsertExternalKey(ctx, k); err != nil {
			return err
		}
		return s.Audit.Record(ctx, k.record(c, "AcmeKeyCreate"))
	})
	return k, err
}

func (k ExternalKey) record(c access.Caller, operation string) audit.Record {
	rec := c.Record(operation, "/acme/keys/"+k.ID)
	rec.Details[audit.Profile], rec.Details[audit.Owner] = k.Profile, k.Owner
	return rec
}

// ExternalKeys returns a page of keys, without their secrets, by id.
func (s *Service) ExternalKeys(ctx context.Context, c access.Caller, profile, after string, limit int) ([]ExternalKey, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "AcmeKeyList"); err != nil {
		return nil, err
	}
	list, err := s.Keys.ExternalKeys(ctx, profile, after, page(limit))
	for i := range list {
		list[i].Secret = access.Secret{}
	}
	return list, err
}

// RevokeExternalKey ends a key: it makes no account any more. Accounts that it made stay
// until they are deactivated.
func (s *Service) RevokeExternalKey(ctx context.Context, c access.Caller, id string) (ExternalKey, error) {
	if err := s.Guard.Authorize(ctx, c, Write, access.Root, "AcmeKeyRevoke"); err != nil {
		return ExternalKey{}, err
	}
	var k ExternalKey
	err := s.Transact(ctx, func(ctx context.Context) error {
		var err error
		if k, err = s.Keys.ExternalKey(ctx, id); err != nil {
			return err
		}
		if !k.Revoked.IsZero() {
			return nil
		}
		k.Revoked = s.Now()
		k.Revision++
		if err := s.Keys.UpdateExternalKey(ctx, k); err != nil {
			return err
		}
		return s.Audit.Record(ctx, k.record(c, "AcmeKeyRevoke"))
	})
	k.Secret = access.Secret{}
	return k, err
}

// maxPage bounds a page of a list.
const maxPage = 500

func page(limit int) int {
	if limit <= 0 || limit > maxPage {
		return maxPage
	}
	return limit
}

// Accounts returns a page of accounts, by id.
func (s *Service) Accounts(ctx context.Context, c access.Caller, q AccountQuery) ([]Account, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "AcmeAccountList"); err != nil {
		return nil, err
	}
	q.Limit = page(q.Limit)
	return s.Store.Accounts(ctx, q)
}

// EndAccount deactivates an account of somebody, for whoever may.
func (s *Service) EndAccount(ctx context.Context, c access.Caller, id string) (Account, error) {
	if err := s.Guard.Authorize(ctx, c, Write, access.Root, "AcmeAccountDeactivate"); err != nil {
		return Account{}, err
	}
	var a Account
	err := s.Transact(ctx, func(ctx context.Context) error {
		var err error
		if a, err = s.Store.Account(ctx, id); err != nil || a.Status == Deactivated {
			return err
		}
		a.Status = Deactivated
		a.Revision++
		if err := s.Store.UpdateAccount(ctx, a); err != nil {
			return err
		}
		rec := c.Record("AcmeAccountDeactivate", accountPath(a.ID))
		rec.Details[audit.Profile] = a.Profile
		return s.Audit.Record(ctx, rec)
	})
	return a, err
}
