package acme

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme/renewal"
	"chatelaine.dev/internal/pki/profile"
)

// RenewalInfo is what a client is told (RFC 9773 section 4.2).
type RenewalInfo struct {
	renewal.Window
	Explanation string
	RetryAfter  time.Duration
}

// askAgain is how often clients should ask: soon enough for a window of tomorrow.
const askAgain = 6 * time.Hour

// RenewalInfo says when the certificate should be renewed. Anybody may ask: who knows the
// id has seen the certificate.
func (s *Service) RenewalInfo(ctx context.Context, server Server, id string) (RenewalInfo, error) {
	if !renewal.ValidID(id) {
		return RenewalInfo{}, problem("malformed", "the certificate's id is base64url of its authority key id, a dot, and base64url of its serial (RFC 9773 section 4.1)")
	}
	o, err := s.Orders.OrderByRenewalID(ctx, id)
	if err == nil && o.Profile != server.Profile.Name {
		err = fault.New(fault.NotFound, "", "another server's")
	}
	if fault.Is(err, fault.NotFound) {
		return RenewalInfo{}, fault.New(fault.NotFound, "UnknownCertificate", "this server did not issue the certificate")
	}
	if err != nil {
		return RenewalInfo{}, err
	}
	info := RenewalInfo{Window: renewal.Usual(o.Certificate.NotBefore, o.Certificate.NotAfter), RetryAfter: askAgain}
	revoked, err := s.Ledger.Revoked(ctx, o.Certificate.SHA256)
	if err != nil {
		return info, err
	}
	if revoked {
		info.Window = renewal.AtOnce(s.Now())
		return info, nil
	}
	return s.moved(ctx, o, info)
}

// moved is the earliest of the usual window and those that operators have set.
func (s *Service) moved(ctx context.Context, o Order, info RenewalInfo) (RenewalInfo, error) {
	// A window that is over still says that the certificate should have been renewed.
	windows, err := s.Keys.Windows(ctx, s.Now().Add(-windowMemory), maxWindows)
	if err != nil || len(windows) == 0 {
		return info, err
	}
	account, err := s.Store.Account(ctx, o.Account)
	if err != nil {
		return info, err
	}
	for _, w := range windows {
		if w.covers(o, account) && w.End.Before(info.End) {
			info.Window, info.Explanation = renewal.Window{Start: w.Start, End: w.End}, w.Explanation
		}
	}
	return info, nil
}

// covers reports whether a window means the certificate of an order.
func (w Window) covers(o Order, a Account) bool {
	c := o.Certificate
	if w.Profile != "" && w.Profile != o.Profile || w.Account != "" && w.Account != o.Account || w.Owner != "" && w.Owner != a.Owner ||
		w.SHA256 != "" && w.SHA256 != c.SHA256 || c.Issued.After(w.Issued) {
		return false
	}
	if w.Issuer != "" && !slices.ContainsFunc(c.Chain, func(der []byte) bool { s := sha256.Sum256(der); return hex.EncodeToString(s[:]) == w.Issuer }) {
		return false
	}
	return w.Name == "" || slices.ContainsFunc(o.Identifiers, func(i Identifier) bool { return i.Value == w.Name || profile.Allowed([]string{w.Name}, i.Value) })
}

