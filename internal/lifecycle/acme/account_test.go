package acme_test

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// rollover is the inner JWS of a key change (RFC 8555 section 7.3.5).
type rollover struct {
	by      *ecdsa.PrivateKey
	kid     string // in place of jwk
	url     string
	nonce   string
	account string
	old     *ecdsa.PrivateKey
}

func (x rollover) sign(t testing.TB) []byte {
	t.Helper()
	o := &jose.SignerOptions{EmbedJWK: x.kid == "", ExtraHeaders: map[jose.HeaderKey]any{"url": x.url}}
	if x.nonce != "" {
		o.ExtraHeaders["nonce"] = x.nonce
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: x.by, KeyID: x.kid}}, o)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(marshal(t, map[string]any{"account": x.account, "oldKey": jose.JSONWebKey{Key: &x.old.PublicKey}}))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(signed.FullSerialize())
}

// carrying is a signed request with a payload.
func (c *client) carrying(payload []byte) acme.Request {
	c.w.t.Helper()
	url := c.base() + "/new-order"
	r, err := c.verify(c.jws(url, payload, nil), url, acme.ByAccount)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return r
}

// fields are the members of a JWS.
func fields(t testing.TB, jws []byte) map[string]string {
	t.Helper()
	var m map[string]string
	if err := json.Unmarshal(jws, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAKeyIsChangedByWhoHoldsBoth(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		c, other := w.client("open").register(), w.client("open").register()
		fresh := ecKey(t)
		right := rollover{by: fresh, url: c.base() + "/new-order", account: c.base() + "/account/" + c.account, old: c.key}
		with := func(f func(*rollover)) []byte { x := right; f(&x); return x.sign(t) }
		stolen := fields(t, right.sign(t))
		stolen["signature"] = fields(t, with(func(x *rollover) { x.by = ecKey(t) }))["signature"]
		for _, x := range []struct {
			why   string
			inner []byte
			want  string
		}{
			{"no JWS", []byte(`{}`), "malformed"},
			{"signed by another than the new key", marshal(t, stolen), "malformed"},
			{"a kid", with(func(x *rollover) { x.by, x.kid = c.key, right.account }), "malformed"},
			{"another address", with(func(x *rollover) { x.url += "x" }), "malformed"},
			{"a nonce", with(func(x *rollover) { x.nonce = w.nonces.Make() }), "malformed"},
			{"another account", with(func(x *rollover) { x.account = c.base() + "/account/" + other.account }), "malformed"},
			{"another server's account", with(func(x *rollover) { x.account = strings.Replace(right.account, "open", "web", 1) }), "malformed"},
			{"another old key", with(func(x *rollover) { x.old = other.key }), "malformed"},
			{"the key of another account", with(func(x *rollover) { x.by = other.key }), "malformed"},
			{"the key that it has", with(func(x *rollover) { x.by = c.key }), "malformed"},
		} {
			_, err := w.ChangeKey(t.Context(), c.carrying(x.inner))
			wants(t, x.why, err, x.want)
		}
		_, err := w.ChangeKey(t.Context(), c.carrying(with(func(x *rollover) { x.by = other.key })))
		var taken *acme.TakenKey
		if !errors.As(err, &taken) || taken.Account != other.account || acme.ProblemOf(err).Status != 409 {
			t.Errorf("section 7.3.5 wants 409 and the account that has the key: %v", err)
		}

		if _, err := w.ChangeKey(t.Context(), c.carrying(right.sign(t))); err != nil {
			t.Fatal(err)
		}

		url := c.base() + "/new-order"
		_, err = c.verify(c.jws(url, nil, nil), url, acme.ByAccount)
		wants(t, "the old key afterwards", err, "malformed")
		c.key = fresh
		if r := c.request(); r.Account.ID != c.account {
			t.Errorf("the new key signs for %s", r.Account.ID)
		}
	})
}

// blind does not see accounts by their keys, as when another request makes one at the same time.
type blind struct {
	acme.Store
	on atomic.Bool
}

// AccountByKey implements acme.Store.
func (b *blind) AccountByKey(ctx context.Context, profile, thumbprint string) (acme.Account, error) {
	if b.on.Swap(false) {
		return acme.Account{}, fault.New(fault.NotFound, "", "not yet")
	}
	return b.Store.AccountByKey(ctx, profile, thumbprint)
}

