package certificates

import (
	"context"
	"slices"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/object"
)

// List returns live certificates by name. Those that have no version yet are among them
// only with pending; a page may therefore be short. Of reads an entry.
func (s *Service) List(ctx context.Context, c access.Caller, vault string, p object.Page, pending bool) (object.Listing, error) {
	l, err := s.shelf.List(ctx, c, vault, p)
	return listing(l, err, pending)
}

// ListDeleted returns deleted certificates by name, as List does.
func (s *Service) ListDeleted(ctx context.Context, c access.Caller, vault string, p object.Page, pending bool) (object.Listing, error) {
	l, err := s.shelf.ListDeleted(ctx, c, vault, p)
	return listing(l, err, pending)
}

// Versions returns the versions of a certificate, oldest first.
func (s *Service) Versions(ctx context.Context, c access.Caller, r object.Ref, p object.Page) (object.Listing, error) {
	l, err := s.shelf.Versions(ctx, c, r, p)
	return listing(l, err, false)
}

// listing leaves out what is only pending, unless it was asked for.
func listing(l object.Listing, err error, pending bool) (object.Listing, error) {
	if err != nil {
		return object.Listing{}, err
	}
	if !pending {
		l.Entries = slices.DeleteFunc(l.Entries, func(e object.Entry) bool { return e.Version.ID == "" })
	}
	return l, nil
}
