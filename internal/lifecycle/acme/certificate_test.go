package acme_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/lifecycle/acme/renewal"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

func TestWhoMayRevoke(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c, half, whole := w.client("open").register(), w.client("open").register(), w.client("open").register()
	half.prove(half.order("a.example.com"), "dns-01")
	whole.prove(whole.order("a.example.com", "b.example.com"), "dns-01")
	fresh := func() []byte { return c.obtain("a.example.com", "b.example.com").Certificate.DER }
	key := ecKey(t)
	o := c.prove(c.order("a.example.com", "b.example.com"), "dns-01")
	o, err := w.Finalize(t.Context(), c.request(), o.ID, csr(t, key, "", "a.example.com", "b.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	holder, thief := w.client("open"), w.client("open")
	holder.key = key
	foreign := newAuthority(t, w.clock).cert.Raw

	der := fresh()
	wants(t, "an account with half the names", w.Revoke(t.Context(), half.request(), der, 1), "unauthorized")
	wants(t, "another key", w.Revoke(t.Context(), thief.request(), der, 1), "unauthorized")
	wants(t, "a reason for CAs", w.Revoke(t.Context(), c.request(), der, 2), "badRevocationReason")
	wants(t, "a reason that is none", w.Revoke(t.Context(), c.request(), der, 7), "badRevocationReason")
	wants(t, "no certificate", w.Revoke(t.Context(), c.request(), []byte("x"), 0), "malformed")
	wants(t, "another CA's certificate", w.Revoke(t.Context(), c.request(), foreign, 0), "malformed")
	if len(w.ca.ended) != 0 {
		t.Fatalf("%v are revoked", w.ca.ended)
	}
	wants(t, "its account", w.Revoke(t.Context(), c.request(), der, 4), "")
	wants(t, "again", w.Revoke(t.Context(), c.request(), der, 4), "alreadyRevoked")
	wants(t, "an account with all the names", w.Revoke(t.Context(), whole.request(), fresh(), 1), "")
	wants(t, "the certificate's key", w.Revoke(t.Context(), holder.request(), o.Certificate.DER, 1), "")
	if w.ca.ended[o.Certificate.SHA256] != "keyCompromise" || w.ca.ended[fingerprint(der)] != "superseded" {
		t.Errorf("%v", w.ca.ended)
	}
}

func TestWindowsMoveTheRenewalOfWhatTheyCover(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		c := w.client("open").register()
		o := c.obtain("a.example.com")
		server, err := w.Server("open")
		if err != nil {
			t.Fatal(err)
		}
		ends := func(o acme.Order) time.Time {
			t.Helper()
			info, err := w.RenewalInfo(t.Context(), server, o.Certificate.RenewalID)
			if err != nil {
				t.Fatal(err)
			}
			return info.End
		}
		usual := renewal.Usual(o.Certificate.NotBefore, o.Certificate.NotAfter)
		if got := ends(o); !got.Equal(usual.End) || usual.End.After(o.Certificate.NotAfter) {
			t.Errorf("the usual window ends %v", got)
		}
		w.pass(time.Minute)
		friday := w.clock().Add(48 * time.Hour).UTC().Truncate(time.Second)
		issuer := fingerprint(w.ca.cert.Raw)
		for _, x := range []struct {
			why string
			w   acme.Window
			hit bool
		}{
			{"everything", acme.Window{}, true},
			{"this profile", acme.Window{Profile: "open"}, true},
			{"another profile", acme.Window{Profile: "web"}, false},
			{"this account", acme.Window{Account: c.account}, true},
			{"another account", acme.Window{Account: "x"}, false},
			{"another owner", acme.Window{Owner: "shop"}, false},
			{"this name", acme.Window{Name: "A.example.com"}, true},
			{"names below", acme.Window{Name: "*.example.com"}, true},
			{"another name", acme.Window{Name: "b.example.com"}, false},
			{"this issuer", acme.Window{Issuer: strings.ToUpper(issuer)}, true},
			{"another issuer", acme.Window{Issuer: strings.Repeat("a", 64)}, false},
			{"this certificate", acme.Window{SHA256: o.Certificate.SHA256}, true},
			{"another certificate", acme.Window{SHA256: issuer}, false},
			{"this account, another name", acme.Window{Account: c.account, Name: "b.example.com"}, false},
		} {
			x.w.End = friday
			made, err := w.CreateWindow(t.Context(), admin, x.w)
			if err != nil {
				t.Fatal(err)
			}
			if got := ends(o); got.Equal(friday) != x.hit {
				t.Errorf("%s: ends %v", x.why, got)
			}
			if err := w.DeleteWindow(t.Context(), admin, made.ID); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.CreateWindow(t.Context(), admin, acme.Window{End: friday}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		if got := ends(c.obtain("a.example.com")); got.Equal(friday) {
			t.Error("what was issued after the window was made is covered")
		}
		for why, bad := range map[string]acme.Window{
			"past": {End: w.clock().Add(-time.Hour)}, "backwards": {Start: friday, End: friday.Add(-time.Hour)}, "far": {End: w.clock().AddDate(3, 0, 0)},
			"no fingerprint": {End: friday, SHA256: "x"}, "no profile": {End: friday, Profile: "closed"}, "no page": {End: friday, Explanation: "javascript:alert(1)"},
		} {
			if _, err := w.CreateWindow(t.Context(), admin, bad); err == nil {
				t.Errorf("%s: taken", why)
			}
		}
		w.ca.ended[o.Certificate.SHA256] = "keyCompromise"
		if got := ends(o); got.After(w.clock()) {
			t.Errorf("a revoked certificate is renewed until %v", got)
		}
		for _, id := range []string{"", "x", "a.b.c", "!.!", o.Certificate.RenewalID + "A", strings.Repeat("A", 300) + ".AA"} {
			_, err := w.RenewalInfo(t.Context(), server, id)
			wants(t, id, err, "malformed")
		}
	})
}

func TestACertificateIsReplacedOnceByItsOwnAccount(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db, func(d *acme.Deps) { d.Limits.Orders = 1 })
		c, d := w.client("open").register(), w.client("open").register()
		old := c.obtain("a.example.com")
		replace := func(c *client, id string, names ...string) (acme.Order, error) {
			return w.NewOrder(t.Context(), c.request(), acme.OrderDraft{Identifiers: dns(names...), Replaces: id})
		}
		id := old.Certificate.RenewalID
		_, err := replace(d, id, "a.example.com")
		wants(t, "another account", err, "malformed")
		_, err = replace(c, id, "b.example.com")
		wants(t, "none of its names", err, "malformed")
		_, err = replace(c, "x", "a.example.com")
		wants(t, "no id", err, "malformed")
		_, err = replace(c, "AAAA.AAAA", "a.example.com")
		wants(t, "no certificate", err, "malformed")
		_, err = w.NewOrder(t.Context(), c.request(), acme.OrderDraft{Identifiers: dns("a.example.com")})
		wants(t, "an order beyond the limit", err, "rateLimited")

		one, err := replace(c, id, "a.example.com", "b.example.com") // not counted
		if err != nil || one.Replaces != id {
			t.Fatalf("%+v, %v", one, err)
		}
		if _, err := replace(c, id, "a.example.com"); err != nil {
			t.Errorf("while the first is not finalized: %v", err)
		}
		one = c.prove(one, "dns-01")
		if one, err = w.Finalize(t.Context(), c.request(), one.ID, csr(t, ecKey(t), "", "a.example.com", "b.example.com")); err != nil || one.Status != acme.Valid {
			t.Fatalf("%+v, %v", one, err)
		}
		_, err = replace(c, id, "a.example.com")
		wants(t, "once more", err, "alreadyReplaced")
		if acme.ProblemOf(err).Status != 409 {
			t.Error("it must be a conflict")
		}
	})
}

func TestDatesOfAnOrderAreKeptOrRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c := w.client("open").register()
	until := w.clock().Add(10 * 24 * time.Hour).Truncate(time.Second)
	o, err := w.NewOrder(t.Context(), c.request(), acme.OrderDraft{Identifiers: dns("a.example.com"), NotAfter: until, NotBefore: w.clock().Truncate(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	o = c.prove(o, "dns-01")
	if o, err = w.Finalize(t.Context(), c.request(), o.ID, csr(t, ecKey(t), "", "a.example.com")); err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(o.Certificate.DER)
	if err != nil || !leaf.NotAfter.Equal(until) {
		t.Errorf("until %v, want %v: %v", leaf.NotAfter, until, err)
	}
	for why, d := range map[string]acme.OrderDraft{
		"too short": {NotAfter: w.clock().Add(time.Minute)}, "too long": {NotAfter: w.clock().AddDate(1, 0, 0)}, "past": {NotAfter: w.clock().Add(-time.Hour)},
		"later": {NotBefore: w.clock().Add(time.Hour)}, "earlier": {NotBefore: w.clock().Add(-time.Hour)},
	} {
		d.Identifiers = dns("a.example.com")
		_, err := w.NewOrder(t.Context(), c.request(), d)
		wants(t, why, err, "malformed")
	}
}

func TestWhatIsOverIsForgottenAndCertificatesAreNot(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		c := w.client("open").register()
		dead, done := c.order("dead.example.com"), c.obtain("a.example.com")
		server, err := w.Server("open")
		if err != nil {
			t.Fatal(err)
		}
		prune := func() {
			t.Helper()
			if err := w.HandlePrune(t.Context(), acme.PruneArgs{}); err != nil {
				t.Fatal(err)
			}
		}

		w.pass(25 * time.Hour)
		prune()
		if o, err := w.GetOrder(t.Context(), c.request(), dead.ID); err != nil || o.Status != acme.Invalid {
			t.Errorf("an expired order is still there for a day, invalid: %+v, %v", o, err)
		}
		w.pass(4 * 24 * time.Hour)
		prune()
		_, err = w.GetOrder(t.Context(), c.request(), dead.ID)
		wants(t, "an old order", err, "malformed")
		_, err = w.GetAuthorization(t.Context(), c.request(), dead.Authorizations[0])
		wants(t, "an old authorization", err, "malformed")
		if _, err := w.RenewalInfo(t.Context(), server, done.Certificate.RenewalID); err != nil {
			t.Errorf("a certificate is forgotten: %v", err)
		}
		w.pass(70 * 24 * time.Hour)
		prune()
		if _, err := w.RenewalInfo(t.Context(), server, done.Certificate.RenewalID); err == nil {
			t.Error("a certificate that ended a month ago is remembered")
		}
	})
}

