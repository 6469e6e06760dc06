package revocation

import (
	"context"
	"strconv"
	"sync"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/profile"
)

// Actions at "/authorities/{id}", which belong to the authority itself.
const (
	ReadAuthorities  access.Action = "Chatelaine/authorities/read"
	WriteAuthorities access.Action = "Chatelaine/authorities/write"
)

// MaxPartitions bounds the parts of one authority's list. A thousand keep those of ten
// million revoked certificates below half a megabyte.
const MaxPartitions = 1000

// maxShelf bounds the lists in memory, in bytes.
const maxShelf = 256 << 20

// shelf keeps the lists that are asked for, so that no client makes us read forty
// megabytes from the database.
type shelf struct {
	mu    sync.Mutex
	lists map[[2]string]CRL // by authority and part
	size  int
}

// Current returns a published list of an authority: the whole one, Delta or a part. It is
// public: anyone may ask. fault.NotFound.
func (s *Service) Current(ctx context.Context, authority, part string) (CRL, error) {
	if n, err := strconv.Atoi(part); !profile.ValidID(authority) || part != "" && part != Delta && (err != nil || n < 1 || strconv.Itoa(n) != part) {
		return CRL{}, fault.New(fault.NotFound, "UnknownAuthority", "there is no such list")
	}
	head, err := s.c.Store.Head(ctx, authority, part)
	if err != nil {
		return CRL{}, err
	}
	key := [2]string{authority, part}
	s.shelf.mu.Lock()
	kept, ok := s.shelf.lists[key]
	s.shelf.mu.Unlock()
	if ok && kept.Number == head.Number && kept.SHA256 == head.SHA256 {
		return kept, nil
	}
	crl, err := s.c.Store.CRL(ctx, authority, part)
	if err == nil {
		s.shelf.put(key, crl)
	}
	return crl, err
}

func (f *shelf) put(key [2]string, c CRL) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lists == nil || f.size > maxShelf {
		f.lists, f.size = map[[2]string]CRL{}, 0
	}
	f.size += len(c.DER) - len(f.lists[key].DER)
	f.lists[key] = c
}

// Publication is how the lists of an authority stand.
type Publication struct {
	Lists      []CRL // without DER, the whole one first
	Partitions int
	Changes    int64 // revocations and releases so far; lists cover up to that many
}

// Publication returns how the lists of an authority stand; fault.NotFound.
func (s *Service) Publication(ctx context.Context, c access.Caller, authority string) (Publication, error) {
	if err := s.may(ctx, c, ReadAuthorities, authority, "CrlGet"); err != nil {
		return Publication{}, err
	}
	var p Publication
	var err error
	if p.Partitions, err = s.c.Store.Partitions(ctx, authority); err != nil {
		return p, err
	}
	if p.Changes, err = s.c.Store.Revocations(ctx, authority); err != nil {
		return p, err
	}
	p.Lists, err = s.c.Store.Published(ctx, authority)
	return p, err
}

// Partition has an authority's list published in n parts besides the whole one. New
// certificates name the part that they will be on. The number only grows, because
// certificates that name a part need it as long as they live.
func (s *Service) Partition(ctx context.Context, c access.Caller, authority string, n int) (Publication, error) {
	if err := s.may(ctx, c, WriteAuthorities, authority, "CrlPartition"); err != nil {
		return Publication{}, err
	}
	switch {
	case s.c.StatusURL == "":
		return Publication{}, fault.New(fault.Conflict, "NoStatus", "the status listener is off, so nobody could read a part; switch it on first")
	case n < 1 || n > MaxPartitions:
		return Publication{}, fault.New(fault.Invalid, "BadPartitions", "%d parts cannot be; use 1 to %d", n, MaxPartitions)
	}
	err := s.c.Transact(ctx, func(ctx context.Context) error {
		if err := s.c.Store.SetPartitions(ctx, authority, n); err != nil {
			return err
		}
		r := c.Record("CrlPartition", "/authorities/"+authority+"/crl")
		r.Details[audit.Issuer], r.Details[audit.Count] = authority, strconv.Itoa(n)
		return s.c.Audit.Record(ctx, r)
	})
	if err != nil {
		return Publication{}, err
	}
	if err := s.publish(context.WithoutCancel(ctx), c, authority, 0); err != nil {
		s.c.Log.Error("the parts of a CRL are not made yet", "authority", authority, "error", err)
	}
	return s.Publication(ctx, access.System("crl"), authority)
}

// Publish makes the next lists of an authority now.
func (s *Service) Publish(ctx context.Context, c access.Caller, authority string) (Publication, error) {
	if err := s.may(ctx, c, WriteAuthorities, authority, "CrlPublish"); err != nil {
		return Publication{}, err
	}
	if _, err := s.c.Store.Revocations(ctx, authority); err != nil {
		return Publication{}, err
	}
	if err := s.publish(ctx, c, authority, 0); err != nil {
		return Publication{}, err
	}
	return s.Publication(ctx, access.System("crl"), authority)
}

// may authorises at the scope of one authority.
func (s *Service) may(ctx context.Context, c access.Caller, a access.Action, authority, operation string) error {
	scope := access.Scope("/authorities")
	if profile.ValidID(authority) {
		scope += access.Scope("/" + authority)
	}
	if err := s.c.Guard.Authorize(ctx, c, a, scope, operation); err != nil {
		return err
	}
	if !profile.ValidID(authority) {
		return fault.New(fault.NotFound, "UnknownAuthority", "there is no authority %.64q", authority)
	}
	return nil
}
