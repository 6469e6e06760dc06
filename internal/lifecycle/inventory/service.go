package inventory

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/inventory/filter"
)

// The actions that this service authorises, at the scope "/".
const (
	Read  access.Action = "Chatelaine/certificates/read"
	Write access.Action = "Chatelaine/certificates/write"

	root = access.Root
)

// Deps are what the service needs. All are required.
type Deps struct {
	Store    Store
	Reader   Reader
	Judge    Judge
	Transact audit.Transact
	Audit    audit.Recorder
	Guard    access.Guard
	Events   event.Emitter
	Now      func() time.Time
	Log      *slog.Logger
}

// Service is the inventory.
type Service struct {
	Deps
	counts counts
}

// New makes the service.
func New(d Deps) *Service { return &Service{Deps: d} }

const (
	defaultLimit = 50
	maxLimit     = 500
)

// ListOptions ask for a page of the inventory.
type ListOptions struct {
	Filter string // see package filter; empty for all
	Sort   string // a field of Sortable, "-" before it for the other direction; empty for expires
	Cursor string // Next of the page before
	Limit  int    // 1 to 500; 0 for 50
}

// Page is a part of a list.
type Page struct {
	Certificates []Summary `json:"certificates"`
	Next         string    `json:"next,omitempty"` // cursor of the next page; empty at the end
}

// cursor is what Next holds. It names the order and the filter that it belongs to.
type cursor struct {
	Sort   string `json:"s"`
	Filter string `json:"f"` // hash
	Position
}

// List returns a page of certificates. Pages stay in order while the inventory changes:
// a certificate that is there throughout is on exactly one of them.
func (s *Service) List(ctx context.Context, c access.Caller, o ListOptions) (Page, error) {
	if err := s.Guard.Authorize(ctx, c, Read, root, "CertificateList"); err != nil {
		return Page{}, err
	}
	now := s.Now()
	f, err := filter.Parse(o.Filter, now)
	if err != nil {
		return Page{}, err
	}
	q, err := query(o, f)
	if err != nil {
		return Page{}, err
	}
	limit := q.Limit
	q.Limit++ // one more tells whether there is a next page
	rows, err := s.Reader.List(ctx, q)
	if err != nil {
		return Page{}, err
	}
	p := Page{Certificates: rows}
	if len(rows) > limit {
		p.Certificates = rows[:limit]
		p.Next, err = encode(cursor{Sort: o.Sort, Filter: hexSHA256([]byte(o.Filter))[:16], Position: position(q.Sort, rows[limit-1])})
	}
	for i := range p.Certificates {
		complete(&p.Certificates[i].Annotations, now, p.Certificates[i].NotBefore, p.Certificates[i].NotAfter)
	}
	return p, err
}

func query(o ListOptions, f filter.Node) (Query, error) {
	q := Query{Filter: f, Limit: o.Limit, Sort: filter.Field(strings.TrimPrefix(o.Sort, "-")), Descending: strings.HasPrefix(o.Sort, "-")}
	if o.Sort == "" {
		q.Sort = filter.Expires
	}
	if !slices.Contains(Sortable(), q.Sort) {
		return q, fault.New(fault.Invalid, "InvalidSort", "a list cannot be sorted by %q; use one of %v", q.Sort, Sortable())
	}
	if q.Limit == 0 {
		q.Limit = defaultLimit
	}
	if q.Limit < 1 || q.Limit > maxLimit {
		return q, fault.New(fault.Invalid, "InvalidLimit", "a page has 1 to %d rows, not %d", maxLimit, q.Limit)
	}
	if o.Cursor == "" {
		return q, nil
	}
	var c cursor
	b, err := base64.RawURLEncoding.DecodeString(o.Cursor)
	if err != nil || json.Unmarshal(b, &c) != nil || clean(c.Text+c.SHA256) != c.Text+c.SHA256 || c.Sort != o.Sort || c.Filter != hexSHA256([]byte(o.Filter))[:16] {
		return q, fault.New(fault.Invalid, "InvalidCursor", "this cursor belongs to another list; begin again without one")
	}
	q.After = &c.Position
	return q, nil
}

