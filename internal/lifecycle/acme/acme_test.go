package acme_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/pki/validation/challenge"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

var admin = access.Caller{Principal: "admin", Name: "admin"}

func TestAnOrderBecomesACertificateOfExactlyItsNames(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		c := w.client("open").register()

		o := c.order("a.example.com", "*.example.com", "192.0.2.7", "A.example.com")
		if o.Status != acme.Pending || len(o.Identifiers) != 3 || len(o.Authorizations) != 3 {
			t.Fatalf("%+v", o)
		}
		var offered []string
		for _, id := range o.Authorizations {
			a, err := w.GetAuthorization(t.Context(), c.request(), id)
			if err != nil {
				t.Fatal(err)
			}
			kinds := ""
			for _, x := range a.Challenges {
				kinds += " " + x.Type
			}
			offered = append(offered, a.Identifier.Value+kinds)
			method := "http-01"
			if a.Wildcard {
				method = "dns-01"
			}
			if a, _, err = w.Respond(t.Context(), c.request(), id, method); err != nil || a.Status != acme.Valid {
				t.Fatalf("%+v, %v", a, err)
			}
		}
		if d := cmp.Diff([]string{"a.example.com http-01 dns-01 tls-alpn-01", "example.com dns-01", "192.0.2.7 http-01 tls-alpn-01"}, offered); d != "" {
			t.Error(d)
		}
		thumb := c.request().Account.Thumbprint
		for _, p := range w.proofs {
			if p.Authorization != p.Token+"."+thumb || len(p.Token) < 43 {
				t.Errorf("%+v", p)
			}
		}
		o, err := w.Finalize(t.Context(), c.request(), o.ID, csr(t, ecKey(t), "a.example.com", "a.example.com", "*.example.com", "192.0.2.7"))
		if err != nil || o.Status != acme.Valid {
			t.Fatalf("%+v, %v", o, err)
		}
		chain, _, err := w.Download(t.Context(), c.request(), o.ID, 0)
		if err != nil || len(chain) != 2 {
			t.Fatal(len(chain), err)
		}
		if want := w.operations(); !slices.Contains(want, "AcmeAccountCreate") || !slices.Contains(want, "AcmeOrderCreate") || !slices.Contains(want, "AcmeAuthorizationValidate") || !slices.Contains(want, "AcmeOrderFinalize") {
			t.Errorf("records %q", want)
		}
		var names []string
		for _, q := range w.asked {
			names = append(names, q.Name+" "+q.Method+" "+strings.TrimPrefix(q.Account, c.base()))
		}
		slices.Sort(names)
		if d := cmp.Diff([]string{"*.example.com dns-01 /account/" + c.account, "a.example.com http-01 /account/" + c.account}, names); d != "" {
			t.Errorf("CAA was asked for each name once: %s", d)
		}
	})
}

