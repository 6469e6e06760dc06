package revocation

import (
	"context"
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
	"chatelaine.dev/internal/pki/profile"
)

// Selection says which certificates a bulk revocation hits: those that are neither
// revoked nor expired and that pass every field that is set. One field must be.
type Selection struct {
	Authority    string    `json:"authority,omitempty"` // everything that it signed
	Profile      string    `json:"profile,omitempty"`
	KeySHA256    string    `json:"keySHA256,omitempty"` // of the certified key's SubjectPublicKeyInfo, hex
	Owner        string    `json:"owner,omitempty"`     // as the inventory has it, in any case
	Lineage      string    `json:"lineage,omitempty"`
	IssuedAfter  time.Time `json:"issuedAfter,omitzero"`
	IssuedBefore time.Time `json:"issuedBefore,omitzero"`
}

// Preview is what a bulk revocation would hit.
type Preview struct {
	Count       int64
	Authorities int64                  // how many authorities signed them; those of ours that are hit themselves are among the certificates
	Examples    []issuance.Certificate // the newest ones, without DER
}

// SweepState is how far a bulk revocation has come.
type SweepState string

// The states.
const (
	Running SweepState = "running"
	Done    SweepState = "done"
	Stopped SweepState = "stopped" // by somebody; what was revoked stays so
)

// Sweep is a bulk revocation. What it hits was fixed when it began.
type Sweep struct {
	ID           string
	Selection    Selection
	Reason       string
	InvalidSince time.Time
	State        SweepState
	Total        int64
	Revoked      int64
	Skipped      int64 // revoked by somebody else, or expired, meanwhile
	Requester    string
	CreatedAt    time.Time
	EndedAt      time.Time
}

// Item is one certificate of a sweep that is still to be revoked.
type Item struct{ Authority, Serial string }

// SweepStore keeps bulk revocations. Its writes join the transaction of ctx.
type SweepStore interface {
	// Match counts what a selection hits at a time, and returns up to limit of it, newest first.
	Match(ctx context.Context, s Selection, now time.Time, limit int) (Preview, error)
	// InsertSweep adds a sweep with what its selection hits, and returns how much that is.
	InsertSweep(ctx context.Context, s Sweep) (int64, error)
	// Sweep returns one, or fault.NotFound.
	Sweep(ctx context.Context, id string) (Sweep, error)
	// Sweeps returns up to limit of them, newest first, older than the id given.
	Sweeps(ctx context.Context, after string, limit int) ([]Sweep, error)
	// Items returns up to limit certificates that a sweep has yet to revoke.
	Items(ctx context.Context, id string, limit int) ([]Item, error)
	// Advance takes certificates off a sweep and adds to its counts. fault.Conflict unless it
	// is running and all of them were on it.
	Advance(ctx context.Context, id string, done []Item, revoked int) error
	// EndSweep ends a running sweep, and forgets what it has not revoked. fault.Conflict when
	// it is not running.
	EndSweep(ctx context.Context, id string, state SweepState, at time.Time) error
}

const (
	maxExamples = 20
	batch       = 200  // certificates revoked in one transaction
	publishing  = 5000 // certificates after which the lists are published on the way
)

// Preview returns what a bulk revocation would hit.
func (s *Service) Preview(ctx context.Context, c access.Caller, sel Selection) (Preview, error) {
	if err := s.maySweep(ctx, c, &sel, "RevocationPreview"); err != nil {
		return Preview{}, err
	}
	return s.c.Sweeps.Match(ctx, sel, s.c.Now(), maxExamples)
}

// Order is a bulk revocation to begin.
type Order struct {
	Selection    Selection
	Reason       string // empty: unspecified
	InvalidSince time.Time
	Expected     int64 // the count of the preview
}

