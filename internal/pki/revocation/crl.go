package revocation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/revocation/list"
)

const (
	maxRaces = 10     // rebuilds of one CRL that other nodes outrun
	page     = 100    // authorities looked at in one query
	maxDelta = 50_000 // changes on a delta; with more the next delta begins anew
)

// RebuildArgs are the arguments of the scheduled work that RebuildDue does, for job.Queue.
type RebuildArgs struct{}

// Kind implements job.Args.
func (RebuildArgs) Kind() string { return "pki.rebuild-crls" }

// HandleRebuild runs RebuildDue as a job. Running it twice does no harm.
func (s *Service) HandleRebuild(ctx context.Context, _ RebuildArgs) error { return s.RebuildDue(ctx) }

// RebuildDue publishes a CRL for every authority that has none, whose CRL lacks a
// change, or whose CRL is old. It is cheap when nothing is due; call it at the start
// and every minute. One authority that fails does not stop the others.
func (s *Service) RebuildDue(ctx context.Context) error {
	now := s.c.Now()
	var errs []error
	for after := ""; ; {
		due, err := s.c.Store.Due(ctx, DueQuery{
			ThisUpdate: now.Add(-s.c.Refresh), NextUpdate: now.Add(s.c.Lifetime - s.c.Refresh), Parts: s.c.StatusURL != "", After: after, Limit: page,
		})
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("find CRLs that are due: %w", err))...)
		}
		for _, id := range due {
			if err := s.publish(ctx, access.System("crl"), id, 0); err != nil {
				errs = append(errs, err)
			}
			after = id
		}
		if len(due) < page {
			return errors.Join(errs...)
		}
	}
}