func TestRequestsAreTakenFromTheRightSignerAtTheRightAddressOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c, ended := w.client("open").register(), w.client("open").register()
	if _, err := w.EndAccount(t.Context(), admin, ended.account); err != nil {
		t.Fatal(err)
	}
	elsewhere, bare := *c, *c
	elsewhere.profile, bare.account = "web", ""
	thief := *c
	thief.key = ecKey(t)
	url := c.base() + "/new-order"
	replayed := c.jws(url, nil, nil)
	if _, err := c.verify(replayed, url, acme.ByAccount); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		why  string
		from *client
		body []byte
		url  string
		by   acme.Signer
		want string
	}{
		{"right", c, c.jws(url, nil, nil), url, acme.ByAccount, ""},
		{"again", c, replayed, url, acme.ByAccount, "badNonce"},
		{"without nonce", c, c.jws(url, nil, map[jose.HeaderKey]any{"nonce": ""}), url, acme.ByAccount, "badNonce"},
		{"another's nonce", c, c.jws(url, nil, map[jose.HeaderKey]any{"nonce": "AAAA"}), url, acme.ByAccount, "badNonce"},
		{"for another address", c, c.jws(url+"x", nil, nil), url, acme.ByAccount, "unauthorized"},
		{"for another host", c, c.jws("https://evil.example/acme/open/new-order", nil, nil), url, acme.ByAccount, "unauthorized"},
		{"signed by another key", c, thief.jws(url, nil, nil), url, acme.ByAccount, "malformed"},
		{"jwk where an account must sign", c, bare.jws(url, nil, nil), url, acme.ByAccount, "malformed"},
		{"kid where a key must sign", c, c.jws(url, nil, nil), url, acme.ByKey, "malformed"},
		{"an ended account", ended, ended.jws(url, nil, nil), url, acme.ByAccount, "unauthorized"},
		{"an account of another server", &elsewhere, elsewhere.jws(elsewhere.base()+"/new-order", nil, nil), elsewhere.base() + "/new-order", acme.ByAccount, "accountDoesNotExist"},
		{"a kid with a climbing path", c, c.jws(url, nil, map[jose.HeaderKey]any{"kid": c.base() + "/account/../account/" + c.account}), url, acme.ByAccount, "accountDoesNotExist"},
		{"a kid of another host", c, c.jws(url, nil, map[jose.HeaderKey]any{"kid": "https://evil.example/acme/open/account/" + c.account}), url, acme.ByAccount, "malformed"},
		{"a kid of SQL", c, c.jws(url, nil, map[jose.HeaderKey]any{"kid": c.base() + "/account/' OR 1=1 --"}), url, acme.ByAccount, "accountDoesNotExist"},
	} {
		_, err := x.from.verify(x.body, x.url, x.by)
		wants(t, x.why, err, x.want)
	}
}

// A node does not know which nonces another has taken; the database does for what must
// not happen twice.
func TestAReplayedOrderOnAnotherNodeMakesNoSecondOrder(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		one, other := newWorld(t, db), newWorld(t, db)
		c := one.client("open").register()
		url := c.base() + "/new-order"
		body := c.jws(url, nil, nil)
		there := *c
		there.w = other
		first, err := c.verify(body, url, acme.ByAccount)
		if err != nil {
			t.Fatal(err)
		}
		second, err := there.verify(body, url, acme.ByAccount)
		if err != nil {
			t.Fatal(err)
		}
		d := acme.OrderDraft{Identifiers: dns("a.example.com")}
		if _, err := one.NewOrder(t.Context(), first, d); err != nil {
			t.Fatal(err)
		}
		_, err = other.NewOrder(t.Context(), second, d)
		wants(t, "the replay", err, "badNonce")
	})
}

func TestNamesOutsideTheDoorAreRejectedEachByName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c := w.client("web").register()
	for name, want := range map[string]string{
		"a.example.com": "", "a.b.example.com": "", "192.0.2.7": "",
		"example.com": "rejectedIdentifier", "example.org": "rejectedIdentifier", "aexample.com": "rejectedIdentifier", "192.0.3.1": "rejectedIdentifier",
		"*.a.example.com": "rejectedIdentifier", // this door has no dns-01
		"a..example.com":  "malformed", "a_b.example.com": "malformed", "-a.example.com": "malformed", "a.example.com.": "malformed",
		"\u212A.example.com": "malformed", "*.*.example.com": "malformed", "a b.example.com": "malformed", "": "malformed", "x.1": "malformed",
		strings.Repeat("a", 64) + ".example.com": "malformed", "xn--a.example.com": "", "ab--c.example.com": "malformed",
	} {
		_, err := w.NewOrder(t.Context(), c.request(), acme.OrderDraft{Identifiers: dns(name)})
		wants(t, name, err, want)
	}
	for _, ip := range []string{"192.0.2.007", "::ffff:192.0.2.7", "0.0.0.0", "fe80::1%eth0", "2001:DB8::1", "224.0.0.1", "3221226247"} {
		_, err := w.NewOrder(t.Context(), c.request(), acme.OrderDraft{Identifiers: []acme.Identifier{{Type: "ip", Value: ip}}})
		wants(t, ip, err, "malformed")
	}
	_, err := w.NewOrder(t.Context(), c.request(), acme.OrderDraft{Identifiers: []acme.Identifier{{Type: "email", Value: "a@example.com"}}})
	wants(t, "email", err, "unsupportedIdentifier")
	_, err = w.NewOrder(t.Context(), c.request(), acme.OrderDraft{})
	wants(t, "nothing", err, "malformed")
	_, err = w.NewOrder(t.Context(), c.request(), acme.OrderDraft{Identifiers: dns("a.example.com", "b.example.org", "c.example.net")})
	if p := acme.ProblemOf(err); len(p.Subproblems) != 2 || p.Subproblems[0].Identifier.Value != "b.example.org" {
		t.Errorf("%+v", p)
	}
	_, err = w.NewOrder(t.Context(), c.request(), acme.OrderDraft{Identifiers: dns("a.example.com"), Profile: "open"})
	wants(t, "another profile", err, "invalidProfile")
	if _, err := w.Server("closed"); err == nil {
		t.Error("a closed door has a server")
	}
	if _, err := w.Server("absent"); err == nil {
		t.Error("a profile that does not exist has a server")
	}
}

