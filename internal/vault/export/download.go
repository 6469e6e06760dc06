package export

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"filippo.io/age"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/export/archive"
	"chatelaine.dev/internal/vault/object"
)

// File is an export that is about to be fetched.
type File struct {
	Name string // for the requester's disk

	s      *Service
	caller access.Caller
	vault  *object.Vault
	of     Request
	to     []age.Recipient
}

// Download lets the requester fetch an approved export. That is recorded before it
// returns. What it returns must be written within a moment: until it was fetched whole it
// can be fetched again, as long as its time lasts.
func (s *Service) Download(ctx context.Context, c access.Caller, vault, id string) (f *File, err error) {
	err = s.shelf.Call(ctx, c, download, object.Ref{Vault: vault}, func(v *object.Vault) error {
		r, err := s.Store.Export(ctx, id)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if err != nil || r.Vault != v.Name || r.Requester != c.Principal {
			return noRequest(id)
		}
		if r = r.at(s.Now()); r.State != Approved {
			return fault.New(fault.Conflict, "NotApproved", "the request is %s; only one that is approved can be fetched", r.State)
		}
		if err := s.covers(v, r); err != nil {
			return err
		}
		f = &File{Name: v.Name + "-" + s.Now().UTC().Format("2006-01-02") + ".tar.age", s: s, caller: c, vault: v, of: r}
		if _, f.to, err = recipients(r.Recipients); err != nil {
			return err
		}
		return s.record(ctx, c, download, r, nil)
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// covers says whether what was approved is what would leave now.
func (s *Service) covers(v *object.Vault, r Request) error {
	digest, err := r.digest()
	switch {
	case err != nil:
		return err
	case digest != r.Digest || r.Decision == nil || !r.Decision.Approved || r.Decision.Principal == r.Requester:
		return fault.New(fault.Denied, "NotApproved", "the approval does not cover this export")
	case !v.Settings().Created.Equal(r.VaultCreated):
		return fault.New(fault.Denied, "OtherVault", "the vault %s is not the one that the request is about: it was made anew", v.Name)
	}
	return allowed(v, r.Keys) // it may have been forbidden since
}

func (s *Service) record(ctx context.Context, c access.Caller, op object.Operation, r Request, more map[audit.Field]string) error {
	details := map[audit.Field]string{audit.Request: r.ID, audit.Digest: r.Digest}
	for f, v := range more {
		details[f] = v
	}
	return s.shelf.Done(ctx, c, op, object.Ref{Vault: r.Vault}, details)
}

// Write writes the file, encrypted. After an error what was written is no whole file, and
// age says so. It holds one version of one object in memory at a time.
func (f *File) Write(ctx context.Context, w io.Writer) error {
	select {
	case f.s.exporting <- struct{}{}:
		defer func() { <-f.s.exporting }()
	default:
		return fault.New(fault.Unavailable, "Busy", "other exports are being fetched; try again in a moment")
	}
	sealed, err := age.Encrypt(w, f.to...)
	if err != nil {
		return fmt.Errorf("export vault %s: %w", f.vault.Name, err)
	}
	m, err := f.s.pack(ctx, f.vault, f.of, sealed)
	if err != nil {
		return fmt.Errorf("export vault %s: %w", f.vault.Name, err)
	}
	if err := sealed.Close(); err != nil {
		return err
	}
	return f.fetched(ctx, m)
}

// fetched notes that the requester has it all.
func (f *File) fetched(ctx context.Context, m archive.Manifest) error {
	objects := 0
	for _, n := range m.Objects {
		objects += n
	}
	_, err := f.s.change(ctx, f.of.Vault, f.of.ID, func(ctx context.Context, r *Request) error {
		if r.State == Approved || r.State == Expired { // while it was written
			r.State = Fetched
		}
		if err := f.s.record(ctx, f.caller, complete, *r, map[audit.Field]string{audit.Count: strconv.Itoa(objects)}); err != nil {
			return err
		}
		return f.s.announce(ctx, "Chatelaine.VaultExported", *r)
	})
	return err
}
