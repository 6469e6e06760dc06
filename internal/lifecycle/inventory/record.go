package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
)

// Recorded counts what a Record did.
type Recorded struct {
	Certificates int // certificates that were seen, chains included
	New          int // of them, never seen before
	Changed      int // places whose state or certificate changed
}

// look is an observation that is parsed and ready to be stored.
type look struct {
	Observation
	certificate *Certificate
	chain       []*Certificate
}

// Record stores what was observed, in one transaction: certificates, installations,
// their history, and a new judgement of each certificate. The same observations again
// change nothing. An observation that is older than the last look at its place adds its
// certificate but not its state; one that saw nothing at a place where nothing was ever
// seen adds nothing. At most 1,000 observations.
func (s *Service) Record(ctx context.Context, c access.Caller, observations []Observation) (Recorded, error) {
	var done Recorded
	if err := s.Guard.Authorize(ctx, c, Write, root, "ObservationRecord"); err != nil {
		return done, err
	}
	if len(observations) > maxObservations {
		return done, fault.New(fault.Invalid, "TooManyObservations", "%d observations at a time are too many; send at most %d", len(observations), maxObservations)
	}
	if len(observations) == 0 {
		return done, nil
	}
	looks := make([]look, len(observations))
	for i, o := range observations {
		if err := o.check(); err != nil {
			return done, err
		}
		o.normalise(s.Now())
		looks[i] = parsed(o)
	}
	err := s.Transact(ctx, func(ctx context.Context) error {
		r := recording{s: s}
		if err := r.all(ctx, looks); err != nil {
			return err
		}
		done = r.done
		rec := c.Record("ObservationRecord", "/certificates")
		rec.Details[audit.Count] = strconv.Itoa(len(looks))
		if run := looks[0].Run; run != "" {
			rec.Details[audit.Run] = run
		}
		return s.Audit.Record(ctx, rec)
	})
	return done, err
}

func parsed(o Observation) look {
	l := look{Observation: o}
	if o.State == Present {
		l.certificate = Parse(o.DER)
		l.certificate.raw.signer = o.SignerKey
		for _, der := range o.Chain {
			l.chain = append(l.chain, Parse(der))
		}
	}
	return l
}

// recording is one Record inside its transaction.
type recording struct {
	s       *Service
	done    Recorded
	touched []*Certificate // to be judged
	seen    map[string]bool
}

func (r *recording) all(ctx context.Context, looks []look) error {
	r.seen = map[string]bool{}
	for i := range looks {
		if err := r.one(ctx, &looks[i]); err != nil {
			return fmt.Errorf("record %s: %w", looks[i].Place, err)
		}
	}
	issuers := issuerCache{}
	for _, c := range r.touched {
		if err := r.s.judge(ctx, c, issuers); err != nil {
			return fmt.Errorf("judge %s: %w", c.SHA256, err)
		}
	}
	return nil
}

func (r *recording) one(ctx context.Context, l *look) error {
	for _, c := range l.chain {
		if err := r.save(ctx, c, l); err != nil {
			return err
		}
	}
	if l.certificate != nil {
		if err := r.save(ctx, l.certificate, l); err != nil {
			return err
		}
	}
	if l.Place.nowhere() {
		return nil
	}
	before, err := r.s.Store.Current(ctx, l.Place.ID())
	known := err == nil
	switch {
	case err != nil && !fault.Is(err, fault.NotFound):
		return err
	case !known && l.certificate == nil:
		return nil // silence where nothing ever was is not worth a row
	case known && l.At.Before(before.Checked):
		return r.late(ctx, l)
	case l.certificate == nil:
		return r.absent(ctx, l, before)
	}
	if known && before.SHA256 != l.certificate.SHA256 {
		if err := r.replaced(ctx, l, before); err != nil {
			return err
		}
	}
	return r.present(ctx, l)
}

// save stores a certificate once per Record and remembers to judge it.
func (r *recording) save(ctx context.Context, c *Certificate, l *look) error {
	isNew, err := r.s.Store.Save(ctx, c, l.At)
	if err != nil || r.seen[c.SHA256] {
		return err
	}
	r.seen[c.SHA256] = true
	r.touched = append(r.touched, c)
	r.done.Certificates++
	if !isNew {
		return nil
	}
	r.done.New++
	return r.s.emit(ctx, "Chatelaine.CertificateDiscovered", c.SHA256, map[string]any{
		"name": c.Name, "issuer": c.Issuer, "notAfter": c.NotAfter, "place": l.Place,
	})
}

