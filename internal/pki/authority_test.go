package pki_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/seal"
)

func TestAuthoritiesAreWhatAnAuthorityMustBe(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db, func(w *world) { w.status = "http://pki.test.example" })
		root, sub := w.certificate("root"), w.certificate("issuing")

		for _, c := range []*x509.Certificate{root, sub} {
			if !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(c.ExtKeyUsage) != 0 || len(c.SubjectKeyId) != 20 {
				t.Errorf("%s: %+v", c.Subject, c)
			}
			if c.NotBefore.After(w.now) || c.NotBefore.Before(root.NotBefore) || c.NotAfter.After(root.NotAfter) {
				t.Errorf("%s: valid %s to %s", c.Subject, c.NotBefore, c.NotAfter)
			}
		}
		if err := root.CheckSignatureFrom(root); err != nil {
			t.Error(err)
		}
		if err := sub.CheckSignatureFrom(root); err != nil {
			t.Error(err)
		}
		if root.MaxPathLen != -1 || sub.MaxPathLen != 0 || !sub.MaxPathLenZero {
			t.Errorf("path lengths %d, %d", root.MaxPathLen, sub.MaxPathLen)
		}
		if len(root.CRLDistributionPoints) != 0 || len(sub.CRLDistributionPoints) != 1 || sub.CRLDistributionPoints[0] != "http://pki.test.example/crl/root.crl" {
			t.Errorf("CRLs at %q and %q", root.CRLDistributionPoints, sub.CRLDistributionPoints)
		}
		if root.Subject.String() != "CN=Chatelaine Root CA,O=Chatelaine test.example" {
			t.Errorf("subject %s", root.Subject)
		}

		text, err := w.authorities.Chain(t.Context(), "issuing")
		if err != nil {
			t.Fatal(err)
		}
		first, rest := pem.Decode(text)
		second, rest := pem.Decode(rest)
		if !bytes.Equal(first.Bytes, sub.Raw) || !bytes.Equal(second.Bytes, root.Raw) || len(rest) != 0 {
			t.Error("the chain is not issuing, root")
		}
		list, err := w.authorities.List(t.Context(), somebody, "", 0)
		if err != nil || len(list) != 2 || list[0].ID != "issuing" || list[0].Parent != "root" || list[1].Parent != "" || list[0].State != authority.Active || list[0].Keystore != "software" {
			t.Errorf("%+v, %v", list, err)
		}
		if list, err := w.authorities.List(t.Context(), somebody, "issuing", 1); err != nil || len(list) != 1 || list[0].ID != "root" {
			t.Errorf("second page: %+v, %v", list, err)
		}
		for _, id := range []string{"root", "issuing"} {
			a, err := w.authorities.Get(t.Context(), somebody, id)
			if err != nil {
				t.Fatal(err)
			}
			of := "root"
			c, err := w.issuance.Get(t.Context(), somebody, of, a.Serial)
			if err != nil || c.State != issuance.Issued || c.SHA256 != a.SHA256 || !bytes.Equal(c.DER, a.Certificate) {
				t.Errorf("%s is not among the certificates of %s: %v", id, of, err)
			}
			if r := w.records("AuthorityCreate", c.Target()); len(r) != 1 {
				t.Errorf("%s: %d records", id, len(r))
			}
		}
	})
}

func TestASecondStartKeepsTheAuthorities(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		before, err := w.authorities.List(t.Context(), somebody, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		w.pass(time.Hour)
		w.restart()

		w.establish()

		after, err := w.authorities.List(t.Context(), somebody, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(before, after); d != "" {
			t.Error(d)
		}
		made := w.issue(request(t, "a.test.example")) // with the key of the first start
		if err := parse(t, made.DER).CheckSignatureFrom(w.certificate("issuing")); err != nil {
			t.Error(err)
		}
	})
}

// Nodes that start on one empty database at the same time agree on one root.
func TestNodesThatStartTogetherAgree(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		root, issuing := authority.Defaults("second.example")
		root.ID, issuing.ID = "root-2", "issuing-2"

		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[string]bool{}
		for range 4 {
			wg.Go(func() {
				a, err := w.authorities.Establish(t.Context(), access.System("start"), root, issuing)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				got[a.SHA256] = true
				mu.Unlock()
			})
		}
		wg.Wait()

		if len(got) != 1 {
			t.Errorf("%d authorities", len(got))
		}
		a, err := w.authorities.Issuer(t.Context(), "issuing-2")
		if err != nil || len(a.Chain) != 2 {
			t.Errorf("%d certificates in the chain, %v", len(a.Chain), err)
		}
	})
}