func TestAFailedChallengeEndsItsOrderAndIsCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), func(d *acme.Deps) { d.Limits.Failures = 2 })
	c := w.client("open").register()
	w.fails["a.example.com"] = &challenge.Failure{Kind: challenge.Connection, Detail: "it was not reached"}
	for range 2 {
		o := c.order("a.example.com")
		a, x, err := w.Respond(t.Context(), c.request(), o.Authorizations[0], "http-01")
		if err != nil || a.Status != acme.Invalid || x.Problem == nil || x.Problem.Type != "connection" || x.Problem.Identifier.Value != "a.example.com" {
			t.Fatalf("%+v %+v, %v", a, x, err)
		}
		if o, err = w.GetOrder(t.Context(), c.request(), o.ID); err != nil || o.Status != acme.Invalid || o.Problem.Type != "connection" {
			t.Errorf("%+v, %v", o, err)
		}
		_, err = w.Finalize(t.Context(), c.request(), o.ID, csr(t, ecKey(t), "", "a.example.com"))
		wants(t, "finalize", err, "orderNotReady")
	}
	o := c.order("a.example.com")
	_, _, err := w.Respond(t.Context(), c.request(), o.Authorizations[0], "http-01")
	wants(t, "a third failure", err, "rateLimited")
	if acme.ProblemOf(err).RetryAfter <= 0 {
		t.Error("nobody says when to try again")
	}
	w.pass(31 * time.Minute)
	delete(w.fails, "a.example.com")
	if a, _, err := w.Respond(t.Context(), c.request(), o.Authorizations[0], "http-01"); err != nil || a.Status != acme.Valid {
		t.Errorf("after a while: %+v, %v", a, err)
	}
	if !slices.Contains(w.operations(), "AcmeAuthorizationValidate failed") {
		t.Errorf("records %q", w.operations())
	}
}

func TestCSRsThatAskForMoreOrLessAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c := w.client("open").register()
	o := c.prove(c.order("a.example.com", "b.example.com"), "http-01")
	key := ecKey(t)
	for _, x := range []struct {
		why string
		der []byte
	}{
		{"nothing", nil},
		{"no CSR", []byte("x")},
		{"too long", make([]byte, 70_000)},
		{"one name less", csr(t, key, "", "a.example.com")},
		{"one name more", csr(t, key, "", "a.example.com", "b.example.com", "c.example.com")},
		{"another name", csr(t, key, "", "a.example.com", "c.example.com")},
		{"a wildcard for a name", csr(t, key, "", "a.example.com", "*.example.com")},
		{"another common name", csr(t, key, "c.example.com", "a.example.com", "b.example.com")},
		{"an address more", csr(t, key, "", "a.example.com", "b.example.com", "192.0.2.7")},
		{"an e-mail address", csr(t, key, "", "a.example.com", "b.example.com", "a@example.com")},
		{"a URI", csr(t, key, "", "a.example.com", "b.example.com", "spiffe://example.com/a")},
		{"the account's key", csr(t, c.key, "", "a.example.com", "b.example.com")},
	} {
		_, err := w.Finalize(t.Context(), c.request(), o.ID, x.der)
		wants(t, x.why, err, "badCSR")
	}
	if len(w.ca.asks) != 0 {
		t.Fatalf("%d certificates were asked for", len(w.ca.asks))
	}
	done, err := w.Finalize(t.Context(), c.request(), o.ID, csr(t, key, "b.example.com", "A.example.com"))
	if err != nil || done.Status != acme.Valid {
		t.Errorf("a name as common name alone: %+v, %v", done, err)
	}
	again, err := w.Finalize(t.Context(), c.request(), o.ID, csr(t, key, "", "b.example.com", "a.example.com"))
	if err != nil || again.Certificate.SHA256 != done.Certificate.SHA256 {
		t.Errorf("finalized again: %+v, %v", again, err)
	}
}

