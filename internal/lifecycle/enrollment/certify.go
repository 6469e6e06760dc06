package enrollment

import (
	"context"
	"fmt"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/vault/certificates"
)

// A vault that has an issuer of provider Chatelaine asks for certificates itself: it has
// made the key and the CSR, and puts what comes back into the certificate that waits for
// it. This file is that side road; it joins the others at the issuer.

// Orders is the vault's side of the certificates that it asked for.
type Orders interface {
	// Deliver makes what was issued the next version of the certificate that waits for the
	// order, and returns the version; again if it did before. The error has the code
	// NobodyWaits when the order was given up.
	Deliver(ctx context.Context, c access.Caller, k lineage.Keep, order string, b connector.Bundle) (version string, err error)
	// Refuse says that nothing will come, and why, in the transaction of ctx.
	Refuse(ctx context.Context, c access.Caller, k lineage.Keep, order, code, message string) error
}

// Registered is the certificates.Authority behind the registered issuers of all vaults.
// The requests are opened later than the vaults, hence a function.
type Registered struct{ Requests func() *Service }

// Check implements certificates.Authority.
func (g Registered) Check(_ context.Context, o certificates.Order) error {
	w, err := wantedBy(o)
	if err != nil {
		return err
	}
	s := g.Requests()
	_, err = s.Policy.Check(w, s.Now())
	return err
}

// Place implements certificates.Authority. It does not authorise: the vault did, and who
// registered the issuer had the right to issue by its profile.
func (g Registered) Place(ctx context.Context, c access.Caller, o certificates.Order) error {
	s := g.Requests()
	e := s.begin(c, "", "")
	e.Kind, e.Step, e.CSR, e.Once = Certify, Issue, o.Request, orderPrefix+o.ID
	var err error
	if e.Wanted, err = wantedBy(o); err != nil {
		return err
	}
	if e.NeedsApproval, err = s.Policy.Check(e.Wanted, s.Now()); err != nil {
		return err
	}
	return s.Transact(ctx, func(ctx context.Context) error {
		_, err := s.insert(ctx, c, e, "RequestCreate")
		return err
	})
}

// Withdraw implements certificates.Authority. Only a request that waits for an approval
// ends. One that is approved may be at the issuer already: it goes on, finds nobody
// waiting, and has what was issued revoked.
func (g Registered) Withdraw(ctx context.Context, id string) error {
	s := g.Requests()
	return s.Transact(ctx, func(ctx context.Context) error {
		e, err := s.Store.RequestOnce(ctx, orderPrefix+id)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil || e.State != Pending {
			return err
		}
		e.close(Canceled, s.Now())
		if err := s.Store.UpdateRequest(ctx, e); err != nil {
			return err
		}
		return s.tell(ctx, access.System("vault").Record("RequestCancel", Path(e.ID)), "Chatelaine.RequestCanceled", e.Request)
	})
}

// orderPrefix makes the Once of a request from the id of an order.
const orderPrefix = "vault-order/"

func (e Entry) order() string { return e.Once[len(orderPrefix):] }

// wantedBy is what an order asks for, in the words of lineages.
func wantedBy(o certificates.Order) (lineage.Wanted, error) {
	x := o.Policy.X509
	if c := x.BasicConstraints; c != nil && c.CA {
		return lineage.Wanted{}, fault.New(fault.Invalid, "NoAuthority", "no profile makes an authority; leave out ca in basic_constraints")
	}
	w := lineage.Wanted{
		Name: "certificate " + o.Name + " of vault " + o.Vault, Profile: o.Profile, CommonName: o.Policy.CommonName(),
		Key: o.Policy.Key.Spec().String(), Validity: profile.Duration(o.Validity.Truncate(time.Second)),
		Keep: lineage.Keep{Vault: o.Vault, Name: o.Name},
	}
	if n := x.Names; n != nil {
		if len(n.UPNs) > 0 {
			return w, fault.New(fault.Invalid, "NameNotAllowed", "no profile takes user principal names; leave out upns in sans")
		}
		w.Names = profile.Names{DNS: n.DNS, Email: n.Emails, IP: n.IPs, URI: n.URIs}
	}
	return w, nil
}

// deliver hands what was issued to the vault that waits for it.
func (r *runner) deliver(ctx context.Context) (outcome, error) {
	version, err := r.Orders.Deliver(ctx, r.caller(), r.e.Wanted.Keep, r.e.order(), connector.Bundle{Certificate: r.e.Certificate, Chain: r.e.Chain})
	if fault.HasCode(err, certificates.NobodyWaits) || fault.HasCode(err, "VaultNotFound") {
		return r.unwanted(ctx)
	}
	if err != nil {
		return outcome{}, fmt.Errorf("deliver to vault %s: %w", r.e.Wanted.Keep.Vault, err)
	}
	o := r.to(Record)
	o.next.Result.Version = version
	return o, nil
}

// unwanted revokes a certificate that was issued while its order was given up: its key
// is gone, so nobody ever uses it.
func (r *runner) unwanted(ctx context.Context) (outcome, error) {
	issuer, err := r.Issuers.Issuer(ctx, r.e.Wanted.Authority)
	if err != nil {
		return outcome{}, err
	}
	if err := issuer.Revoke(ctx, connector.Revocation{Certificate: r.e.Certificate, Reason: connector.CessationOfOperation}); err != nil {
		return outcome{}, fmt.Errorf("revoke what nobody waits for: %w", err)
	}
	o := outcome{next: r.begun(), event: "Chatelaine.RequestCanceled"}
	o.next.State, o.next.Problem = Canceled, "the vault no longer waited for the certificate; it was revoked"
	return o, nil
}

// refuse tells the vault that a request of its own came to nothing, in the transaction of
// ctx. Other requests have nobody to tell.
func (s *Service) refuse(ctx context.Context, e Entry, code, message string) error {
	if e.Kind != Certify {
		return nil
	}
	c := access.System("enrollment")
	c.Correlation = e.ID
	return s.Orders.Refuse(ctx, c, e.Wanted.Keep, e.order(), code, message)
}

// finish completes a request that nothing more follows from.
func (r *runner) finish(o outcome) outcome {
	o.next.State, o.event = Completed, "Chatelaine.RequestCompleted"
	return o
}