func (r *recording) present(ctx context.Context, l *look) error {
	i := Installation{
		ID: l.Place.ID(), SHA256: l.certificate.SHA256, Place: l.Place, State: Present, Current: true,
		FirstSeen: l.At, LastSeen: l.At, Checked: l.At, Campaign: l.Campaign, Run: l.Run, TLS: l.TLS, Object: l.Object,
	}
	for _, c := range l.chain {
		i.Chain = append(i.Chain, c.SHA256)
	}
	before, err := r.s.Store.Installation(ctx, i.ID, i.SHA256)
	switch {
	case err == nil:
		if before.FirstSeen.Before(i.FirstSeen) {
			i.FirstSeen = before.FirstSeen
		}
	case !fault.Is(err, fault.NotFound):
		return err
	}
	if err := r.s.Store.SaveInstallation(ctx, i); err != nil {
		return err
	}
	if err == nil && before.State == Present {
		return nil
	}
	return r.change(ctx, i, l)
}

// replaced takes the old certificate from the place.
func (r *recording) replaced(ctx context.Context, l *look, old Installation) error {
	old.State, old.Current, old.Checked = Changed, false, l.At
	if err := r.s.Store.SaveInstallation(ctx, old); err != nil {
		return err
	}
	if err := r.change(ctx, old, l); err != nil {
		return err
	}
	if err := r.again(ctx, old.SHA256); err != nil {
		return err
	}
	return r.s.emit(ctx, "Chatelaine.InstallationChanged", old.SHA256, map[string]any{
		"place": old.Place, "from": old.SHA256, "to": l.certificate.SHA256,
	})
}

// absent keeps the certificate and the time when it was last seen, and notes the state.
func (r *recording) absent(ctx context.Context, l *look, i Installation) error {
	same := i.State == l.State
	i.State, i.Checked, i.Problem, i.Campaign, i.Run = l.State, l.At, l.Problem, l.Campaign, l.Run
	if err := r.s.Store.SaveInstallation(ctx, i); err != nil || same {
		return err
	}
	if err := r.again(ctx, i.SHA256); err != nil {
		return err
	}
	return r.change(ctx, i, l)
}

// late adds a sighting that a newer look has overtaken.
func (r *recording) late(ctx context.Context, l *look) error {
	if l.certificate == nil {
		return nil
	}
	i, err := r.s.Store.Installation(ctx, l.Place.ID(), l.certificate.SHA256)
	if fault.Is(err, fault.NotFound) {
		i = Installation{ID: l.Place.ID(), SHA256: l.certificate.SHA256, Place: l.Place, State: Changed,
			FirstSeen: l.At, LastSeen: l.At, Checked: l.At, Campaign: l.Campaign, Run: l.Run, TLS: l.TLS, Object: l.Object}
	} else if err != nil {
		return err
	}
	if l.At.Before(i.FirstSeen) {
		i.FirstSeen = l.At
	}
	if l.At.After(i.LastSeen) {
		i.LastSeen = l.At
	}
	return r.s.Store.SaveInstallation(ctx, i)
}

func (r *recording) change(ctx context.Context, i Installation, l *look) error {
	r.done.Changed++
	return r.s.Store.AddChange(ctx, Change{ID: i.ID, At: l.At, SHA256: i.SHA256, State: i.State, Run: l.Run})
}

// again judges a certificate that this Record did not bring but whose installations it changed.
func (r *recording) again(ctx context.Context, sha256 string) error {
	if r.seen[sha256] {
		return nil
	}
	e, err := r.s.Reader.Entry(ctx, sha256)
	if err != nil {
		return err
	}
	r.seen[sha256] = true
	r.touched = append(r.touched, e.Certificate)
	return nil
}

// Complete says that everything in a source was seen since a time: what was not seen is
// missing. Call it only when a source was read to its end without an error.
func (s *Service) Complete(ctx context.Context, c access.Caller, source, run string, since time.Time) (missing int, err error) {
	if err := s.Guard.Authorize(ctx, c, Write, root, "SourceComplete"); err != nil {
		return 0, err
	}
	if source == Network || source == "" {
		return 0, fault.New(fault.Invalid, "InvalidSource", "only a connection can be seen completely, not %q", source)
	}
	for {
		n := 0
		err := s.Transact(ctx, func(ctx context.Context) error {
			gone, err := s.Store.Unchecked(ctx, source, since, 200)
			if err != nil {
				return err
			}
			looks := make([]look, 0, len(gone))
			for _, i := range gone {
				looks = append(looks, look{Observation: Observation{Place: i.Place, State: Missing, At: since, Run: run, Campaign: i.Campaign, Problem: "not in the source's list any more"}})
			}
			n = len(looks)
			if n == 0 {
				return nil
			}
			r := recording{s: s}
			if err := r.all(ctx, looks); err != nil {
				return err
			}
			rec := c.Record("SourceComplete", "/certificates")
			rec.Details[audit.Count], rec.Details[audit.Connection], rec.Details[audit.Run] = strconv.Itoa(n), source, run
			return s.Audit.Record(ctx, rec)
		})
		missing += n
		if err != nil || n == 0 {
			return missing, err
		}
	}
}

