package lifetime_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/connector/connectortest"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/certificates/lifetime"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ref(name string) object.Ref { return object.Ref{Vault: vaulttest.Vault, Name: name} }

func register(t testing.TB, w *World, profile string) {
	t.Helper()
	_, err := w.Registered.Set(t.Context(), w.Caller, ref("internal"), issuer.Request{
		Provider: issuer.Chatelaine, Credentials: &issuer.Credentials{AccountID: profile},
	})
	must(t, err)
}

// create makes a certificate of a policy; actions is its lifetime_actions.
func create(t testing.TB, w *World, name, by, actions string) {
	t.Helper()
	var p policy.Policy
	must(t, json.Unmarshal([]byte(`{"issuer":{"name":"`+by+`"},"key_props":{"kty":"EC"},
		"x509_props":{"subject":"CN=shop.example","validity_months":1},"lifetime_actions":`+actions+`}`), &p))
	_, err := w.Certificates.Create(t.Context(), w.Caller, ref(name), certificates.CreateRequest{
		Policy: &p, Attributes: object.Attributes{Tags: map[string]string{"team": "shop"}},
	})
	must(t, err)
	w.Queue.Drain(t)
}

const (
	renewAt80   = `[{"trigger":{"lifetime_percentage":80},"action":{"action_type":"AutoRenew"}}]`
	renew3Days  = `[{"trigger":{"days_before_expiry":3},"action":{"action_type":"AutoRenew"}}]`
	mail5Days   = `[{"trigger":{"days_before_expiry":5},"action":{"action_type":"EmailContacts"}}]`
	mailAndBack = `[{"trigger":{"days_before_expiry":5},"action":{"action_type":"emailcontacts"}},{"trigger":{"lifetime_percentage":90},"action":{"action_type":"autorenew"}}]`
)

// pass lets time go by, and what is due be done: every step of it.
func pass(t testing.TB, w *World, d, step time.Duration) {
	t.Helper()
	for end := w.Time().Add(d); w.Time().Before(end); {
		w.Advance(step)
		must(t, w.Agenda.HandleDue(t.Context(), object.DueArgs{}))
		w.Queue.Drain(t)
	}
}

func versions(t testing.TB, w *World, name string) []object.Version {
	t.Helper()
	var list []object.Version
	for after := ""; ; {
		l, err := w.Certificates.Versions(t.Context(), w.Caller, ref(name), object.Page{After: after, Limit: 25})
		must(t, err)
		for _, e := range l.Entries {
			list = append(list, e.Version)
		}
		if after = l.Next; after == "" {
			return list
		}
	}
}

const day = 24 * time.Hour

func TestAYearOfRenewals(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		register(t, w, "tls-server")
		create(t, w, "self", "Self", renewAt80)
		create(t, w, "ours", "internal", renew3Days)

		pass(t, w, 365*day, 12*time.Hour)

		for name, renewed := range map[string]func(x object.Version) time.Time{
			"self": func(x object.Version) time.Time { return x.NotBefore.Add(x.Expires.Sub(x.NotBefore) * 80 / 100) },
			"ours": func(x object.Version) time.Time { return x.Expires.Add(-3 * day) },
		} {
			list := versions(t, w, name)
			if n := len(list); n < 12 || n > 16 {
				t.Errorf("%s has %d versions after a year", name, n)
			}
			for i, x := range list[:len(list)-1] {
				if late := list[i+1].Created.Sub(renewed(x)); late < 0 || late > 13*time.Hour {
					t.Errorf("%s: version %d was renewed %s after its time", name, i, late)
				}
				if d := cmp.Diff(x.Tags, list[i+1].Tags); d != "" {
					t.Errorf("%s: the tags of version %d were lost:\n%s", name, i, d)
				}
			}
			if last := list[len(list)-1]; !last.Expires.After(w.Time()) {
				t.Errorf("%s expired at %s", name, last.Expires)
			}
			c, err := w.Certificates.Get(t.Context(), w.Caller, ref(name))
			must(t, err)
			if b, err := w.Certificates.Export(t.Context(), w.Caller, ref(name)); err != nil {
				t.Error(err)
			} else if leaf, err := b.Leaf(); err != nil || string(leaf.Raw) != string(c.Body.Certificate) {
				t.Errorf("%s: the newest secret is another's: %v", name, err)
			}
		}
		if n := len(w.Records(t, "CertificateRenew")); n < 24 {
			t.Errorf("%d records of renewals", n)
		}
		v, err := w.Vaults.Open(t.Context(), vaulttest.Vault)
		must(t, err)
		must(t, v.Verify(t.Context()))
	})
}