func TestCreateRefuses(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	_, good := authority.Defaults("test.example")
	good.ID, good.CommonName = "another", "Another CA"
	for _, c := range []struct {
		why    string
		parent string
		change func(*authority.Spec)
		code   string
	}{
		{"no id", "root", func(s *authority.Spec) { s.ID = "" }, "UnknownAuthority"},
		{"a path", "root", func(s *authority.Spec) { s.ID = "../root" }, "UnknownAuthority"},
		{"an id that is taken", "root", func(s *authority.Spec) { s.ID = "issuing" }, "AuthorityExists"},
		{"no parent", "", func(*authority.Spec) {}, "UnknownAuthority"},
		{"an absent parent", "absent", func(*authority.Spec) {}, "UnknownAuthority"},
		{"a parent whose path length is 0", "issuing", func(*authority.Spec) {}, "PathTooLong"},
		{"the parent's name", "root", func(s *authority.Spec) { s.CommonName = "Chatelaine Root CA" }, "BadName"},
		{"no name", "root", func(s *authority.Spec) { s.CommonName = "" }, "BadName"},
		{"a long name", "root", func(s *authority.Spec) { s.CommonName = strings.Repeat("x", 65) }, "BadName"},
		{"a name that cannot be seen", "root", func(s *authority.Spec) { s.CommonName = "Another\u202eAC" }, "BadName"},
		{"a name of two lines", "root", func(s *authority.Spec) { s.CommonName = "Another\nCA" }, "BadName"},
		{"a name that is no text", "root", func(s *authority.Spec) { s.Organization = "Another\xffCA" }, "BadName"},
		{"a name with space around", "root", func(s *authority.Spec) { s.CommonName = " Another CA" }, "BadName"},
		{"a day too long", "root", func(s *authority.Spec) { s.Validity = 3653 * 24 * time.Hour }, "ValidityNotAllowed"},
		{"too short", "root", func(s *authority.Spec) { s.Validity = time.Hour }, "ValidityNotAllowed"},
		{"too long", "root", func(s *authority.Spec) { s.Validity = 40 * 366 * 24 * time.Hour }, "ValidityNotAllowed"},
		{"a weak key", "root", func(s *authority.Spec) { s.Key = keystore.Spec{Type: keystore.RSA, Bits: 1024} }, "BadParameter"},
	} {
		spec := good
		c.change(&spec)
		_, err := w.authorities.CreateIntermediate(t.Context(), somebody, c.parent, spec)
		if !fault.HasCode(err, c.code) {
			t.Errorf("%s: %v, want %s", c.why, err, c.code)
		}
	}
	// A name that a lint refuses is refused before the root signs.
	good.CommonName = "Tom &amp; Jerry CA"
	_, err := w.authorities.CreateIntermediate(t.Context(), somebody, "root", good)
	mustFail(t, err, "LintRefused")
	if _, err := w.authorities.Get(t.Context(), somebody, "another"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the refused authority: %v", err)
	}
}

func TestARevokedRootSignsNoMore(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	root := w.certificate("root")
	if _, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{Authority: "root", Serial: issuance.FormatSerial(root.SerialNumber)}); err != nil {
		t.Fatal(err)
	}
	_, spec := authority.Defaults("test.example")
	spec.ID = "another"

	_, err := w.authorities.CreateIntermediate(t.Context(), somebody, "root", spec)

	mustFail(t, err, "AuthorityEnded")
}