func TestCAAForbidsByNameAtTheTimeOfIssuance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c := w.client("open").register()
	names := []string{"a.example.com", "b.example.com", "c.example.com", "d.example.com", "x.inside.example.com"}
	o := c.prove(c.order(names...), "http-01")
	w.forbids["b.example.com"], w.forbids["d.example.com"], w.forbids["x.inside.example.com"] = true, true, true

	_, err := w.Finalize(t.Context(), c.request(), o.ID, csr(t, ecKey(t), "", names...))

	p := acme.ProblemOf(err)
	var bad []string
	for _, s := range p.Subproblems {
		bad = append(bad, s.Identifier.Value)
	}
	if d := cmp.Diff([]string{"b.example.com", "d.example.com"}, bad); p.Type != "caa" || d != "" {
		t.Errorf("%v: %s", err, d)
	}
	seen := map[string]int{}
	for _, q := range w.asked {
		seen[q.Name]++
	}
	for _, n := range names[:4] {
		if seen[n] != 1 {
			t.Errorf("%s was asked for %d times", n, seen[n])
		}
	}
	if len(w.ca.asks) != 0 {
		t.Error("a certificate was asked for")
	}
}

func TestPreauthorisedNamesNeedNoChallenge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c := w.client("open").register()
	o := c.order("x.inside.example.com")
	if o.Status != acme.Ready {
		t.Fatalf("%+v", o)
	}
	if o, err := w.Finalize(t.Context(), c.request(), o.ID, csr(t, ecKey(t), "", "x.inside.example.com")); err != nil || o.Status != acme.Valid || len(w.proofs) != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestAnApprovalKeepsTheOrderProcessing(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		c := w.client("open").register()
		w.ca.decide(acme.Pending)
		o := c.prove(c.order("a.example.com"), "http-01")
		der := csr(t, ecKey(t), "", "a.example.com")
		for range 2 {
			got, err := w.Finalize(t.Context(), c.request(), o.ID, der)
			if err != nil || got.Status != acme.Processing {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		got, err := w.GetOrder(t.Context(), c.request(), o.ID)
		if err != nil || got.Status != acme.Processing || got.RetryAfter != time.Minute {
			t.Errorf("%+v, %v", got, err)
		}
		w.pass(3 * 24 * time.Hour) // people take their time
		w.ca.decide("")
		if got, err = w.GetOrder(t.Context(), c.request(), o.ID); err != nil || got.Status != acme.Valid {
			t.Fatalf("%+v, %v", got, err)
		}

		w.ca.decide(acme.Pending)
		o = c.prove(c.order("b.example.com"), "http-01")
		if _, err := w.Finalize(t.Context(), c.request(), o.ID, csr(t, ecKey(t), "", "b.example.com")); err != nil {
			t.Fatal(err)
		}
		w.ca.decide(acme.Invalid)
		if got, err = w.GetOrder(t.Context(), c.request(), o.ID); err != nil || got.Status != acme.Invalid || !strings.Contains(got.Problem.Detail, "said no") {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestExternalAccountKeysBindOneAccountToItsOwner(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		make := func(d acme.ExternalKeyDraft) acme.ExternalKey {
			t.Helper()
			k, err := w.CreateExternalKey(t.Context(), admin, d)
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
		bind := func(c *client, k acme.ExternalKey, url string, jwk any) []byte {
			t.Helper()
			secret, err := base64.RawURLEncoding.DecodeString(k.Secret.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret}, &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"url": url, "kid": k.ID}})
			if err != nil {
				t.Fatal(err)
			}
			x, err := s.Sign(marshal(t, jose.JSONWebKey{Key: jwk}))
			if err != nil {
				t.Fatal(err)
			}
			return []byte(x.FullSerialize())
		}
		one := make(acme.ExternalKeyDraft{Profile: "bound", Owner: "shop"})
		other := make(acme.ExternalKeyDraft{Profile: "open", Owner: "shop"})
		old := make(acme.ExternalKeyDraft{Profile: "bound", Owner: "shop", Expires: w.clock().Add(time.Hour)})
		gone := make(acme.ExternalKeyDraft{Profile: "bound", Owner: "shop"})
		if _, err := w.RevokeExternalKey(t.Context(), admin, gone.ID); err != nil {
			t.Fatal(err)
		}
		w.pass(2 * time.Hour)
		forged := one
		forged.Secret = other.Secret
		unknown := one
		unknown.ID = "nobody"
		c, d := w.client("bound"), w.client("bound")
		url := c.base() + "/new-order" // the address of client.request
		for _, x := range []struct {
			why  string
			from *client
			body []byte
			want string
		}{
			{"none", c, nil, "externalAccountRequired"},
			{"another secret", c, bind(c, forged, url, &c.key.PublicKey), "unauthorized"},
			{"an id that is not there", c, bind(c, unknown, url, &c.key.PublicKey), "unauthorized"},
			{"another profile's", c, bind(c, other, url, &c.key.PublicKey), "unauthorized"},
			{"expired", c, bind(c, old, url, &c.key.PublicKey), "unauthorized"},
			{"revoked", c, bind(c, gone, url, &c.key.PublicKey), "unauthorized"},
			{"for another address", c, bind(c, one, url+"x", &c.key.PublicKey), "malformed"},
			{"for another key", c, bind(c, one, url, &d.key.PublicKey), "malformed"},
			{"right", c, bind(c, one, url, &c.key.PublicKey), ""},
			{"the same account again, which needs none", c, nil, ""},
			{"used up", d, bind(d, one, url, &d.key.PublicKey), "unauthorized"},
		} {
			_, _, err := w.NewAccount(t.Context(), x.from.request(), acme.AccountDraft{Binding: x.body})
			wants(t, x.why, err, x.want)
		}
		list, err := w.Accounts(t.Context(), admin, acme.AccountQuery{ExternalKey: one.ID})
		if err != nil || len(list) != 1 || list[0].Owner != "shop" {
			t.Fatalf("%+v, %v", list, err)
		}
		c.account = list[0].ID
		c.obtain("a.example.com")
		for _, a := range w.ca.asks {
			if a.Owner != "shop" {
				t.Errorf("the certificate is %q's", a.Owner)
			}
		}
		keys, err := w.ExternalKeys(t.Context(), admin, "bound", "", 0)
		if err != nil || len(keys) != 3 {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if k.Secret.Reveal() != "" {
				t.Error("a list shows a secret")
			}
		}
		many := make(acme.ExternalKeyDraft{Profile: "bound", Owner: "cluster", Many: true})
		for range 3 {
			x := w.client("bound")
			if _, _, err := w.NewAccount(t.Context(), x.request(), acme.AccountDraft{Binding: bind(x, many, url, &x.key.PublicKey)}); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestOthersSeeAndTouchNothingOfAnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	c, d := w.client("open").register(), w.client("open").register()
	o := c.obtain("a.example.com")
	_, err := w.GetOrder(t.Context(), d.request(), o.ID)
	wants(t, "order", err, "malformed")
	_, err = w.Finalize(t.Context(), d.request(), o.ID, csr(t, ecKey(t), "", "a.example.com"))
	wants(t, "finalize", err, "malformed")
	_, _, err = w.Download(t.Context(), d.request(), o.ID, 0)
	wants(t, "certificate", err, "malformed")
	_, err = w.GetAuthorization(t.Context(), d.request(), o.Authorizations[0])
	wants(t, "authorization", err, "malformed")
	_, err = w.DeactivateAuthorization(t.Context(), d.request(), o.Authorizations[0])
	wants(t, "deactivate", err, "malformed")
	_, _, err = w.Respond(t.Context(), d.request(), o.Authorizations[0], "http-01")
	wants(t, "challenge", err, "malformed")
	nobody := access.Caller{Principal: "nobody"}
	for what, err := range map[string]error{
		"keys":     second(w.ExternalKeys(t.Context(), nobody, "", "", 0)),
		"create":   second(w.CreateExternalKey(t.Context(), nobody, acme.ExternalKeyDraft{Profile: "open", Owner: "x"})),
		"revoke":   second(w.RevokeExternalKey(t.Context(), nobody, "x")),
		"accounts": second(w.Accounts(t.Context(), nobody, acme.AccountQuery{})),
		"end":      second(w.EndAccount(t.Context(), nobody, c.account)),
		"windows":  second(w.Windows(t.Context(), nobody)),
		"window":   second(w.CreateWindow(t.Context(), nobody, acme.Window{End: w.clock().Add(time.Hour)})),
		"delete":   w.DeleteWindow(t.Context(), nobody, "x"),
	} {
		wants(t, what, err, "unauthorized")
	}
}

func second[T any](_ T, err error) error { return err }

func TestAnAccountThatWasEndedOrHasANewKeyIsNotServedAsItWas(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		url := host + "/acme/open/new-order"

		ended := w.client("open").register()
		ended.request() // the account is known by now
		if _, err := w.EndAccount(t.Context(), admin, ended.account); err != nil {
			t.Fatal(err)
		}
		_, err := ended.verify(ended.jws(url, nil, nil), url, acme.ByAccount)
		wants(t, "an account that was ended", err, "unauthorized")

		rolled, next := w.client("open").register(), ecKey(t)
		rolled.request()
		inner := *rolled
		inner.key, inner.account = next, ""
		old := marshal(t, map[string]any{"account": host + "/acme/open/account/" + rolled.account, "oldKey": jose.JSONWebKey{Key: rolled.key.Public()}})
		change := host + "/acme/open/key-change"
		r, err := rolled.verify(rolled.jws(change, inner.jws(change, old, map[jose.HeaderKey]any{"nonce": nil}), nil), change, acme.ByAccount)
		if err == nil {
			_, err = w.ChangeKey(t.Context(), r)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = rolled.verify(rolled.jws(url, nil, nil), url, acme.ByAccount)
		wants(t, "the key of before", err, "malformed")
		rolled.key = next
		rolled.request()
	})
}

func TestAnOrderThatIsFinalizedWithTwoKeysAtOnceHasOneCertificate(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		c := w.client("open").register()
		o := c.prove(c.order("one.example.com"), "dns-01")
		got := make([]acme.Order, 8)
		requests, csrs := make([]acme.Request, len(got)), make([][]byte, len(got))
		for i := range got {
			requests[i], csrs[i] = c.request(), csr(t, ecKey(t), "", "one.example.com")
		}
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				var err error
				if got[i], err = w.Finalize(t.Context(), requests[i], o.ID, csrs[i]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i, x := range got {
			if x.Status != acme.Valid || x.Certificate.SHA256 != got[0].Certificate.SHA256 {
				t.Errorf("answer %d: %s with %s, the first had %s", i, x.Status, x.Certificate.SHA256, got[0].Certificate.SHA256)
			}
		}
		if n := len(w.ca.made); n != 1 {
			t.Errorf("%d certificates for one order", n)
		}
	})
}
