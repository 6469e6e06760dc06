package acme_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/validation/challenge"
	"chatelaine.dev/internal/storage/storagetest"
)

// changing are profiles whose ACME door a test changes.
type changing struct {
	acme.Profiles
	change func(d *profile.ACMEDoor)
}

// Get implements acme.Profiles.
func (c *changing) Get(name string) (profile.Profile, error) {
	p, err := c.Profiles.Get(name)
	if err == nil && p.Doors.ACME != nil && c.change != nil {
		d := *p.Doors.ACME
		c.change(&d)
		p.Doors.ACME = &d
	}
	return p, err
}

// What an account has shown counts as long as the door would let it show it today.
func TestADoorThatIsChangedCountsForWhatWasAuthorisedBefore(t *testing.T) {
	t.Parallel()
	var p *changing
	w := newWorld(t, storagetest.SQLite(t), func(d *acme.Deps) { p = &changing{Profiles: d.Profiles}; d.Profiles = p })
	c := w.client("open").register()
	byHTTP, beforehand := c.prove(c.order("a.example.com"), "http-01"), c.order("db.inside.example.com")
	if byHTTP.Status != acme.Ready || beforehand.Status != acme.Ready {
		t.Fatalf("%s, %s", byHTTP.Status, beforehand.Status)
	}
	for why, x := range map[string]struct {
		change func(d *profile.ACMEDoor)
		name   string
		ready  acme.Order
		order  string // what a new order gets
	}{
		"the method is not offered any more":   {func(d *profile.ACMEDoor) { d.Challenges = []string{"dns-01"} }, "a.example.com", byHTTP, ""},
		"the name is not allowed any more":     {func(d *profile.ACMEDoor) { d.Names, d.Preauthorized = []string{"b.example.com"}, nil }, "a.example.com", byHTTP, "rejectedIdentifier"},
		"it is not authorised beforehand more": {func(d *profile.ACMEDoor) { d.Preauthorized = nil }, "db.inside.example.com", beforehand, ""},
	} {
		p.change = x.change
		_, err := w.Finalize(t.Context(), c.request(), x.ready.ID, csr(t, ecKey(t), "", x.name))
		wants(t, why+": finalize", err, "unauthorized")
		o, err := w.NewOrder(t.Context(), c.request(), acme.OrderDraft{Identifiers: dns(x.name)})
		wants(t, why+": order", err, x.order)
		if err == nil && (o.Status != acme.Pending || o.Authorizations[0] == x.ready.Authorizations[0]) {
			t.Errorf("%s: the new order is %s", why, o.Status)
		}
	}
	if len(w.ca.asks) != 0 {
		t.Errorf("%d certificates were asked for", len(w.ca.asks))
	}
	p.change = nil
	if o, err := w.Finalize(t.Context(), c.request(), byHTTP.ID, csr(t, ecKey(t), "", "a.example.com")); err != nil || o.Status != acme.Valid {
		t.Errorf("as it was: %+v, %v", o, err)
	}
}

func TestIdentifiersAreAuthorisedBeforeTheyAreOrdered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), func(d *acme.Deps) { d.Limits.Orders = 4 })
	c := w.client("open").register()
	for name, want := range map[string]string{"*.example.com": "malformed", "a.example.org": "rejectedIdentifier", "a..example.com": "malformed"} {
		_, err := w.NewAuthorization(t.Context(), c.request(), dns(name)[0])
		wants(t, name, err, want)
	}
	a, err := w.NewAuthorization(t.Context(), c.request(), dns("a.example.com")[0])
	if err != nil || a.Status != acme.Pending || len(a.Challenges) != 3 {
		t.Fatalf("%+v, %v", a, err)
	}
	if _, _, err := w.Respond(t.Context(), c.request(), a.ID, "http-01"); err != nil {
		t.Fatal(err)
	}

	again, err := w.NewAuthorization(t.Context(), c.request(), dns("a.example.com")[0])
	if err != nil || again.ID != a.ID || again.Status != acme.Valid {
		t.Errorf("again: %+v, %v", again, err)
	}
	if o := c.order("a.example.com"); o.Status != acme.Ready {
		t.Errorf("its order is %s", o.Status)
	}
	for range 2 { // with the order: four
		_, err = w.NewAuthorization(t.Context(), c.request(), dns("b.example.com")[0])
	}
	wants(t, "too many", err, "rateLimited")
	if _, err := w.DeactivateAuthorization(t.Context(), c.request(), a.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := w.DeactivateAuthorization(t.Context(), c.request(), a.ID); err != nil || got.Status != acme.Deactivated {
		t.Errorf("given up twice: %s, %v", got.Status, err)
	}
}