// publish makes the next CRLs of an authority, unless a list that covers count changes was
// published in the meantime. count 0: make one in any case, once. Who waits for another
// publication of this node is often served by it.
func (s *Service) publish(ctx context.Context, c access.Caller, authority string, count int64) error {
	b := s.bookOf(authority)
	b.mu.Lock()
	defer b.mu.Unlock()
	issuer, err := s.c.Authorities.Issuer(ctx, authority)
	if err != nil {
		return fmt.Errorf("CRL of %s: %w", authority, err)
	}
	for try := range maxRaces {
		previous, err := s.c.Store.Head(ctx, authority, "")
		if err != nil && !fault.Is(err, fault.NotFound) {
			return fmt.Errorf("CRL of %s: %w", authority, err)
		}
		if (count > 0 || try > 0) && previous.Covers >= count && previous.Number > 0 {
			return nil
		}
		whole, others, err := s.build(ctx, b, issuer, previous)
		if err != nil {
			return fmt.Errorf("CRL of %s: %w", authority, err)
		}
		err = s.c.Transact(ctx, func(ctx context.Context) error {
			if err := s.c.Store.PublishCRL(ctx, whole, others, previous.Number); err != nil {
				return err
			}
			r := c.Record("CrlPublish", "/authorities/"+authority+"/crl")
			r.Details[audit.Issuer] = authority
			r.Details[audit.Number] = strconv.FormatInt(whole.Number, 10)
			r.Details[audit.Count] = strconv.Itoa(whole.Entries)
			r.Details[audit.Fingerprint] = whole.SHA256
			return s.c.Audit.Record(ctx, r)
		})
		if !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return fault.New(fault.Unavailable, "Busy", "CRL of %s: other nodes publish all the time", authority)
}

// build makes the lists that follow previous: the whole one, the delta and those parts
// that changed or are old.
//
// Their number is the time in seconds, or one more than the previous if that is larger: it
// grows when the clock goes back, and when the database is restored from a backup. Their
// thisUpdate never goes back either. A whole list and the delta of the same moment have the
// same number (RFC 5280 section 5.2.3).
func (s *Service) build(ctx context.Context, b *book, issuer issuance.Issuer, previous CRL) (CRL, []CRL, error) {
	now := s.c.Now().UTC().Truncate(time.Second)
	if now.Before(previous.ThisUpdate) {
		s.c.Log.Warn("the clock went back; the CRL keeps the later time", "authority", issuer.ID, "now", now, "thisUpdate", previous.ThisUpdate)
		now = previous.ThisUpdate
	}
	if err := s.bring(ctx, b, previous, now); err != nil {
		return CRL{}, nil, err
	}
	if latest := b.entries.Latest(); now.Before(latest) { // revoked by a node whose clock is ahead
		now = latest
	}
	w := writer{s: s, issuer: issuer, now: now, number: max(previous.Number+1, now.Unix()), covers: b.covers}
	base, delta, err := s.delta(ctx, previous, w)
	if err != nil {
		return CRL{}, nil, err
	}
	l := list.List{Entries: b.entries}
	if s.c.StatusURL != "" {
		l.Freshest = issuance.ListAddress(s.c.StatusURL, issuer.ID, Delta)
	}
	whole, err := w.write("", l)
	if err != nil {
		return CRL{}, nil, err
	}
	whole.Base = base
	changes, err := w.write(Delta, list.List{Entries: delta, Base: base.Number})
	if err != nil {
		return CRL{}, nil, err
	}
	parts, err := s.parts(ctx, previous, w)
	return whole, append(parts, changes), err
}

// delta returns where the delta begins, and its entries. It begins at the previous list
// when the base is old or lies too far back: who has that list can go on from it.
func (s *Service) delta(ctx context.Context, previous CRL, w writer) (Base, list.Entries, error) {
	base := previous.Base
	if base.Number == 0 || base.At.Before(w.now.Add(-s.c.Lifetime/2)) {
		base = Base{Number: previous.Number, Covers: previous.Covers, At: previous.ThisUpdate}
	}
	if base.Number == 0 { // the first list
		return Base{Number: w.number, Covers: w.covers, At: w.now}, list.Entries{}, nil
	}
	changes, err := s.c.Store.Changes(ctx, w.issuer.ID, base.Covers, maxDelta+1)
	if err != nil {
		return base, list.Entries{}, err
	}
	if len(changes) > maxDelta {
		return Base{Number: w.number, Covers: w.covers, At: w.now}, list.Entries{}, nil
	}
	lines := make([]list.Change, 0, len(changes))
	for _, c := range changes {
		l, err := c.line()
		if err != nil {
			return base, list.Entries{}, err
		}
		if l.Gone { // any list since the base may have it, section 5.3.1
			l.Gone, l.Reason, l.RevokedAt, l.InvalidSince = false, list.RemoveFromCRL, w.now, time.Time{}
		}
		lines = append(lines, l)
	}
	entries, err := list.Entries{}.With(lines)
	return base, entries, err
}

// parts makes the parts that lack a change, are old or are not there yet.
func (s *Service) parts(ctx context.Context, previous CRL, w writer) ([]CRL, error) {
	n, err := s.c.Store.Partitions(ctx, w.issuer.ID)
	if err != nil || n == 0 || s.c.StatusURL == "" {
		return nil, err
	}
	published, err := s.c.Store.Published(ctx, w.issuer.ID)
	if err != nil {
		return nil, err
	}
	fresh := map[string]CRL{}
	for _, p := range published {
		fresh[p.Part] = p
	}
	changes, err := s.c.Store.Changes(ctx, w.issuer.ID, previous.Covers, maxDelta+1)
	if err != nil {
		return nil, err
	}
	changed := map[int]bool{}
	for _, c := range changes {
		changed[c.Part] = true
	}
	var out []CRL
	for i := 1; i <= n; i++ {
		name := strconv.Itoa(i)
		p, ok := fresh[name]
		if ok && !changed[i] && len(changes) <= maxDelta && p.ThisUpdate.After(w.now.Add(-s.c.Refresh)) {
			continue
		}
		entries, err := s.read(ctx, Scope{Authority: w.issuer.ID, Part: i, Expires: p.ThisUpdate, Covered: p.Covers})
		if err != nil {
			return nil, err
		}
		at := w
		if p.ThisUpdate.After(at.now) {
			at.now = p.ThisUpdate
		}
		made, err := at.write(name, list.List{Entries: entries, Scope: issuance.ListAddress(s.c.StatusURL, w.issuer.ID, name)})
		if err != nil {
			return nil, err
		}
		out = append(out, made)
	}
	return out, nil
}

// writer signs the lists of one moment.
type writer struct {
	s      *Service
	issuer issuance.Issuer
	now    time.Time
	number int64
	covers int64
}

func (w writer) write(part string, l list.List) (CRL, error) {
	if latest := l.Entries.Latest(); w.now.Before(latest) { // committed since the whole list was read
		w.now = latest
	}
	l.Number, l.ThisUpdate, l.NextUpdate = w.number, w.now, w.now.Add(w.s.c.Lifetime)
	der, err := l.Sign(w.issuer.Certificate, w.issuer.Signer)
	if err != nil {
		return CRL{}, fmt.Errorf("sign: %w", err)
	}
	sum := sha256.Sum256(der)
	return CRL{
		Authority: w.issuer.ID, Part: part, Number: w.number, Covers: w.covers, Entries: l.Entries.Len(), SHA256: hex.EncodeToString(sum[:]),
		ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate, DER: der,
	}, nil
}

// fingerprint reads a SHA-256 in hex, with or without colons, in either case.
func fingerprint(text string) (string, error) {
	digits := strings.ToLower(strings.ReplaceAll(text, ":", ""))
	if b, err := hex.DecodeString(digits); err != nil || len(b) != sha256.Size {
		return "", fault.New(fault.Invalid, "BadFingerprint", "%.80q is no SHA-256; write 64 hex digits", text)
	}
	return digits, nil
}