// Begin starts a bulk revocation, which goes on as a job. fault.Conflict "SelectionChanged"
// when it would hit another number than was expected, "NothingToRevoke" when it hits none.
func (s *Service) Begin(ctx context.Context, c access.Caller, o Order) (Sweep, error) {
	if err := s.maySweep(ctx, c, &o.Selection, "RevocationBegin"); err != nil {
		return Sweep{}, err
	}
	if o.Reason == "" {
		o.Reason = "unspecified"
	}
	now := s.c.Now()
	if err := check(o.Reason, o.InvalidSince, now); err != nil {
		return Sweep{}, err
	}
	if o.Reason == Hold {
		return Sweep{}, fault.New(fault.Invalid, "HoldNotAllowed", "a hold is for one certificate; revoke in bulk for another reason")
	}
	w := Sweep{
		ID: uuid.NewV7().String(), Selection: o.Selection, Reason: o.Reason, InvalidSince: o.InvalidSince, State: Running, Requester: c.Principal, CreatedAt: now,
	}
	err := s.c.Transact(ctx, func(ctx context.Context) error {
		var err error
		if w.Total, err = s.c.Sweeps.InsertSweep(ctx, w); err != nil {
			return err
		}
		switch {
		case w.Total == 0:
			return fault.New(fault.Conflict, "NothingToRevoke", "no certificate that is valid and not revoked is selected")
		case w.Total != o.Expected:
			return fault.New(fault.Conflict, "SelectionChanged", "this hits %d certificates, not %d; look at the preview again", w.Total, o.Expected)
		}
		r := c.Record("RevocationBegin", "/revocations/"+w.ID)
		r.Details[audit.Reason], r.Details[audit.Count] = w.Reason, strconv.FormatInt(w.Total, 10)
		w.Selection.describe(r.Details)
		if err := s.c.Audit.Record(ctx, r); err != nil {
			return err
		}
		return s.c.Enqueue(ctx, SweepArgs{ID: w.ID})
	})
	return w, err
}

// describe says in a record what was selected.
func (s Selection) describe(details map[audit.Field]string) {
	for field, value := range map[audit.Field]string{audit.Issuer: s.Authority, audit.Profile: s.Profile, audit.Owner: s.Owner, audit.Lineage: s.Lineage, audit.Digest: s.KeySHA256} {
		if value != "" {
			details[field] = value
		}
	}
}

// Sweep returns a bulk revocation; fault.NotFound.
func (s *Service) Sweep(ctx context.Context, c access.Caller, id string) (Sweep, error) {
	if err := s.c.Guard.Authorize(ctx, c, RevokeCertificates, "/authorities", "RevocationGet"); err != nil {
		return Sweep{}, err
	}
	return s.c.Sweeps.Sweep(ctx, id)
}

// SweepList returns bulk revocations, newest first, older than the id given. limit is 1 to
// 500; 0 means 100.
func (s *Service) SweepList(ctx context.Context, c access.Caller, after string, limit int) ([]Sweep, error) {
	if err := s.c.Guard.Authorize(ctx, c, RevokeCertificates, "/authorities", "RevocationList"); err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = 100
	}
	return s.c.Sweeps.Sweeps(ctx, after, min(limit, 500))
}

// Stop ends a bulk revocation on its way. What it revoked stays revoked.
func (s *Service) Stop(ctx context.Context, c access.Caller, id string) (Sweep, error) {
	if err := s.c.Guard.Authorize(ctx, c, RevokeCertificates, "/authorities", "RevocationStop"); err != nil {
		return Sweep{}, err
	}
	var w Sweep
	err := s.c.Transact(ctx, func(ctx context.Context) error {
		if err := s.c.Sweeps.EndSweep(ctx, id, Stopped, s.c.Now()); err != nil {
			return err
		}
		var err error
		if w, err = s.c.Sweeps.Sweep(ctx, id); err != nil {
			return err
		}
		r := c.Record("RevocationStop", "/revocations/"+id)
		r.Details[audit.Count] = strconv.FormatInt(w.Revoked, 10)
		return s.c.Audit.Record(ctx, r)
	})
	return w, err
}

// maySweep authorises a selection and checks it. One without an authority may hit all of them.
func (s *Service) maySweep(ctx context.Context, c access.Caller, sel *Selection, operation string) error {
	scope := access.Scope("/authorities")
	if profile.ValidID(sel.Authority) {
		scope += access.Scope("/" + sel.Authority)
	}
	if err := s.c.Guard.Authorize(ctx, c, RevokeCertificates, scope, operation); err != nil {
		return err
	}
	if *sel == (Selection{}) {
		return fault.New(fault.Invalid, "NothingSelected", "say what to revoke: by authority, profile, key, owner, lineage or time of issuance")
	}
	if sel.Authority != "" && !profile.ValidID(sel.Authority) {
		return fault.New(fault.NotFound, "UnknownAuthority", "there is no authority %.64q", sel.Authority)
	}
	if sel.KeySHA256 != "" {
		key, err := fingerprint(sel.KeySHA256)
		if err != nil {
			return err
		}
		sel.KeySHA256 = key
	}
	if !sel.IssuedAfter.IsZero() && !sel.IssuedBefore.IsZero() && !sel.IssuedAfter.Before(sel.IssuedBefore) {
		return fault.New(fault.Invalid, "BadPeriod", "the time of issuance begins after it ends")
	}
	return nil
}

