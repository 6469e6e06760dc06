package revocation

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"chatelaine.dev/internal/pki/revocation/list"
)

// book is what this process remembers of an authority between two publications: the
// encoded entries of its whole list, some 45 bytes each. It is brought up to date by the
// changes since, and read anew from the database once in Refresh, which is when expired
// certificates leave it.
type book struct {
	authority string

	mu      sync.Mutex // one publication at a time
	read    time.Time  // when all entries were read; zero: never
	covers  int64
	entries list.Entries
}

func (s *Service) bookOf(authority string) *book {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.books[authority]
	if !ok {
		b = &book{authority: authority}
		s.books[authority] = b
	}
	return b
}

// bring brings the book up to date. A certificate that expired leaves the list only after
// it was on one whose thisUpdate lies behind its expiry (RFC 5280 section 3.3), so entries
// are chosen by what the previous list said.
func (s *Service) bring(ctx context.Context, b *book, previous CRL, now time.Time) error {
	// First the count, then the entries: these hold at least as much as the count says.
	covers, err := s.c.Store.Revocations(ctx, b.authority)
	if err != nil {
		return err
	}
	if !b.read.IsZero() && b.covers <= covers && !now.Before(b.read) && now.Sub(b.read) < s.c.Refresh {
		changes, err := s.c.Store.Changes(ctx, b.authority, b.covers, maxDelta+1)
		if err != nil {
			return err
		}
		if len(changes) <= maxDelta {
			return b.apply(changes, covers)
		}
	}
	entries, err := s.read(ctx, Scope{Authority: b.authority, Expires: previous.ThisUpdate, Covered: previous.Covers})
	if err != nil {
		return err
	}
	b.entries, b.covers, b.read = entries, covers, now
	return nil
}

// apply takes what changed since.
func (b *book) apply(changes []Change, covers int64) error {
	if len(changes) == 0 {
		return nil
	}
	lines := make([]list.Change, 0, len(changes))
	for _, c := range changes {
		l, err := c.line()
		if err != nil {
			return err
		}
		lines = append(lines, l)
	}
	entries, err := b.entries.With(lines)
	if err != nil {
		return err
	}
	b.entries, b.covers = entries, max(covers, changes[len(changes)-1].Count)
	return nil
}

// read reads the entries of a scope.
func (s *Service) read(ctx context.Context, scope Scope) (list.Entries, error) {
	var b list.Builder
	err := s.c.Store.Entries(ctx, scope, func(e Entry) error {
		line, err := e.line()
		if err != nil {
			return err
		}
		return b.Add(line)
	})
	return b.Entries(), err
}

// line is the entry as a list has it.
func (e Entry) line() (list.Entry, error) {
	serial, err := hex.DecodeString(e.Serial)
	reason, unknown := code(e.Reason)
	if err != nil || unknown != nil {
		return list.Entry{}, fmt.Errorf("stored revocation of %q for %q is not readable", e.Serial, e.Reason)
	}
	l := list.Entry{Serial: bytes.TrimLeft(serial, "\x00"), RevokedAt: e.RevokedAt.UTC().Truncate(time.Second), Reason: reason}
	if !e.InvalidSince.IsZero() {
		l.InvalidSince = e.InvalidSince.UTC().Truncate(time.Second)
	}
	return l, nil
}

func (c Change) line() (list.Change, error) {
	if c.Released {
		serial, err := hex.DecodeString(c.Serial)
		return list.Change{Gone: true, Entry: list.Entry{Serial: serial}}, err
	}
	e, err := c.Entry.line()
	return list.Change{Entry: e}, err
}
