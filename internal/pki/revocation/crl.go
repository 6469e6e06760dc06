package revocation

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
)

const (
	maxRaces = 10  // rebuilds of one CRL that other nodes outrun
	page     = 100 // authorities looked at in one query
)

// Current returns the published CRL of an authority. It is public: anyone may ask.
// fault.NotFound.
func (s *Service) Current(ctx context.Context, authority string) (CRL, error) {
	if !profile.ValidID(authority) {
		return CRL{}, fault.New(fault.NotFound, "UnknownAuthority", "there is no such authority")
	}
	return s.c.Store.CRL(ctx, authority)
}

// RebuildArgs are the arguments of the scheduled work that RebuildDue does, for job.Queue.
type RebuildArgs struct{}

// Kind implements job.Args.
func (RebuildArgs) Kind() string { return "pki.rebuild-crls" }

// HandleRebuild runs RebuildDue as a job. Running it twice does no harm.
func (s *Service) HandleRebuild(ctx context.Context, _ RebuildArgs) error { return s.RebuildDue(ctx) }

// RebuildDue publishes a CRL for every authority that has none, whose CRL lacks a
// revocation, or whose CRL is old. It is cheap when nothing is due; call it at the start
// and every minute. One authority that fails does not stop the others.
func (s *Service) RebuildDue(ctx context.Context) error {
	now := s.c.Now()
	var errs []error
	for after := ""; ; {
		due, err := s.c.Store.Due(ctx, now.Add(-s.c.Refresh), now.Add(s.c.Lifetime-s.c.Refresh), after, page)
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

// publish makes the next CRL of an authority, unless another node has published one that
// covers count revocations in the meantime. count 0: make one in any case, once.
func (s *Service) publish(ctx context.Context, c access.Caller, authority string, count int64) error {
	issuer, err := s.c.Authorities.Issuer(ctx, authority)
	if err != nil {
		return fmt.Errorf("CRL of %s: %w", authority, err)
	}
	for try := range maxRaces {
		previous, err := s.c.Store.CRL(ctx, authority)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return fmt.Errorf("CRL of %s: %w", authority, err)
		}
		if (count > 0 || try > 0) && previous.Covers >= count && previous.Number > 0 {
			return nil
		}
		next, err := s.build(ctx, issuer, previous)
		if err != nil {
			return fmt.Errorf("CRL of %s: %w", authority, err)
		}
		err = s.c.Transact(ctx, func(ctx context.Context) error {
			if err := s.c.Store.PublishCRL(ctx, next, previous.Number); err != nil {
				return err
			}
			r := c.Record("CrlPublish", "/authorities/"+authority+"/crl")
			r.Details[audit.Issuer] = authority
			r.Details[audit.Number] = strconv.FormatInt(next.Number, 10)
			r.Details[audit.Count] = strconv.Itoa(next.Entries)
			r.Details[audit.Fingerprint] = next.SHA256
			return s.c.Audit.Record(ctx, r)
		})
		if !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return fault.New(fault.Unavailable, "Busy", "CRL of %s: other nodes publish all the time", authority)
}

// build makes the CRL that follows previous.
//
// Its number is the time in seconds, or one more than the previous if that is larger: it
// grows when the clock goes back, and when the database is restored from a backup. Its
// thisUpdate never goes back either. A certificate that expired leaves the list only
// after it was on one whose thisUpdate lies behind its expiry (RFC 5280 section 3.3).
func (s *Service) build(ctx context.Context, issuer issuance.Issuer, previous CRL) (CRL, error) {
	// First the count, then the entries: these hold at least as many as the count says.
	covers, err := s.c.Store.Revocations(ctx, issuer.ID)
	if err != nil {
		return CRL{}, err
	}
	entries, err := s.c.Store.Entries(ctx, issuer.ID, previous.ThisUpdate, previous.Covers)
	if err != nil {
		return CRL{}, err
	}
	this := s.c.Now().UTC().Truncate(time.Second)
	if this.Before(previous.ThisUpdate) {
		s.c.Log.Warn("the clock went back; the CRL keeps the later time", "authority", issuer.ID, "now", this, "thisUpdate", previous.ThisUpdate)
		this = previous.ThisUpdate
	}
	list := &x509.RevocationList{RevokedCertificateEntries: make([]x509.RevocationListEntry, 0, len(entries))}
	for _, e := range entries {
		line, err := e.line()
		if err != nil {
			return CRL{}, err
		}
		if this.Before(line.RevocationTime) { // revoked by a node whose clock is ahead
			this = line.RevocationTime
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, line)
	}
	number := max(previous.Number+1, this.Unix())
	list.Number, list.ThisUpdate, list.NextUpdate = big.NewInt(number), this, this.Add(s.c.Lifetime)
	der, err := x509.CreateRevocationList(rand.Reader, list, issuer.Certificate, issuer.Signer)
	if err != nil {
		return CRL{}, fmt.Errorf("sign: %w", err)
	}
	sum := sha256.Sum256(der)
	return CRL{
		Authority: issuer.ID, Number: number, Covers: covers, Entries: len(entries), SHA256: hex.EncodeToString(sum[:]),
		ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate, DER: der,
	}, nil
}

// line is the entry as X.509 has it.
func (e Entry) line() (x509.RevocationListEntry, error) {
	serial, ok := new(big.Int).SetString(e.Serial, 16)
	reason, err := code(e.Reason)
	if !ok || err != nil {
		return x509.RevocationListEntry{}, fmt.Errorf("stored revocation of %q for %q is not readable", e.Serial, e.Reason)
	}
	return x509.RevocationListEntry{SerialNumber: serial, RevocationTime: e.RevokedAt.UTC().Truncate(time.Second), ReasonCode: reason}, nil
}

// fingerprint reads a SHA-256 in hex, with or without colons, in either case.
func fingerprint(text string) (string, error) {
	digits := strings.ToLower(strings.ReplaceAll(text, ":", ""))
	if b, err := hex.DecodeString(digits); err != nil || len(b) != sha256.Size {
		return "", fault.New(fault.Invalid, "BadFingerprint", "%.80q is no SHA-256; write 64 hex digits", text)
	}
	return digits, nil
}
