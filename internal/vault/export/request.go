package export

import (
	"context"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
	"uuid"

	"filippo.io/age"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/settings"
)

// Bounds of a request.
const (
	maxRecipients = 20
	maxComment    = 2000 // characters
	maxLive       = 20   // requests of a vault that wait at a time
	maxPage       = 500
)

// Draft is what somebody asks for.
type Draft struct {
	Vault      string
	Keys       bool
	Recipients []string // age public keys: age1… or, safe from quantum computers, age1pq1…
	Comment    string
}

// Ask asks for an export of a vault. Somebody else must approve it.
func (s *Service) Ask(ctx context.Context, c access.Caller, d Draft) (r Request, err error) {
	err = s.shelf.Call(ctx, c, ask, object.Ref{Vault: d.Vault}, func(v *object.Vault) error {
		if r, err = s.draft(c, v, d); err != nil {
			return err
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			n, err := s.Store.LiveExports(ctx, r.Vault, r.Created)
			if err != nil {
				return err
			}
			if n >= maxLive {
				return fault.New(fault.Conflict, "TooManyRequests", "%d requests to export this vault wait already; cancel some.", n)
			}
			if err := s.Store.InsertExport(ctx, r); err != nil {
				return err
			}
			return s.tell(ctx, c, string("Vault"+ask), "Chatelaine.VaultExportRequested", r)
		})
	})
	if err != nil {
		return Request{}, err
	}
	return r, nil
}

func (s *Service) draft(c access.Caller, v *object.Vault, d Draft) (Request, error) {
	if err := allowed(v, d.Keys); err != nil {
		return Request{}, err
	}
	if utf8.RuneCountInString(d.Comment) > maxComment {
		return Request{}, fault.New(fault.Invalid, "BadParameter", "the comment has more than %d characters", maxComment)
	}
	names, _, err := recipients(d.Recipients)
	if err != nil {
		return Request{}, err
	}
	now := s.Now().UTC()
	r := Request{
		ID: uuid.NewV7().String(), Vault: v.Name, VaultCreated: v.Settings().Created, State: Pending, Keys: d.Keys, Recipients: names, Comment: d.Comment,
		Requester: c.Principal, RequesterName: c.Name, Created: now, Ends: now.Add(approvalTime), Revision: 1,
	}
	r.Digest, err = r.digest()
	return r, err
}

// allowed says whether the vault's setting lets such an export leave.
func allowed(v *object.Vault, keys bool) error {
	switch e := v.Settings().Export; {
	case e == settings.ExportNothing:
		return fault.New(fault.Conflict, "ExportNotAllowed", "The vault %s does not allow exports; whoever manages the vault can allow them.", v.Name)
	case keys && e != settings.ExportAll:
		return fault.New(fault.Conflict, "ExportNotAllowed", "The vault %s does not allow exports with private keys; ask without them, or have them allowed.", v.Name)
	}
	return nil
}

