package certificates

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/object"
)

// Listing is a part of a list. Next is empty at the end.
type Listing struct {
	Certificates []Certificate
	Next         string
}

// List returns live certificates by name. Those that have no version yet are among them
// only with pending; a page may therefore be short.
func (s *Service) List(ctx context.Context, c access.Caller, vault string, p object.Page, pending bool) (Listing, error) {
	l, err := s.shelf.List(ctx, c, vault, p)
	return listing(l, err, pending)
}

// ListDeleted returns deleted certificates by name, as List does.
func (s *Service) ListDeleted(ctx context.Context, c access.Caller, vault string, p object.Page, pending bool) (Listing, error) {
	l, err := s.shelf.ListDeleted(ctx, c, vault, p)
	return listing(l, err, pending)
}

// Versions returns the versions of a certificate, oldest first.
func (s *Service) Versions(ctx context.Context, c access.Caller, r object.Ref, p object.Page) (Listing, error) {
	l, err := s.shelf.Versions(ctx, c, r, p)
	return listing(l, err, false)
}

func listing(l object.Listing, err error, pending bool) (Listing, error) {
	if err != nil {
		return Listing{}, err
	}
	out := Listing{Next: l.Next, Certificates: make([]Certificate, 0, len(l.Entries))}
	for _, e := range l.Entries {
		cert, err := see(e)
		if err != nil {
			return Listing{}, err
		}
		if cert.Issued() || pending {
			out.Certificates = append(out.Certificates, cert)
		}
	}
	return out, nil
}