func TestAKeyHasOneAccountWhoeverIsFaster(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		var b *blind
		w := newWorld(t, db, func(d *acme.Deps) { b = &blind{Store: d.Store}; d.Store = b })
		c, other := w.client("open").register(), w.client("open").register()
		inner := rollover{by: other.key, url: c.base() + "/new-order", account: c.base() + "/account/" + c.account, old: c.key}.sign(t)
		r := c.carrying(inner)
		b.on.Store(true)

		_, err := w.ChangeKey(t.Context(), r)

		var taken *acme.TakenKey
		if !errors.As(err, &taken) || taken.Account != other.account {
			t.Errorf("a key change: %v", err)
		}
		again := *c
		again.account = ""
		r = again.request()
		b.on.Store(true)
		if a, made, err := w.NewAccount(t.Context(), r, acme.AccountDraft{}); err != nil || made || a.ID != c.account {
			t.Errorf("a new account: %+v, made %v, %v", a, made, err)
		}
	})
}

func TestNewAccountsAreMadeByTheRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), func(d *acme.Deps) { d.Terms = "https://ca.example/terms" })
	agree := acme.AccountDraft{Terms: true}
	c := w.client("open")
	_, _, err := w.NewAccount(t.Context(), c.request(), acme.AccountDraft{OnlyExisting: true, Terms: true})
	wants(t, "only an existing one", err, "accountDoesNotExist")
	_, _, err = w.NewAccount(t.Context(), c.request(), acme.AccountDraft{})
	wants(t, "without agreement", err, "userActionRequired")
	for contact, want := range map[string]string{
		"mailto:a@example.com": "", "tel:1": "unsupportedContact", "a@example.com": "unsupportedContact", "mailto:a@example.com,b@example.com": "invalidContact",
		"mailto:a@example.com?subject=x": "invalidContact", "mailto:A <a@example.com>": "invalidContact", "mailto:" + strings.Repeat("a", 300) + "@example.com": "invalidContact",
	} {
		_, _, err = w.NewAccount(t.Context(), w.client("open").request(), acme.AccountDraft{Terms: true, Contacts: []string{contact}})
		wants(t, contact, err, want)
	}
	_, _, err = w.NewAccount(t.Context(), c.request(), acme.AccountDraft{Terms: true, Contacts: slices.Repeat([]string{"mailto:a@example.com"}, 11)})
	wants(t, "eleven contacts", err, "invalidContact")
	a, made, err := w.NewAccount(t.Context(), c.request(), agree)
	if err != nil || !made || a.Terms.IsZero() {
		t.Fatalf("%+v, %v, %v", a, made, err)
	}
	if found, made, err := w.NewAccount(t.Context(), c.request(), acme.AccountDraft{OnlyExisting: true}); err != nil || made || found.ID != a.ID {
		t.Errorf("the existing one: %+v, %v, %v", found, made, err)
	}
	signed := *c
	signed.account = a.ID
	if _, err := w.DeactivateAccount(t.Context(), signed.request()); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.NewAccount(t.Context(), c.request(), agree)
	wants(t, "of a key whose account has ended", err, "unauthorized")
}

func TestOrdersEndWithTheirTimeAndTheirAuthorizations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c := w.client("open").register()
	pending, ready := c.order("a.example.com", "b.example.com"), c.prove(c.order("c.example.com"), "dns-01")
	c.prove(c.order("d.example.com"), "dns-01") // valid for a week
	half := c.order("d.example.com", "e.example.com")
	if half.Status != acme.Pending || ready.Status != acme.Ready {
		t.Fatalf("%s with one of two names shown; %s with all", half.Status, ready.Status)
	}
	_, err := w.Finalize(t.Context(), c.request(), half.ID, csr(t, ecKey(t), "", "d.example.com", "e.example.com"))
	wants(t, "half shown", err, "orderNotReady")
	a, err := w.GetAuthorization(t.Context(), c.request(), ready.Authorizations[0])
	if err != nil {
		t.Fatal(err)
	}

	w.pass(24*time.Hour + time.Second)

	for _, o := range []acme.Order{pending, ready} {
		if got, err := w.GetOrder(t.Context(), c.request(), o.ID); err != nil || got.Status != acme.Invalid || got.Problem == nil {
			t.Errorf("a day later: %+v, %v", got, err)
		}
	}
	if got, err := w.GetAuthorization(t.Context(), c.request(), pending.Authorizations[0]); err != nil || got.Status != acme.Expired {
		t.Errorf("the authorization is %s, %v", got.Status, err)
	}
	if _, x, err := w.Respond(t.Context(), c.request(), pending.Authorizations[0], "http-01"); err != nil || x.Status != acme.Pending {
		t.Errorf("a challenge of an authorization that is over: %+v, %v", x, err)
	}
	if again := c.order("c.example.com"); again.Status != acme.Ready || again.Authorizations[0] != a.ID {
		t.Errorf("within a week it is taken again: %+v", again)
	}
	w.pass(7 * 24 * time.Hour)
	if again := c.order("c.example.com"); again.Status != acme.Pending || again.Authorizations[0] == a.ID {
		t.Errorf("after a week it is not: %+v", again)
	}
}
