package certificates

import (
	"context"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/object"
)

// Authority issues for registered issuers of provider Chatelaine. The vault knows no CA;
// who wires it does.
type Authority interface {
	// Check refuses an order that would not be issued, before a key is made for it.
	// fault.Invalid says why. The order has no ID and no Request yet.
	Check(ctx context.Context, o Order) error
	// Place orders a certificate, in the transaction of ctx. Deliver or Refuse tells
	// later what came of it. c is who wants it.
	Place(ctx context.Context, c access.Caller, o Order) error
	// Withdraw takes an order back, in the transaction of ctx, as far as it still can be.
	Withdraw(ctx context.Context, id string) error
}

// Order is a certificate to be issued.
type Order struct {
	ID       string // of the pending operation
	Vault    string
	Name     string
	Profile  string
	Request  []byte // PKCS#10, DER: what the certificate shall say, and its key
	Policy   policy.Policy
	Validity time.Duration
}

// orderFor is the order of a policy, without its request. ok is false where the issuer
// is Self or Unknown.
func (s *Service) orderFor(ctx context.Context, v *object.Vault, name string, p policy.Policy) (o Order, ok bool, err error) {
	if issuer.Reserved(p.Issuer.Name) {
		return o, false, nil
	}
	i, err := issuer.Find(ctx, v, p.Issuer.Name)
	if err != nil {
		return o, false, err
	}
	if !i.Enabled {
		return o, false, fault.New(fault.Invalid, "BadParameter", "The certificate issuer %s is disabled; enable it, or use another.", i.Name)
	}
	if i.Provider != issuer.Chatelaine || s.authority == nil {
		return o, false, fault.New(fault.Invalid, "BadParameter",
			"The certificate issuer %s has provider %s, which issues nothing here. Use an issuer of provider %s, or Unknown and merge what the CA issued.", i.Name, i.Provider, issuer.Chatelaine)
	}
	now := s.shelf.Now().UTC()
	o = Order{Vault: v.Name, Name: name, Profile: i.Profile(), Policy: p.ForAuthority(), Validity: p.Until(now).Sub(now)}
	if err := s.authority.Check(ctx, o); fault.Is(err, fault.Invalid) {
		return o, false, fault.New(fault.Invalid, "BadParameter", "The certificate issuer %s refuses: %s.", i.Name, fault.Of(err).Message)
	} else if err != nil {
		return o, false, err
	}
	return o, true, nil
}

// order stores a request together with the order that is placed for it.
func (s *Service) order(ctx context.Context, n creation, p pending) error {
	n.order.ID, n.order.Request = p.RequestID, p.Request
	return s.await(ctx, n, p, func(ctx context.Context) error { return s.authority.Place(ctx, n.caller, n.order) })
}

// withdraw takes back the order of a creation that somebody gave up, in the transaction
// of ctx.
func (s *Service) withdraw(ctx context.Context, p *pending) error {
	if s.authority == nil || !p.inProgress() || issuer.Reserved(p.Issuer.Name) {
		return nil
	}
	return s.authority.Withdraw(ctx, p.RequestID)
}

// NobodyWaits is the code of an order that nobody waits for any more.
const NobodyWaits = "NobodyWaits"

func nobodyWaits(name string) error {
	return fault.New(fault.NotFound, NobodyWaits, "no pending certificate %s waits for this order", name)
}

// waiting returns the pending creation of an order.
func waiting(name string, st state, order string) (*pending, error) {
	if p := st.Pending; p != nil && p.RequestID == order && (p.inProgress() || p.Status == Completed) {
		return p, nil
	}
	return nil, nobodyWaits(name)
}

// Deliver makes what was issued for an order the next version of its certificate, and
// returns the version. The certificates are DER, the leaf among them. A second delivery
// changes nothing. fault.NotFound with code NobodyWaits when the creation was given up.
func (s *Service) Deliver(ctx context.Context, c access.Caller, r object.Ref, order string, certificates [][]byte) (version string, err error) {
	err = s.shelf.Call(ctx, c, enroll, r, func(v *object.Vault) error {
		_, st, err := s.current(ctx, v, r.Name)
		if err != nil {
			return err
		}
		p, err := waiting(r.Name, st, order)
		if err != nil {
			return err
		}
		version = p.Version
		if p.Status == Completed {
			return nil
		}
		d, err := s.merged(ctx, st, MergeRequest{Certificates: certificates})
		if err != nil {
			return err
		}
		op := enroll
		if p.Renewal {
			op = Renewal
		}
		return s.shelf.Transact(ctx, func(ctx context.Context) error {
			if _, err := s.store(ctx, v, r.Name, d, func(st *state) error {
				p, err := waiting(r.Name, *st, order)
				if err == nil && p.Status == Completed {
					err = fault.New(fault.Unavailable, "", "the order of certificate %s is being delivered by another", r.Name)
				}
				if err != nil {
					return err
				}
				st.complete()
				return nil
			}); err != nil {
				return err
			}
			return s.done(ctx, c, op, r, d)
		})
	})
	return version, err
}

// Refuse says that nothing will be issued for an order, and why. A renewal is tried again
// later. It joins the transaction of ctx.
func (s *Service) Refuse(ctx context.Context, c access.Caller, r object.Ref, order string, why Failure) error {
	return s.shelf.Transact(ctx, func(ctx context.Context) error {
		v, err := s.shelf.Vaults.Open(ctx, r.Vault)
		if err != nil {
			return nobodyIs(err)
		}
		_, st, err := s.current(ctx, v, r.Name)
		if err != nil {
			return err
		}
		if p, err := waiting(r.Name, st, order); err != nil || p.Status == Completed {
			return nil //nolint:nilerr // nobody is there to be told
		}
		if _, err := v.SetHead(ctx, object.Certificates, r.Name, func(h *object.Head) error {
			return change(h, func(st *state) error {
				st.fail(why, s.shelf.Now())
				return nil
			})
		}); err != nil {
			return err
		}
		rec := c.Record(object.Certificates.Title()+string(enroll), "/vaults/"+v.Name+"/certificates/"+strings.ToLower(r.Name))
		rec.Outcome = audit.Failed
		rec.Details[audit.Request], rec.Details[audit.Reason], rec.Details[audit.Issuer] = order, why.Code, st.Pending.Issuer.Name
		return s.shelf.Audit.Record(ctx, rec)
	})
}

// nobodyIs passes over what is not there.
func nobodyIs(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