// Classical or post-quantum, an authority of any key goes the same road: it certifies
// itself, another one and a server, and it signs its CRL.
func TestAnAuthorityMayHaveAnyKeyOfTheKeystore(t *testing.T) {
	names := []string{"RSA 2048", "P-384", "P-521", "Ed25519", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}
	ids := map[string]string{}
	var profiles []func(*world)
	for _, name := range names {
		ids[name] = strings.ToLower(strings.ReplaceAll(name, " ", "-"))
		profiles = append(profiles, from(ids[name]+"-sub"))
	}
	w := newWorld(t, storagetest.SQLite(t), profiles...)
	for _, name := range names {
		key, err := keystore.AuthoritySpec(name)
		if err != nil {
			t.Fatal(err)
		}
		s, id := spec(ids[name], 1), ids[name]
		s.Key = key
		if _, err := w.authorities.Create(t.Context(), somebody, s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sub := spec(id+"-sub", 0)
		sub.Key, sub.Validity = key, year/2
		w.below(id, sub)

		made, err := w.issueBy(id+"-sub", profile.Names{DNS: []string{"a.example.com"}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := verify(t, made.DER, w.certificate(id), made.Chain...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := w.revocation.RebuildDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.crl(id)
		w.crl(id + "-sub")
	}
}

func TestARefusedCallerMakesAndReadsNoAuthority(t *testing.T) {
	g := &refuser{}
	w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.guard = g })
	g.on = true
	_, spec := authority.Defaults("test.example")
	spec.ID = "another"
	for _, c := range []struct {
		do     func() error
		action access.Action
		scope  access.Scope
	}{
		{func() error { _, err := w.authorities.Create(t.Context(), somebody, spec); return err }, "Chatelaine/authorities/write", "/authorities/another"},
		{func() error {
			_, err := w.authorities.CreateIntermediate(t.Context(), somebody, "root", spec)
			return err
		}, "Chatelaine/authorities/write", "/authorities/another"},
		{func() error { _, err := w.authorities.Get(t.Context(), somebody, "root"); return err }, "Chatelaine/authorities/read", "/authorities/root"},
		{func() error { _, err := w.authorities.List(t.Context(), somebody, "", 0); return err }, "Chatelaine/authorities/read", "/"},
	} {
		if err := c.do(); !fault.Is(err, fault.Denied) || g.action != c.action || g.scope != c.scope {
			t.Errorf("%v, asked for %s at %s", err, g.action, g.scope)
		}
	}
}

// The database holds no key of an authority in the clear, and a key that was moved to
// another authority does not open.
func TestAuthorityKeysAreSealedAndBound(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		var one, two []byte
		for id, sealed := range map[string]*[]byte{"root": &one, "issuing": &two} {
			if err := db.QueryRow(t.Context(), `SELECT sealed_key FROM pki_authorities WHERE id = $1`, id).Scan(sealed); err != nil {
				t.Fatal(err)
			}
			if _, err := x509.ParsePKCS8PrivateKey(*sealed); err == nil || bytes.Contains(*sealed, []byte("\x2a\x86\x48\xce\x3d")) { // id-ecPublicKey, within any PKCS #8
				t.Errorf("the key of %s lies in the clear", id)
			}
		}

		for why, swap := range map[string][]byte{"another authority's": one, "a flipped": flip(two)} {
			if _, err := db.Exec(t.Context(), `UPDATE pki_authorities SET sealed_key = $1 WHERE id = 'issuing'`, swap); err != nil {
				t.Fatal(err)
			}
			w.restart()
			if _, err := w.issuance.Issue(t.Context(), somebody, request(t, "a.test.example")); !errors.Is(err, seal.ErrSealed) {
				t.Errorf("%s key opened: %v", why, err)
			}
		}
		// A certificate swapped in the row is noticed as well: it is not that of the key.
		if _, err := db.Exec(t.Context(), `UPDATE pki_authorities SET sealed_key = $1, certificate = $2 WHERE id = 'issuing'`, two, w.certificate("root").Raw); err != nil {
			t.Fatal(err)
		}
		w.restart()
		if _, err := w.issuance.Issue(t.Context(), somebody, request(t, "a.test.example")); err == nil {
			t.Error("a swapped certificate was issued under")
		}
		if list := w.all(); len(list) != 0 {
			t.Errorf("%d certificates were recorded", len(list))
		}
	})
}

func flip(b []byte) []byte {
	c := bytes.Clone(b)
	c[len(c)/2] ^= 1
	return c
}

func TestAnExpiredAuthorityIssuesNothing(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	w.pass(1826 * 24 * time.Hour)

	_, err := w.issuance.Issue(t.Context(), somebody, request(t, "a.test.example"))

	mustFail(t, err, "AuthorityEnded")
}