// mayReplace checks the certificate that an order says it replaces (RFC 9773 section 5).
func (s *Service) mayReplace(ctx context.Context, r Request, id string, ids []Identifier) error {
	if !renewal.ValidID(id) {
		return problem("malformed", "replaces is no id of a certificate (RFC 9773 section 4.1)")
	}
	o, err := s.Orders.OrderByRenewalID(ctx, id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if err != nil || o.Account != r.Account.ID {
		return problem("malformed", "replaces names no certificate that this account got here")
	}
	if o.Certificate.ReplacedBy != "" {
		p := problem("alreadyReplaced", "the certificate was replaced already; order without replaces")
		p.Status = 409
		return p
	}
	if !slices.ContainsFunc(o.Identifiers, func(i Identifier) bool { return slices.Contains(ids, i) }) {
		return problem("malformed", "the certificate that is to be replaced has none of the identifiers of this order")
	}
	return nil
}

const (
	maxWindows = 200
	// windowMemory is how long a window counts after its end.
	windowMemory = 400 * 24 * time.Hour
)

var fingerprint = regexp.MustCompile(`^([0-9a-f]{64})?$`)

// CreateWindow sets a window: everything it covers that was issued until now is to be
// renewed between start (now, when it is zero) and end.
func (s *Service) CreateWindow(ctx context.Context, c access.Caller, w Window) (Window, error) {
	if err := s.Guard.Authorize(ctx, c, Write, access.Root, "AcmeWindowCreate"); err != nil {
		return Window{}, err
	}
	now := s.Now().UTC().Truncate(time.Second)
	w.ID, w.Maker, w.Issued = uuid.NewV7().String(), c.Principal, s.Now().UTC()
	if w.Start.IsZero() {
		w.Start = now
	}
	w.Issuer, w.SHA256, w.Name = strings.ToLower(w.Issuer), strings.ToLower(w.SHA256), lower(w.Name)
	w.Start, w.End = w.Start.UTC().Truncate(time.Second), w.End.UTC().Truncate(time.Second)
	if !w.End.After(w.Start) || !w.End.After(now) || w.End.Sub(now) > 400*24*time.Hour {
		return Window{}, fault.New(fault.Invalid, "BadWindow", "a window ends after it starts, later than now and within 400 days")
	}
	if !fingerprint.MatchString(w.Issuer) || !fingerprint.MatchString(w.SHA256) {
		return Window{}, fault.New(fault.Invalid, "BadFingerprint", "issuer and certificate are named by their SHA-256: 64 hex digits")
	}
	if w.Profile != "" {
		if _, err := s.Server(w.Profile); err != nil {
			return Window{}, fault.New(fault.Invalid, "NoDoor", "profile %.64q has no open ACME door", w.Profile)
		}
	}
	if u, err := url.Parse(w.Explanation); w.Explanation != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(w.Explanation) > maxText) {
		return Window{}, fault.New(fault.Invalid, "BadExplanation", "the explanation is the address of a page, up to %d bytes", maxText)
	}
	if len(w.Owner) > maxText || len(w.Name) > 255 || len(w.Account) > 64 {
		return Window{}, fault.New(fault.Invalid, "BadWindow", "owner, name or account is too long")
	}
	err := s.Transact(ctx, func(ctx context.Context) error {
		list, err := s.Keys.Windows(ctx, now.Add(-windowMemory), maxWindows)
		if err != nil {
			return err
		}
		if len(list) >= maxWindows {
			return fault.New(fault.Conflict, "TooManyWindows", "there are %d windows already; delete one that is over", maxWindows)
		}
		if err := s.Keys.InsertWindow(ctx, w); err != nil {
			return err
		}
		return s.Audit.Record(ctx, w.record(c, "AcmeWindowCreate"))
	})
	return w, err
}

func (w Window) record(c access.Caller, operation string) audit.Record {
	rec := c.Record(operation, "/acme/windows/"+w.ID)
	rec.Details[audit.Profile], rec.Details[audit.Owner] = w.Profile, w.Owner
	return rec
}

// Windows returns the windows that count, by id.
func (s *Service) Windows(ctx context.Context, c access.Caller) ([]Window, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "AcmeWindowList"); err != nil {
		return nil, err
	}
	return s.Keys.Windows(ctx, s.Now().Add(-windowMemory), maxWindows)
}

// DeleteWindow takes a window back.
func (s *Service) DeleteWindow(ctx context.Context, c access.Caller, id string) error {
	if err := s.Guard.Authorize(ctx, c, Write, access.Root, "AcmeWindowDelete"); err != nil {
		return err
	}
	return s.Transact(ctx, func(ctx context.Context) error {
		if err := s.Keys.DeleteWindow(ctx, id); err != nil {
			return err
		}
		return s.Audit.Record(ctx, Window{ID: id}.record(c, "AcmeWindowDelete"))
	})
}