func TestOrdersHaveNoMoreIdentifiersThanTheProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c := w.client("open").register()
	for n, want := range map[int]string{5: "", 6: "malformed"} {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("n%d.example.com", i))
		}
		_, err := w.NewOrder(t.Context(), c.request(), acme.OrderDraft{Identifiers: dns(names...)})
		wants(t, fmt.Sprint(n), err, want)
	}
}

// A failed authorization has nothing to give up, and what was decided is not decided again.
func TestADecidedAuthorizationStaysDecided(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c := w.client("open").register()
	w.fails["a.example.com"] = context.DeadlineExceeded
	o := c.order("a.example.com")
	if a, _, err := w.Respond(t.Context(), c.request(), o.Authorizations[0], "http-01"); err != nil || a.Status != acme.Invalid {
		t.Fatalf("%+v, %v", a, err)
	}
	delete(w.fails, "a.example.com")

	for _, method := range []string{"http-01", "dns-01"} {
		if a, _, err := w.Respond(t.Context(), c.request(), o.Authorizations[0], method); err != nil || a.Status != acme.Invalid {
			t.Errorf("%s after the failure: %+v, %v", method, a, err)
		}
	}
	if len(w.proofs) != 1 {
		t.Errorf("%d validations", len(w.proofs))
	}
	_, err := w.DeactivateAuthorization(t.Context(), c.request(), o.Authorizations[0])
	wants(t, "giving it up", err, "malformed")
}

// bound is the external account binding of a client, signed by the key; kid or jwk names it.
func bound(t testing.TB, c *client, k acme.ExternalKey, jwk bool) []byte {
	t.Helper()
	secret, err := base64.RawURLEncoding.DecodeString(k.Secret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	o := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"url": c.base() + "/new-order"}}
	if jwk {
		o.ExtraHeaders["jwk"] = jose.JSONWebKey{Key: &c.key.PublicKey}
	} else {
		o.ExtraHeaders["kid"] = k.ID
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret}, o)
	if err != nil {
		t.Fatal(err)
	}
	x, err := s.Sign(marshal(t, jose.JSONWebKey{Key: &c.key.PublicKey}))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(x.FullSerialize())
}