func (s *Service) emit(ctx context.Context, kind, subject string, data map[string]any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return s.Events.Emit(ctx, event.Event{Source: "/certificates", Type: kind, Subject: subject, Data: b})
}

// issuerCache holds issuers by name for the length of one transaction.
type issuerCache map[NameHash][]*Certificate

const (
	maxIssuers    = 32
	maxChainDepth = 8
)

// issuers collects candidates for the chain of c: those with its issuer's name, those
// with their issuers' names, and so on.
func (s *Service) issuers(ctx context.Context, c *Certificate, cache issuerCache) ([]*Certificate, error) {
	if c.SelfSigned || len(c.raw.issuer) == 0 {
		return nil, nil
	}
	var all []*Certificate
	wanted, asked := []NameHash{c.IssuerHash()}, map[NameHash]bool{}
	for depth := 0; depth < maxChainDepth && len(wanted) > 0; depth++ {
		var further []NameHash
		for _, name := range wanted {
			if asked[name] || len(all) >= maxIssuers {
				continue
			}
			asked[name] = true
			found, ok := cache[name]
			if !ok {
				ders, err := s.Store.Issuers(ctx, name)
				if err != nil {
					return nil, err
				}
				for _, der := range ders {
					found = append(found, Parse(der))
				}
				cache[name] = found
			}
			all = append(all, found...)
			for _, f := range found {
				further = append(further, f.IssuerHash())
			}
		}
		wanted = further
	}
	return all, nil
}

// judge renews the verdict on a certificate, and writes only what changed.
func (s *Service) judge(ctx context.Context, c *Certificate, cache issuerCache) error {
	e, err := s.Reader.Entry(ctx, c.SHA256)
	if err != nil {
		return err
	}
	installations, err := s.Reader.Installations(ctx, c.SHA256, maxJudged)
	if err != nil {
		return err
	}
	issuers, err := s.issuers(ctx, c, cache)
	if err != nil {
		return err
	}
	v := s.Judge.Judge(Case{Certificate: c, Installations: installations, Issuers: issuers, RevokedAt: e.RevokedAt, Now: s.Now()})
	if !e.Judged.IsZero() && e.Trust == v.Trust && e.Score == v.Score {
		before, err := s.Reader.Findings(ctx, c.SHA256)
		if err != nil {
			return err
		}
		if slices.EqualFunc(before, v.Findings, sameFinding) {
			return nil
		}
	}
	return s.Store.SaveVerdict(ctx, c.SHA256, v, s.Now())
}

// maxJudged bounds the installations of one certificate that a judgement looks at: a
// wildcard may be in a hundred thousand places.
const maxJudged = 500

func sameFinding(a, b Finding) bool {
	return a.Rule == b.Rule && a.Severity == b.Severity && a.Message == b.Message && a.WhatToDo == b.WhatToDo &&
		a.Place == b.Place && a.Source == b.Source && a.Since.UnixMicro() == b.Since.UnixMicro()
}

// Rejudge renews the verdicts on the next certificates after the given fingerprint, for
// time alone makes some findings true. It returns where to go on, "" at the end.
func (s *Service) Rejudge(ctx context.Context, c access.Caller, after string) (next string, n int, err error) {
	if err := s.Guard.Authorize(ctx, c, Write, root, "CertificateJudge"); err != nil {
		return "", 0, err
	}
	const page = 50 // others who write wait meanwhile
	err = s.Transact(ctx, func(ctx context.Context) error {
		hs, err := s.Store.Fingerprints(ctx, after, page)
		if err != nil {
			return err
		}
		cache := issuerCache{}
		for _, h := range hs {
			e, err := s.Reader.Entry(ctx, h)
			if err == nil {
				err = s.judge(ctx, e.Certificate, cache)
			}
			if err != nil {
				return errors.Join(fmt.Errorf("judge %s", h), err)
			}
		}
		if next, n = "", len(hs); n == page {
			next = hs[n-1]
		}
		return nil
	})
	return next, n, err
}