func encode(c cursor) (string, error) {
	b, err := json.Marshal(c)
	return base64.RawURLEncoding.EncodeToString(b), err
}

// position is a row's place in the order of a column, as the store sorts it.
func position(sort filter.Field, r Summary) Position {
	p := Position{SHA256: r.SHA256}
	switch sort {
	case filter.Name:
		p.Text = Fold(r.Name)
	case filter.Issuer:
		p.Text = Fold(r.Issuer)
	case filter.Expires:
		p.Number = Instant(r.NotAfter)
	case filter.Issued:
		p.Number = Instant(r.NotBefore)
	case filter.Lifetime:
		p.Number = int64((&Certificate{NotBefore: r.NotBefore, NotAfter: r.NotAfter}).Lifetime() / time.Second)
	case filter.KeySize:
		p.Number = int64(r.Key.Size)
	case filter.Grade:
		p.Number = int64(r.Score)
	case filter.FirstSeen:
		p.Number = Instant(r.FirstSeen)
	case filter.LastSeen:
		p.Number = Instant(r.LastSeen)
	}
	return p
}

// Fold is the form in which texts are compared and sorted: in lower case, and cut to
// 2,048 bytes, because lower case may be longer and an index of PostgreSQL takes no more than 2,700.
func Fold(s string) string {
	s = strings.ToLower(s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// Never is a time that is unknown, as it is stored: after every other.
const Never = int64(math.MaxInt64)

// Instant is how the inventory stores a time that may be unknown: microseconds since 1970, or Never.
func Instant(t time.Time) int64 {
	if t.IsZero() {
		return Never
	}
	return t.UnixMicro()
}

// complete fills what follows from the stored columns and the time.
func complete(a *Annotations, now, notBefore, notAfter time.Time) {
	a.Status = StatusAt(now, notBefore, notAfter, a.RevokedAt)
	a.Grade = Letter(a.Score)
}

// Letter is the grade of a score.
func Letter(score int) string {
	for _, l := range []string{"A", "B", "C", "D"} {
		if low, _, _ := filter.Letter(l); int64(score) >= low {
			return l
		}
	}
	return "F"
}

// Count is the exact number of certificates that a filter matches.
func (s *Service) Count(ctx context.Context, c access.Caller, text string) (int64, error) {
	if err := s.Guard.Authorize(ctx, c, Read, root, "CertificateCount"); err != nil {
		return 0, err
	}
	f, err := filter.Parse(text, s.Now())
	if err != nil {
		return 0, err
	}
	return s.Reader.Count(ctx, f)
}

// Detail is everything about one certificate.
type Detail struct {
	Entry
	Installations []Installation `json:"installations"` // at most 500
	Findings      []Finding      `json:"findings"`
	History       []Change       `json:"history"` // newest first, at most 500
	Issuers       []Link         `json:"issuers"` // the chain as far as the inventory knows it, the issuer first
}

// Link is one certificate of a chain.
type Link struct {
	SHA256   string    `json:"sha256"`
	Name     string    `json:"name"`
	NotAfter time.Time `json:"notAfter,omitzero"`
}

// Get returns one certificate by its SHA-256 (hex).
func (s *Service) Get(ctx context.Context, c access.Caller, sha256 string) (Detail, error) {
	var d Detail
	if err := s.Guard.Authorize(ctx, c, Read, root, "CertificateGet"); err != nil {
		return d, err
	}
	e, err := s.entry(ctx, sha256)
	if err != nil {
		return d, err
	}
	d.Entry = e
	complete(&d.Annotations, s.Now(), e.NotBefore, e.NotAfter)
	if d.Installations, err = s.Reader.Installations(ctx, e.SHA256, maxLimit); err != nil {
		return d, err
	}
	if d.Findings, err = s.Reader.Findings(ctx, e.SHA256); err != nil {
		return d, err
	}
	if d.History, err = s.Reader.History(ctx, e.SHA256, maxLimit); err != nil {
		return d, err
	}
	candidates, err := s.issuers(ctx, e.Certificate, issuerCache{})
	if err != nil {
		return d, err
	}
	for _, i := range Chain(e.Certificate, candidates) {
		d.Issuers = append(d.Issuers, Link{i.SHA256, i.Name, i.NotAfter})
	}
	return d, nil
}

func (s *Service) entry(ctx context.Context, sha256 string) (Entry, error) {
	sha256 = strings.ToLower(strings.ReplaceAll(sha256, ":", ""))
	if b, err := hex.DecodeString(sha256); err != nil || len(b) != 32 {
		return Entry{}, fault.New(fault.Invalid, "InvalidFingerprint", "%.64q is no SHA-256 fingerprint of 64 hex digits", sha256)
	}
	e, err := s.Reader.Entry(ctx, sha256)
	if fault.Is(err, fault.NotFound) {
		return e, fault.New(fault.NotFound, "CertificateNotFound", "there is no certificate %.64q in the inventory", sha256)
	}
	return e, err
}

// Chain follows a certificate to its issuers among the candidates, by name and signature,
// until one is self-signed or none fits.
func Chain(c *Certificate, candidates []*Certificate) []*Certificate {
	var chain []*Certificate
	for len(chain) < maxChainDepth && !c.SelfSigned {
		i := slices.IndexFunc(candidates, func(i *Certificate) bool {
			return i.SHA256 != c.SHA256 && i.IsSubject(c) && c.SignedBy(i) == nil && !slices.Contains(chain, i)
		})
		if i < 0 {
			break
		}
		c = candidates[i]
		chain = append(chain, c)
	}
	return chain
}

// IsSubject reports whether the certificate bears the name of the other's issuer.
func (c *Certificate) IsSubject(issued *Certificate) bool {
	return len(c.raw.subject) > 2 && string(c.raw.subject) == string(issued.raw.issuer)
}

// Endpoints lists the latest known certificate of every place of a source ("" for all), by ID.
func (s *Service) Endpoints(ctx context.Context, c access.Caller, q EndpointQuery) ([]Installation, error) {
	if err := s.Guard.Authorize(ctx, c, "Chatelaine/endpoints/read", root, "EndpointList"); err != nil {
		return nil, err
	}
	q.Source, q.After = clean(q.Source), clean(q.After)
	if q.Limit == 0 {
		q.Limit = defaultLimit
	}
	if q.Limit < 1 || q.Limit > maxLimit {
		return nil, fault.New(fault.Invalid, "InvalidLimit", "a page has 1 to %d rows, not %d", maxLimit, q.Limit)
	}
	return s.Reader.Endpoints(ctx, q)
}

// SetLineage says which lineage a certificate belongs to and who answers for it: with a
// lineage it is managed, with an owner alone monitored, with neither discovered. Services
// of the lifecycle call it in their own transaction, after they have authorised the
// caller and with a record of their own.
func (s *Service) SetLineage(ctx context.Context, sha256, lineage, owner string) error {
	e, err := s.entry(ctx, sha256)
	if err != nil {
		return err
	}
	stage := Discovered
	switch {
	case lineage != "":
		stage = Managed
	case owner != "":
		stage = Monitored
	}
	return s.Store.SetLineage(ctx, e.SHA256, lineage, clean(owner), stage)
}

// MarkRevoked notes that a certificate was revoked and judges it again. The first time
// and reason stay, unless that was a hold. It is called like SetLineage.
func (s *Service) MarkRevoked(ctx context.Context, sha256 string, at time.Time, reason string) error {
	return s.Transact(ctx, func(ctx context.Context) error {
		e, err := s.entry(ctx, sha256)
		if err != nil {
			return err
		}
		if err := s.Store.SetRevoked(ctx, e.SHA256, at, clean(reason)); err != nil {
			return err
		}
		return s.judge(ctx, e.Certificate, issuerCache{})
	})
}

// MarkReleased notes that a certificate is not on hold any more and judges it again. One
// that is revoked for good stays so. It is called like SetLineage.
func (s *Service) MarkReleased(ctx context.Context, sha256 string) error {
	return s.Transact(ctx, func(ctx context.Context) error {
		e, err := s.entry(ctx, sha256)
		if err != nil {
			return err
		}
		if err := s.Store.SetRevoked(ctx, e.SHA256, time.Time{}, ""); err != nil {
			return err
		}
		return s.judge(ctx, e.Certificate, issuerCache{})
	})
}
