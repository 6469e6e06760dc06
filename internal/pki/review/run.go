package review

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/weak"
)

// Work is a piece of an audit: it goes on from the place that is stored.
type Work struct {
	Review string `json:"review"`
}

// Kind implements job.Args.
func (Work) Kind() string { return "pki.review" }

// Limit implements job.Long: everything that was ever issued is read.
func (Work) Limit() time.Duration { return 24 * time.Hour }

// Schedule asks for the audit that comes by itself.
type Schedule struct{}

// Kind implements job.Args.
func (Schedule) Kind() string { return "pki.review-schedule" }

// batch is how many certificates are linted between two saves of the place.
const batch = 200

func (s *Service) start(ctx context.Context, c access.Caller) (Review, error) {
	total, err := s.Store.CountCertificates(ctx)
	if err != nil {
		return Review{}, err
	}
	r := Review{ID: uuid.NewV4().String(), State: Queued, Queued: s.Now().UTC(), Total: total, Requester: c.Principal}
	return r, s.Transact(ctx, func(ctx context.Context) error {
		latest, err := s.Store.Reviews(ctx, 1)
		if err != nil {
			return err
		}
		if len(latest) > 0 && !latest[0].State.Final() {
			return fault.New(fault.Conflict, "AuditUnderWay", "the issuance audit %s is under way; wait for its end", latest[0].ID)
		}
		if err := s.Store.InsertReview(ctx, r, keepReviews); err != nil {
			return err
		}
		if err := s.Audit.Record(ctx, record(c, "IssuanceAuditStart", r)); err != nil {
			return err
		}
		return s.Enqueue(ctx, Work{Review: r.ID})
	})
}

// often is how long after an audit the next comes by itself.
const often = 7 * 24 * time.Hour

// Scheduled starts an audit a week after the last one.
func (s *Service) Scheduled(ctx context.Context, _ Schedule) error {
	latest, err := s.Store.Reviews(ctx, 1)
	if err != nil || len(latest) > 0 && s.Now().Sub(latest[0].Queued) < often {
		return err
	}
	_, err = s.start(ctx, access.System("issuance audit"))
	if fault.HasCode(err, "AuditUnderWay") {
		return nil
	}
	return err
}

// Handle does an audit, or what is left of it after a stop.
func (s *Service) Handle(ctx context.Context, w Work) error {
	r, err := s.Store.Review(ctx, w.Review)
	if fault.Is(err, fault.NotFound) || err == nil && r.State.Final() {
		return nil // forgotten, or done before
	}
	if err != nil {
		return err
	}
	if r.State == Queued {
		r.State, r.Started = Running, s.Now().UTC()
		if err := s.Store.UpdateReview(ctx, r); err != nil {
			return err
		}
	}
	for done := false; !done; {
		if err := ctx.Err(); err != nil {
			return err // the next try goes on from the place
		}
		if r, done, err = s.step(ctx, r); err != nil {
			return fmt.Errorf("issuance audit %s: %w", r.ID, err)
		}
	}
	if r, err = s.shared(ctx, r); err != nil {
		return fmt.Errorf("issuance audit %s: %w", r.ID, err)
	}
	return s.end(ctx, r)
}

// step lints the next certificates and stores the findings with the new place.
func (s *Service) step(ctx context.Context, r Review) (Review, bool, error) {
	list, err := s.Certificates.Certificates(ctx, issuance.Filter{}, r.Place, batch)
	if err != nil {
		return r, false, err
	}
	var found []Finding
	for _, c := range list {
		if len(c.DER) > 0 && !c.CreatedAt.After(r.Queued) {
			found = append(found, s.look(r, c)...)
			r.Checked++
		}
		r.Place = issuance.Cursor{CreatedAt: c.CreatedAt, Serial: c.Serial}
	}
	r, err = s.save(ctx, r, found)
	return r, len(list) < batch, err
}

// save stores findings together with the review that counts them: stopped at any moment,
// the next try neither loses one nor counts it twice.
func (s *Service) save(ctx context.Context, r Review, found []Finding) (Review, error) {
	next := r
	err := s.Transact(ctx, func(ctx context.Context) error {
		n, err := s.Store.AddFindings(ctx, found)
		if err != nil {
			return err
		}
		next.Found = r.Found + n
		return s.Store.UpdateReview(ctx, next)
	})
	if err != nil {
		return r, err
	}
	return next, nil
}

// look judges one certificate as if it were to be issued today.
func (s *Service) look(r Review, c issuance.Certificate) []Finding {
	var standards []string
	if p, err := s.Profiles.Get(c.Profile); err == nil { // one that was deleted claims nothing
		standards = p.Standards
	}
	finding := func(rule, detail string) Finding {
		return Finding{Review: r.ID, Serial: c.Serial, Rule: rule, Authority: c.Authority, Profile: c.Profile, Subject: c.Subject, Detail: detail}
	}
	broken, err := s.Linter.Find(c.DER, standards)
	if err != nil {
		return []Finding{finding("own_readable", fault.Of(err).Message)}
	}
	var found []Finding
	for _, b := range broken {
		found = append(found, finding(b.Rule, b.Detail))
	}
	if cert, err := x509.ParseCertificate(c.DER); err == nil {
		if w, ok := weak.Find(cert.PublicKey); ok {
			found = append(found, finding("weak_"+w.Kind, w.Why))
		}
	}
	return found
}

// Fail gives an audit up whose work failed too often.
func (s *Service) Fail(ctx context.Context, w Work, cause error) error {
	r, err := s.Store.Review(ctx, w.Review)
	if err != nil || r.State.Final() {
		return err
	}
	s.Log.Error("issuance audit failed", "audit", r.ID, "error", cause)
	r.State, r.Problem = Failed, fault.Of(cause).Message
	return s.end(ctx, r)
}

// end makes the audit final, with its record and event.
func (s *Service) end(ctx context.Context, r Review) error {
	if r.Finished = s.Now().UTC(); r.State != Failed {
		r.State = Completed
	}
	return s.Transact(ctx, func(ctx context.Context) error {
		if err := s.Store.UpdateReview(ctx, r); err != nil {
			return err
		}
		rec := record(access.System("issuance audit"), "IssuanceAuditEnd", r)
		if r.State == Failed {
			rec.Outcome = audit.Failed
		}
		if err := s.Audit.Record(ctx, rec); err != nil {
			return err
		}
		data, err := json.Marshal(struct {
			State   State `json:"state"`
			Checked int64 `json:"checked"`
			Found   int64 `json:"found"`
		}{r.State, r.Checked, r.Found})
		if err != nil {
			return err
		}
		return s.Events.Emit(ctx, event.Event{Source: "/issuance-audits", Type: "Chatelaine.IssuanceAuditEnded", Subject: r.ID, Data: data})
	})
}

// record of what happened to an audit; count is what it found.
func record(c access.Caller, operation string, r Review) audit.Record {
	rec := c.Record(operation, "/issuance-audits/"+r.ID)
	rec.Details[audit.Count] = strconv.FormatInt(r.Found, 10)
	return rec
}