// A name that is authorised beforehand is anybody's to order, so it is nobody's to revoke.
func TestNamesAuthorisedBeforehandLetNobodyRevoke(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c, d := w.client("open").register(), w.client("open").register()
	o := c.obtain("db.inside.example.com")
	d.obtain("db.inside.example.com")

	wants(t, "another account", w.Revoke(t.Context(), d.request(), o.Certificate.DER, 1), "unauthorized")
	wants(t, "its account", w.Revoke(t.Context(), c.request(), o.Certificate.DER, 1), "")
}

// "Replaces" takes an order out of the count, so it must not be without end itself.
func TestOneCertificateIsNotReplacedWithoutEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), func(d *acme.Deps) { d.Limits.Orders = 2 })
	c := w.client("open").register()
	old := c.obtain("a.example.com")
	draft := acme.OrderDraft{Identifiers: dns("a.example.com"), Replaces: old.Certificate.RenewalID}
	taken := 0
	for range 20 {
		_, err := w.NewOrder(t.Context(), c.request(), draft)
		if err != nil {
			wants(t, "too many", err, "rateLimited")
			break
		}
		taken++
	}
	if taken != 11 { // ten renewals, and what the account has left
		t.Errorf("%d orders", taken)
	}
}

func TestAccountsAreCountedByNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), func(d *acme.Deps) { d.Limits.Accounts = 1 })
	for _, x := range []struct{ address, want string }{
		{"2001:db8:1:2::1", ""}, {"2001:db8:1:2:ffff::9", "rateLimited"}, {"2001:db8:1:3::1", ""}, {"192.0.2.1", ""}, {"192.0.2.1", "rateLimited"}, {"192.0.2.2", ""},
		{"::ffff:192.0.2.9", ""}, {"::ffff:192.0.2.10", ""},
	} {
		r := w.client("open").request()
		r.Origin.Address = x.address
		_, _, err := w.NewAccount(t.Context(), r, acme.AccountDraft{})
		wants(t, x.address, err, x.want)
	}
}