// SweepArgs are the arguments of the work of a bulk revocation, for job.Queue.
type SweepArgs struct {
	ID string `json:"id"`
}

// Kind implements job.Args.
func (SweepArgs) Kind() string { return "pki.revoke-in-bulk" }

// Limit implements job.Long.
func (SweepArgs) Limit() time.Duration { return 6 * time.Hour }

// HandleSweep revokes what is left of a bulk revocation, a batch in each transaction. It
// may stop anywhere and run again.
func (s *Service) HandleSweep(ctx context.Context, a SweepArgs) error {
	w, err := s.c.Sweeps.Sweep(ctx, a.ID)
	if fault.Is(err, fault.NotFound) || err == nil && w.State != Running {
		return nil
	}
	if err != nil {
		return err
	}
	c := access.System("revocation")
	c.Correlation = w.ID
	touched := map[string]bool{}
	for since := 0; ; since += batch {
		items, err := s.c.Sweeps.Items(ctx, w.ID, batch)
		if err != nil {
			return err
		}
		if len(items) == 0 || since >= publishing {
			if err := s.publishAll(ctx, c, touched); err != nil {
				return err
			}
			touched, since = map[string]bool{}, 0
		}
		if len(items) == 0 {
			// A run before this one may have stopped between a batch and its list.
			if err := s.RebuildDue(ctx); err != nil {
				s.c.Log.Error("lists after a bulk revocation", "id", w.ID, "error", err)
			}
			return s.finish(ctx, c, w)
		}
		if err := s.strike(ctx, c, w, items); fault.HasCode(err, "SweepEnded") {
			return s.publishAll(ctx, c, touched)
		} else if err != nil {
			return fmt.Errorf("bulk revocation %s: %w", w.ID, err)
		}
		for _, i := range items {
			touched[i.Authority] = true
			s.c.Changed(i.Authority)
		}
	}
}

// strike revokes a batch.
func (s *Service) strike(ctx context.Context, c access.Caller, w Sweep, items []Item) error {
	now := s.c.Now()
	return s.c.Transact(ctx, func(ctx context.Context) error {
		revoked := 0
		for _, i := range items {
			cert, _, err := s.c.Store.Revoke(ctx, Revocation{Authority: i.Authority, Serial: i.Serial, Reason: w.Reason, At: now, InvalidSince: w.InvalidSince})
			if fault.HasCode(err, "AlreadyRevoked") {
				continue
			}
			if err != nil {
				return err
			}
			if err := s.tell(ctx, c, cert); err != nil {
				return err
			}
			revoked++
		}
		return s.c.Sweeps.Advance(ctx, w.ID, items, revoked)
	})
}

func (s *Service) publishAll(ctx context.Context, c access.Caller, authorities map[string]bool) error {
	for id := range authorities {
		if err := s.publish(ctx, c, id, 0); err != nil {
			return err
		}
	}
	return nil
}

// finish ends a sweep with its record and its event.
func (s *Service) finish(ctx context.Context, c access.Caller, w Sweep) error {
	return s.c.Transact(ctx, func(ctx context.Context) error {
		if err := s.c.Sweeps.EndSweep(ctx, w.ID, Done, s.c.Now()); fault.Is(err, fault.Conflict) {
			return nil // another run was faster, or somebody stopped it
		} else if err != nil {
			return err
		}
		w, err := s.c.Sweeps.Sweep(ctx, w.ID)
		if err != nil {
			return err
		}
		r := c.Record("RevocationEnd", "/revocations/"+w.ID)
		r.Details[audit.Count] = strconv.FormatInt(w.Revoked, 10)
		if err := s.c.Audit.Record(ctx, r); err != nil {
			return err
		}
		data, err := json.Marshal(struct {
			ID      string `json:"id"`
			Revoked int64  `json:"revoked"`
			Skipped int64  `json:"skipped"`
			Reason  string `json:"reason"`
		}{w.ID, w.Revoked, w.Skipped, w.Reason})
		if err != nil {
			return err
		}
		return s.c.Events.Emit(ctx, event.Event{Source: "/revocations", Type: "Chatelaine.RevocationEnded", Subject: w.ID, Data: data})
	})
}
