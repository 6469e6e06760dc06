package pki_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// revokeAuthority revokes an authority's own certificate at the one above.
func (w *world) revokeAuthority(id, at string) {
	w.t.Helper()
	serial := issuance.FormatSerial(w.certificate(id).SerialNumber)
	if _, err := w.revocation.Revoke(w.t.Context(), somebody, revocation.Request{Authority: at, Serial: serial, Reason: "cACompromise"}); err != nil {
		w.t.Fatal(err)
	}
}

// What is below a revoked authority at any depth verifies nowhere, so nothing more comes of it.
func TestNothingIsIssuedBelowARevokedAuthority(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db, from("third"))
		w.below("root", spec("first", 3))
		w.below("first", spec("second", 2))
		w.below("second", spec("third", 1))
		made, err := w.issueBy("third", profile.Names{DNS: []string{"a.example.com"}})
		if err != nil {
			t.Fatal(err)
		}

		w.revokeAuthority("first", "root")

		_, err = w.issueBy("third", profile.Names{DNS: []string{"b.example.com"}})
		mustFail(t, err, "AuthorityEnded")
		_, err = w.authorities.CreateIntermediate(t.Context(), somebody, "third", spec("fourth", 0))
		mustFail(t, err, "AuthorityEnded")
		_, err = w.authorities.Follow(t.Context(), somebody, "issuing", "third")
		mustFail(t, err, "AuthoritySuperseded")
		w.revoke(made.Certificate, "superseded")
		if list := w.crl("third"); len(list.RevokedCertificateEntries) != 1 {
			t.Error("the CRL of the lowest authority stands still")
		}
		w.issue(request(t, "c.example.com")) // beside it, everything goes on
	})
}

func TestARevokedAuthorityCertifiesNoOtherAndNoneCertifiesIt(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	if _, err := w.authorities.Create(t.Context(), somebody, spec("second", 3)); err != nil {
		t.Fatal(err)
	}
	w.revokeAuthority("root", "root")
	_, err := w.authorities.CrossSign(t.Context(), somebody, "root", "second", 0, authority.Limits{})
	mustFail(t, err, "AuthorityEnded")

	if _, err := w.authorities.Follow(t.Context(), somebody, "root", "second"); err != nil {
		t.Fatal(err)
	}

	// Its successor is vouched for by others, not by a key that may be somebody else's.
	_, err = w.authorities.CrossSign(t.Context(), somebody, "second", "root", 0, authority.Limits{})
	mustFail(t, err, "AuthorityEnded")
}

func TestACompromisedKeyIsNeverCertifiedAgain(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		for reason, code := range map[string]string{"superseded": "", "certificateHold": "", "keyCompromise": "KeyCompromised"} {
			r := request(t, "a.example.com")
			made := w.issue(r)
			w.revoke(made.Certificate, reason)

			r.Profile, r.Names = "tls-mutual", profile.Names{DNS: []string{"b.example.com"}}
			_, err := w.issuance.Issue(t.Context(), somebody, r)

			if code != "" {
				mustFail(t, err, code)
			} else if err != nil {
				t.Errorf("%s: %v", reason, err)
			}
		}
	})
}

func TestAnAuthorityIssuesNothingBeforeItBegins(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	w.pass(-2 * time.Hour) // a clock that was set back

	_, err := w.issuance.Issue(t.Context(), somebody, request(t, "a.example.com"))
	mustFail(t, err, "AuthorityNotBegun")
	_, err = w.authorities.CreateIntermediate(t.Context(), somebody, "root", spec("early", 0))
	mustFail(t, err, "AuthorityNotBegun")
}

func TestAFurtherCertificateIsNeverWiderThanTheAuthoritysOwn(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	if _, err := w.authorities.Create(t.Context(), somebody, spec("second", 5)); err != nil {
		t.Fatal(err)
	}
	w.below("root", spec("limited", 1, func(s *authority.Spec) {
		s.Permitted = profile.Names{DNS: []string{"example.com"}, IP: []string{"10.0.0.0/8"}, Email: []string{"example.com"}, URI: []string{".example.com"}}
		s.Excluded = profile.Names{DNS: []string{"secret.example.com"}}
	}))
	zero, two := 0, 2
	for _, l := range []authority.Limits{
		{PathLength: &two},
		{Permitted: profile.Names{DNS: []string{"com"}}},
		{Permitted: profile.Names{DNS: []string{"notexample.com"}}},
		{Permitted: profile.Names{DNS: []string{"a.example.com", "b.example.org"}}},
		{Permitted: profile.Names{IP: []string{"10.0.0.0/7"}}},
		{Permitted: profile.Names{IP: []string{"192.168.0.0/16"}}},
		{Permitted: profile.Names{IP: []string{"::/0"}}},
		{Permitted: profile.Names{Email: []string{".example.com"}}},
		{Permitted: profile.Names{Email: []string{"me@example.org"}}},
		{Permitted: profile.Names{URI: []string{"example.com"}}},
	} {
		_, err := w.authorities.CrossSign(t.Context(), somebody, "limited", "second", 0, l)
		mustFail(t, err, "BadConstraint")
	}

	x, err := w.authorities.CrossSign(t.Context(), somebody, "limited", "second", 0, authority.Limits{
		PathLength: &zero, Permitted: profile.Names{DNS: []string{"a.example.com"}, Email: []string{"me@example.com"}}, Excluded: profile.Names{DNS: []string{"b.a.example.com"}},
	})
	if err != nil {
		t.Fatal(err)
	}

	c := parse(t, x.Certificate)
	if len(c.PermittedDNSDomains) != 1 || c.PermittedDNSDomains[0] != "a.example.com" || len(c.PermittedIPRanges) != 1 || len(c.PermittedURIDomains) != 1 ||
		c.PermittedEmailAddresses[0] != "me@example.com" || len(c.ExcludedDNSDomains) != 2 || !c.MaxPathLenZero {
		t.Errorf("permitted %v %v %v %v, excluded %v", c.PermittedDNSDomains, c.PermittedIPRanges, c.PermittedURIDomains, c.PermittedEmailAddresses, c.ExcludedDNSDomains)
	}
}

func TestImportRefusesACAWhoseKeyEverybodyHas(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	if _, err := w.authorities.CreatePending(t.Context(), somebody, pending("outside")); err != nil {
		t.Fatal(err)
	}
	csr, err := w.authorities.Request(t.Context(), somebody, "outside")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	other := newOutsider(t)
	weak := newOutsiderOf(t, server.TLS.Certificates[0].PrivateKey)

	_, err = w.authorities.Import(t.Context(), somebody, "outside", pemText(weak.sign(t, csr), weak.certificate.Raw))

	mustFail(t, err, "WeakKey")
	if _, err := w.authorities.Import(t.Context(), somebody, "outside", pemText(other.sign(t, csr), other.certificate.Raw)); err != nil {
		t.Errorf("one with a key of its own: %v", err)
	}
}