// recipients reads age public keys, each once, in the order of their text.
func recipients(texts []string) ([]string, []age.Recipient, error) {
	if len(texts) == 0 || len(texts) > maxRecipients {
		return nil, nil, fault.New(fault.Invalid, "BadParameter", "%d recipients were named; name 1 to %d age public keys, age1…", len(texts), maxRecipients)
	}
	names := make([]string, len(texts))
	for i, t := range texts {
		names[i] = strings.ToLower(strings.TrimSpace(t))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	list := make([]age.Recipient, len(names))
	for i, n := range names {
		var err error
		if strings.HasPrefix(n, "age1pq1") {
			list[i], err = age.ParseHybridRecipient(n)
		} else {
			list[i], err = age.ParseX25519Recipient(n)
		}
		if err != nil {
			return nil, nil, fault.New(fault.Invalid, "BadParameter", "%.40q is no age public key: want age1… or age1pq1…, as age-keygen prints it.", n)
		}
	}
	if _, err := age.Encrypt(io.Discard, list...); err != nil {
		return nil, nil, fault.New(fault.Invalid, "BadParameter", "These recipients do not go together: either all are age1pq1…, which is safe from quantum computers, or none is.")
	}
	return names, list, nil
}

// Get returns a request: to its requester, and to who may read requests.
func (s *Service) Get(ctx context.Context, c access.Caller, vault, id string) (Request, error) {
	r, err := s.Store.Export(ctx, id)
	switch {
	case err != nil && !fault.Is(err, fault.NotFound):
		return Request{}, err
	case err == nil && r.Vault == strings.ToLower(vault) && r.Requester == c.Principal:
		return r.at(s.Now()), nil
	}
	if err := s.Guard.Authorize(ctx, c, Read, scopeOf(vault), "VaultExportGet"); err != nil {
		return Request{}, err
	}
	if err != nil || r.Vault != strings.ToLower(vault) {
		return Request{}, noRequest(id)
	}
	return r.at(s.Now()), nil
}

// List returns the requests of a vault, newest first, before an id.
func (s *Service) List(ctx context.Context, c access.Caller, vault, before string, limit int) ([]Request, error) {
	if err := s.Guard.Authorize(ctx, c, Read, scopeOf(vault), "VaultExportList"); err != nil {
		return nil, err
	}
	list, err := s.Store.Exports(ctx, strings.ToLower(vault), before, min(max(limit, 1), maxPage))
	for i, r := range list {
		list[i] = r.at(s.Now())
	}
	return list, err
}

// Cancel gives a request up. Only who made it can.
func (s *Service) Cancel(ctx context.Context, c access.Caller, vault, id string) (r Request, err error) {
	err = s.shelf.Call(ctx, c, cancel, object.Ref{Vault: vault}, func(*object.Vault) error {
		r, err = s.change(ctx, vault, id, func(ctx context.Context, r *Request) error {
			switch {
			case r.Requester != c.Principal:
				return noRequest(id)
			case !r.Live():
				return fault.New(fault.Conflict, "NotLive", "the request is %s and cannot be canceled", r.State)
			}
			r.State = Canceled
			return s.tell(ctx, c, string("Vault"+cancel), "Chatelaine.VaultExportCanceled", *r)
		})
		return err
	})
	return r, err
}

// change changes a request in one transaction. edit sees it as it stands, and records.
func (s *Service) change(ctx context.Context, vault, id string, edit func(ctx context.Context, r *Request) error) (r Request, err error) {
	err = s.Transact(ctx, func(ctx context.Context) error {
		if r, err = s.Store.Export(ctx, id); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if err != nil || r.Vault != strings.ToLower(vault) {
			return noRequest(id)
		}
		r = r.at(s.Now())
		if err := edit(ctx, &r); err != nil {
			return err
		}
		r.Revision++
		return s.Store.UpdateExport(ctx, r)
	})
	if err != nil {
		return Request{}, err
	}
	return r, nil
}

func scopeOf(vault string) access.Scope { return access.Scope("/vaults/" + strings.ToLower(vault)) }

func noRequest(id string) error {
	return fault.New(fault.NotFound, "ExportNotFound", "this vault has no request %.40q to be exported", id)
}

// tell records and announces what happened to a request.
func (s *Service) tell(ctx context.Context, c access.Caller, operation, eventType string, r Request) error {
	rec := c.Record(operation, string(scopeOf(r.Vault)))
	rec.Details[audit.Request], rec.Details[audit.Digest] = r.ID, r.Digest
	if err := s.Audit.Record(ctx, rec); err != nil {
		return err
	}
	return s.announce(ctx, eventType, r)
}

func (s *Service) announce(ctx context.Context, eventType string, r Request) error {
	return s.Events.Emit(ctx, event.Event{Source: string(scopeOf(r.Vault)), Type: eventType, Subject: r.ID})
}