// Nodes look at the same certificates at the same time: one of them renews each.
func TestOneOfManyNodesRenews(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		const objects = 8
		for i := range objects {
			create(t, w, fmt.Sprintf("c%d", i), "Self", renewAt80)
		}
		w.Advance(25 * day)
		nodes := make([]*object.Agenda, 4)
		for i := range nodes {
			w.Restart(t)
			nodes[i] = w.Agenda
		}

		var all sync.WaitGroup
		for _, a := range nodes {
			all.Go(func() {
				if err := a.HandleDue(t.Context(), object.DueArgs{}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()

		for i := range objects {
			if n := len(versions(t, w, fmt.Sprintf("c%d", i))); n != 2 {
				t.Errorf("c%d has %d versions, want 2", i, n)
			}
		}
	})
}

func TestNothingIsRenewedThatNobodyWantsRenewed(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	off := false
	create(t, w, "mail-only", "Self", mail5Days)
	create(t, w, "none", "Self", `[]`)
	create(t, w, "disabled", "Self", renewAt80)
	_, err := w.Certificates.Update(t.Context(), w.Caller, ref("disabled"), certificates.UpdateRequest{Attributes: object.Attributes{Enabled: &off}})
	must(t, err)
	create(t, w, "policy-off", "Self", renewAt80)
	_, err = w.Certificates.UpdatePolicy(t.Context(), w.Caller, ref("policy-off"), policy.Policy{Attributes: &policy.Attributes{Enabled: &off}})
	must(t, err)
	create(t, w, "deleted", "Self", renewAt80)
	_, err = w.Certificates.Delete(t.Context(), w.Caller, ref("deleted"))
	must(t, err)

	pass(t, w, 60*day, day)

	for _, name := range []string{"mail-only", "none", "disabled", "policy-off"} {
		if n := len(versions(t, w, name)); n != 1 {
			t.Errorf("%s has %d versions", name, n)
		}
	}
	if n := len(w.Records(t, "CertificateRenew")); n != 0 {
		t.Errorf("%d renewals", n)
	}
	// What was recovered is renewed again.
	_, err = w.Certificates.Recover(t.Context(), w.Caller, ref("deleted"))
	must(t, err)
	pass(t, w, day, 6*time.Hour)
	if n := len(versions(t, w, "deleted")); n != 2 {
		t.Errorf("the recovered certificate has %d versions", n)
	}
}

// shortLived is a CA elsewhere whose certificates live for two hours, whatever is asked for.
type shortLived struct {
	t  *testing.T
	w  *World
	ca *connectortest.Authority
}

func (s shortLived) Issue(_ context.Context, o connector.Order) (connector.Answer, error) {
	csr, err := x509.ParseCertificateRequest(o.CSR)
	must(s.t, err)
	leaf := s.ca.Sign(s.t, &x509.Certificate{
		Subject: csr.Subject, DNSNames: csr.DNSNames, NotBefore: s.w.Time().Add(-time.Minute), NotAfter: s.w.Time().Add(2 * time.Hour),
	}, csr.PublicKey)
	return connector.Answer{Certificate: leaf.Raw, Chain: [][]byte{s.ca.Issuing.Raw}}, nil
}

func (shortLived) Collect(context.Context, string) (connector.Answer, error) {
	return connector.Answer{}, fault.New(fault.NotFound, "OrderNotFound", "there is no pending order")
}

func (shortLived) Revoke(context.Context, connector.Revocation) error { return nil }

// A policy by which every version is due at once makes no more than one an hour.
func TestImpatientPolicyDoesNotRunWild(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	w.Issuer = shortLived{t, w, connectortest.NewAuthority(t)}
	register(t, w, "tls-server")
	create(t, w, "ours", "internal", renew3Days)

	pass(t, w, 10*time.Hour, 5*time.Minute)

	if n := len(versions(t, w, "ours")); n < 9 || n > 11 {
		t.Errorf("%d versions in ten hours", n)
	}
}

// A registered issuer that refuses is asked again, later and later, and the renewal
// happens when it can.
func TestRenewalThatFailsIsTriedAgain(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	register(t, w, "tls-server")
	create(t, w, "ours", "internal", renewAt80)
	register(t, w, ApprovedProfile)
	deny := func() bool {
		list, err := w.Requests.List(t.Context(), w.Caller, enrollment.Query{Limit: 10, State: enrollment.Pending})
		must(t, err)
		for _, r := range list {
			if !w.Caller.IsSystem() && r.Requester != "system" {
				t.Errorf("the renewal was asked for by %s", r.Requester)
			}
			_, err := w.Requests.Deny(t.Context(), Approver, r.ID, "not now")
			must(t, err)
		}
		return len(list) > 0
	}

	asked := 0
	for end := w.Time().Add(30 * day); w.Time().Before(end); {
		pass(t, w, 10*time.Minute, 10*time.Minute)
		if deny() {
			asked++
		}
	}

	if asked < 5 || asked > 14 {
		t.Errorf("asked %d times in the six days before the end", asked)
	}
	c, err := w.Certificates.Get(t.Context(), w.Caller, ref("ours"))
	must(t, err)
	if len(versions(t, w, "ours")) != 1 || c.Operation.Status != certificates.Failed || c.Operation.Error.Code != "RequestDenied" || !c.Again.After(w.Time()) {
		t.Errorf("operation %+v, again at %s", c.Operation, c.Again)
	}
	register(t, w, "tls-server")
	pass(t, w, 2*day, time.Hour)
	c, err = w.Certificates.Get(t.Context(), w.Caller, ref("ours"))
	must(t, err)
	if len(versions(t, w, "ours")) != 2 || c.Operation.Status != certificates.Completed || !c.Again.IsZero() {
		t.Errorf("when the issuer could: operation %+v, again at %s", c.Operation, c.Again)
	}
}

func TestContactsAreMailedOnceAVersion(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		people := []contact.Contact{{Email: "one@example.com", Name: "One"}, {Email: "two@example.com"}}
		contacts := contact.New(w.Deps)
		must(t, contacts.Set(t.Context(), w.Caller, vaulttest.Vault, people))
		create(t, w, "web", "Self", mailAndBack)
		first := versions(t, w, "web")[0]

		pass(t, w, 20*day, 6*time.Hour)
		if len(w.Mails) != 0 {
			t.Errorf("mailed too early: %v", w.Mails)
		}
		pass(t, w, 20*day, 6*time.Hour)

		want := []lifetime.Mail{
			{Vault: vaulttest.Vault, Name: "web", Version: first.ID, Contact: people[0].Key()},
			{Vault: vaulttest.Vault, Name: "web", Version: first.ID, Contact: people[1].Key()},
		}
		if d := cmp.Diff(want, w.Mails); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if n := w.Count("Chatelaine.CertificateLifetimeAction"); n != 1 {
			t.Errorf("%d events, want 1", n)
		}
		if n := len(w.Records(t, "CertificateEmailContacts")); n != 1 {
			t.Errorf("%d records, want 1", n)
		}
		pass(t, w, 20*day, 6*time.Hour) // the next version comes into its own
		if len(w.Mails) != 4 || w.Mails[2].Version == first.ID {
			t.Errorf("for the second version: %v", w.Mails[2:])
		}
	})
}

