// Package lifetime does what the policies of certificates want done in the course of
// their lives (contract §2.6): it renews them, and has the vault's contacts told by mail.
package lifetime

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/object"
)

// What is due to a certificate.
const (
	dueRenew = "renew"
	dueMail  = "mail"
)

// emailContacts is the operation of the record that contacts were told; Certificate
// stands before it.
const emailContacts object.Operation = "EmailContacts"

// leastAge is how old a version is at least before it is renewed. It keeps a policy that
// no certificate can satisfy from making one after the other.
const leastAge = time.Hour

// Mailer sends mail. Inside a transaction the mail joins it.
type Mailer interface {
	Send(ctx context.Context, m Mail) error
}

// Mail is one notice to one contact. It names both and says nothing of them, because it
// waits outside the sealed rows.
type Mail struct {
	Vault   string `json:"vault"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Contact string `json:"contact"` // contact.Contact.Key
}

// Service acts by the policies of all certificates.
type Service struct {
	object.Deps
	shelf *object.Shelf
	certs *certificates.Service
	mail  Mailer
}

// New makes the service and plans what is due to certificates.
func New(d object.Deps, c *certificates.Service, m Mailer) *Service {
	d.Vaults.Plan(object.Certificates, "lifetime/1", plan)
	return &Service{Deps: d, shelf: object.NewShelf(d, object.Certificates, nil), certs: c, mail: m}
}

// Handle has the agenda call the service when a certificate is due.
func (s *Service) Handle(a *object.Agenda) {
	a.On(object.Certificates, dueRenew, s.renew)
	a.On(object.Certificates, dueMail, a.In(s.tell))
}

// plan is the object.Planner of certificates. Nothing happens to a version that is
// switched off.
func plan(e object.Entry) ([]object.Due, error) {
	c, err := certificates.Of(e)
	if err != nil || !c.Issued() || !e.Version.Enabled {
		return nil, err
	}
	from, to := e.Version.NotBefore, e.Version.Expires
	return []object.Due{{What: dueRenew, At: renewal(c, from, to)}, {What: dueMail, At: c.Policy.When(policy.EmailContacts, from, to)}}, nil
}

// renewal is when a certificate is renewed.
func renewal(c certificates.Certificate, from, to time.Time) time.Time {
	at := c.Policy.When(policy.AutoRenew, from, to)
	if at.IsZero() || c.Policy.Issuer.IsUnknown() {
		return time.Time{}
	}
	for _, least := range []time.Time{c.Version.Created.Add(leastAge), c.Again} {
		if at.Before(least) {
			at = least
		}
	}
	return at
}

// engine is who acts by policies.
func engine() access.Caller { return access.System("certificate lifetime") }

// renew begins the next version. A registered issuer that refuses is asked again later:
// the certificate then says another time.
func (s *Service) renew(ctx context.Context, t object.Task) error {
	return s.certs.Renew(ctx, engine(), t.Entry, t.Settle)
}

// tell has the contacts of the vault told that the certificate ends.
func (s *Service) tell(ctx context.Context, t object.Task) error {
	contacts, err := contact.Find(ctx, t.Vault)
	if err != nil && !fault.HasCode(err, "ContactsNotFound") {
		return err
	}
	for _, c := range contacts {
		if err := s.mail.Send(ctx, Mail{Vault: t.Vault.Name, Name: t.Head.Name, Version: t.Version.ID, Contact: c.Key()}); err != nil {
			return err
		}
	}
	if err := s.announce(ctx, t.Entry, len(contacts)); err != nil {
		return err
	}
	r := object.Ref{Vault: t.Vault.Name, Name: t.Head.Name, Version: t.Version.ID}
	return s.shelf.Done(ctx, engine(), emailContacts, r, map[audit.Field]string{audit.Count: strconv.Itoa(len(contacts))})
}

// announce tells those who listen what the contacts are told, also where there is nobody
// to mail, or no mail.
func (s *Service) announce(ctx context.Context, e object.Entry, contacts int) error {
	data, err := json.Marshal(map[string]any{
		"VaultName": e.Vault.Name, "ObjectName": e.Head.Name, "Version": e.Version.ID, "EXP": e.Version.Expires.Unix(),
		"Action": policy.EmailContacts, "Contacts": contacts,
	})
	if err != nil {
		return err
	}
	return s.Events.Emit(ctx, event.Event{Source: "/vaults/" + e.Vault.Name, Type: "Chatelaine.CertificateLifetimeAction", Subject: e.Head.Name, Data: data})
}