func TestAnExternalKeyMakesOneAccountWhoeverIsFaster(t *testing.T) {
	t.Parallel()
	var before func()
	w := newWorld(t, storagetest.SQLite(t), func(d *acme.Deps) {
		transact := d.Transact
		d.Transact = func(ctx context.Context, f func(context.Context) error) error {
			if b := before; b != nil {
				before = nil
				b()
			}
			return transact(ctx, f)
		}
	})
	k, err := w.CreateExternalKey(t.Context(), admin, acme.ExternalKeyDraft{Profile: "bound", Owner: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	slow, fast := w.client("bound"), w.client("bound")
	_, _, err = w.NewAccount(t.Context(), slow.request(), acme.AccountDraft{Binding: bound(t, slow, k, true)})
	wants(t, "a jwk in place of the kid", err, "malformed")
	r, first := slow.request(), fast.request()
	before = func() {
		if _, _, err := w.NewAccount(t.Context(), first, acme.AccountDraft{Binding: bound(t, fast, k, false)}); err != nil {
			t.Error(err)
		}
	}

	_, _, err = w.NewAccount(t.Context(), r, acme.AccountDraft{Binding: bound(t, slow, k, false)})

	wants(t, "the slower one", err, "unauthorized")
	if list, err := w.Accounts(t.Context(), admin, acme.AccountQuery{ExternalKey: k.ID}); err != nil || len(list) != 1 {
		t.Errorf("%d accounts, %v", len(list), err)
	}
	if !slices.Contains(w.operations(), "AcmeAccountCreate") {
		t.Error("no record")
	}
}

// A door that is open for every name is bound by its profile still.
func TestADoorIsNoWiderThanItsProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c := w.client("plain").register()
	for name, want := range map[string]string{"a.example.com": "", "*.example.com": "rejectedIdentifier", "192.0.2.7": "rejectedIdentifier", "host": "rejectedIdentifier"} {
		_, err := w.NewOrder(t.Context(), c.request(), acme.OrderDraft{Identifiers: dns(name)})
		wants(t, name, err, want)
	}
}

// slow validates when it is told to.
type slow struct {
	begun, end chan struct{}
}

// Validate implements acme.Validator.
func (s slow) Validate(context.Context, challenge.Proof) error {
	s.begun <- struct{}{}
	<-s.end
	return nil
}

func TestValidationsAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	v := slow{make(chan struct{}), make(chan struct{})}
	w := newWorld(t, storagetest.SQLite(t), func(d *acme.Deps) { d.Limits.Validations = 1; d.Validator = v })
	c := w.client("open").register()
	one, two := c.order("a.example.com"), c.order("b.example.com")
	done := make(chan error)
	r := c.request()
	go func() {
		_, _, err := w.Respond(t.Context(), r, one.Authorizations[0], "http-01")
		done <- err
	}()
	<-v.begun

	_, _, err := w.Respond(t.Context(), c.request(), two.Authorizations[0], "http-01")

	wants(t, "one more", err, "rateLimited")
	if acme.ProblemOf(err).RetryAfter <= 0 {
		t.Error("it must say when to try again")
	}
	v.end <- struct{}{}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// RFC 8659 section 3: who cannot look must not issue.
func TestNamesWhoseCAARecordsCannotBeHadAreNotCertified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c := w.client("open").register()
	o := c.prove(c.order("a.example.com", "b.example.com"), "dns-01")
	w.silent["b.example.com"] = true

	_, err := w.Finalize(t.Context(), c.request(), o.ID, csr(t, ecKey(t), "", "a.example.com", "b.example.com"))

	wants(t, "the resolver is away", err, "caa")
	if p := acme.ProblemOf(err); p.RetryAfter <= 0 || len(w.ca.asks) != 0 {
		t.Errorf("try again in %s; %d certificates were asked for", p.RetryAfter, len(w.ca.asks))
	}
	delete(w.silent, "b.example.com")
	if o, err = w.Finalize(t.Context(), c.request(), o.ID, csr(t, ecKey(t), "", "a.example.com", "b.example.com")); err != nil || o.Status != acme.Valid {
		t.Errorf("when it is back: %+v, %v", o, err)
	}
}

func TestAServerKnowsNoCertificatesOfAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c := w.client("open").register()
	key := ecKey(t)
	o := c.prove(c.order("a.example.com"), "dns-01")
	o, err := w.Finalize(t.Context(), c.request(), o.ID, csr(t, key, "", "a.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	holder := w.client("web")
	holder.key = key

	wants(t, "revocation by its key at another server", w.Revoke(t.Context(), holder.request(), o.Certificate.DER, 1), "malformed")
	server, err := w.Server("web")
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.RenewalInfo(t.Context(), server, o.Certificate.RenewalID)
	wants(t, "renewal information of another server", err, "malformed")
	if len(w.ca.ended) != 0 {
		t.Error("it is revoked")
	}
}

func TestTheLimitOfOrdersRefillsOverAnHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), func(d *acme.Deps) { d.Limits.Orders = 2 })
	c := w.client("open").register()
	order := func() error {
		_, err := w.NewOrder(t.Context(), c.request(), acme.OrderDraft{Identifiers: dns("a.example.com")})
		return err
	}
	for _, x := range []struct {
		after time.Duration
		want  string
	}{{0, ""}, {0, ""}, {0, "rateLimited"}, {25 * time.Minute, "rateLimited"}, {6 * time.Minute, ""}, {0, "rateLimited"}, {5 * time.Hour, ""}, {0, ""}, {0, "rateLimited"}} {
		w.pass(x.after)
		wants(t, x.after.String(), order(), x.want)
	}
}

func TestWindowsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	for range 200 {
		if _, err := w.CreateWindow(t.Context(), admin, acme.Window{End: w.clock().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.CreateWindow(t.Context(), admin, acme.Window{End: w.clock().Add(time.Hour)}); !fault.HasCode(err, "TooManyWindows") {
		t.Errorf("got %v", err)
	}
}