// Where nobody is to be mailed, those who listen are told all the same.
func TestWithoutContactsTheEventIsThere(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	create(t, w, "web", "Self", mail5Days)

	pass(t, w, 30*day, day)

	if len(w.Mails) != 0 || w.Count("Chatelaine.CertificateLifetimeAction") != 1 {
		t.Errorf("%d mails, %d events", len(w.Mails), w.Count("Chatelaine.CertificateLifetimeAction"))
	}
}

func TestNoticeSaysWhatIsKnownWhenItLeaves(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	s := lifetime.New(w.Deps, w.Certificates, nil)
	contacts := contact.New(w.Deps)
	who := contact.Contact{Email: "One@example.com", Name: "One"}
	must(t, contacts.Set(t.Context(), w.Caller, vaulttest.Vault, []contact.Contact{{Email: "zero@example.com"}, who}))
	create(t, w, "web", "Self", mailAndBack)
	x := versions(t, w, "web")[0]
	m := lifetime.Mail{Vault: vaulttest.Vault, Name: "web", Version: x.ID, Contact: contact.Contact{Email: "one@EXAMPLE.com"}.Key()}

	n, err := s.Notice(t.Context(), m)
	must(t, err)

	c, err := w.Certificates.Get(t.Context(), w.Caller, ref("web"))
	must(t, err)
	leaf, err := x509.ParseCertificate(c.Body.Certificate)
	must(t, err)
	if n.To != who || n.Vault != vaulttest.Vault || n.Name != "web" || n.Version != x.ID || n.Subject != "CN=shop.example" ||
		n.Serial != leaf.SerialNumber.Text(16) || !slices.Equal(n.Names, leaf.DNSNames) || !n.Expires.Equal(leaf.NotAfter) || !n.Renews.Before(n.Expires) || n.Renews.IsZero() {
		t.Errorf("%+v", n)
	}
	for what, gone := range map[string]func(*lifetime.Mail){
		"contact":     func(m *lifetime.Mail) { m.Contact = contact.Contact{Email: "nobody@example.com"}.Key() },
		"certificate": func(m *lifetime.Mail) { m.Name = "other" },
		"version":     func(m *lifetime.Mail) { m.Version = object.NewVersionID() },
		"vault":       func(m *lifetime.Mail) { m.Vault = "elsewhere" },
	} {
		other := m
		gone(&other)
		if _, err := s.Notice(t.Context(), other); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s gone: %v", what, err)
		}
	}
}
