package pki_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/keystore"
)

// openssl accepts what hierarchies of every classical key issue, by each way up, and
// refuses what their constraints forbid.
func TestOpenSSLAcceptsTheHierarchies(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.now = time.Now() }, from("leafing"), from("ed"), from("wide"))
	dir := t.TempDir()
	ed, err := keystore.AuthoritySpec("Ed25519")
	if err != nil {
		t.Fatal(err)
	}
	w.below("root", spec("middle", 1, func(s *authority.Spec) {
		s.Permitted = profile.Names{DNS: []string{"example.com"}, IP: []string{"10.0.0.0/8"}}
	}))
	w.below("middle", spec("leafing", 0, func(s *authority.Spec) {
		s.Validity = year / 2
		s.Excluded = profile.Names{DNS: []string{"secret.example.com"}}
	}))
	if _, err := w.authorities.Create(t.Context(), somebody, spec("ed-root", 2, func(s *authority.Spec) { s.Key = ed })); err != nil {
		t.Fatal(err)
	}
	w.below("ed-root", spec("ed", 0, func(s *authority.Spec) { s.Key, s.Validity = ed, year/2 }))
	w.below("root", spec("wide", 0))
	for _, x := range [][2]string{{"leafing", "ed-root"}, {"wide", "middle"}} {
		limits := authority.Limits{}
		if _, err := w.authorities.CrossSign(t.Context(), somebody, x[0], x[1], 0, limits); err != nil {
			t.Fatal(err)
		}
	}
	writePEM(t, dir, "root.pem", "CERTIFICATE", w.certificate("root").Raw)
	writePEM(t, dir, "ed-root.pem", "CERTIFICATE", w.certificate("ed-root").Raw)
	check := func(root, leaf string, above ...[]byte) (string, error) {
		writePEM(t, dir, "above.pem", "CERTIFICATE", above...)
		return openssl(t, dir, "verify", "-x509_strict", "-purpose", "sslserver", "-no-CApath", "-no-CAstore", "-CAfile", root, "-untrusted", "above.pem", leaf)
	}
	issue := func(id string, names ...string) [][]byte {
		made, err := w.issueBy(id, profile.Names{DNS: names})
		if err != nil {
			t.Fatal(err)
		}
		writePEM(t, dir, id+".pem", "CERTIFICATE", made.DER)
		return made.Chain
	}

	chain := issue("leafing", "a.example.com", "*.b.example.com")
	if out, err := check("root.pem", "leafing.pem", chain...); err != nil {
		t.Errorf("three levels with constraints: %v: %s", err, out)
	}
	ways, err := w.authorities.Alternates(t.Context(), "leafing")
	if err != nil || len(ways) != 1 {
		t.Fatalf("%d ways, %v", len(ways), err)
	}
	if out, err := check("ed-root.pem", "leafing.pem", ways[0]...); err != nil {
		t.Errorf("by the cross certificate: %v: %s", err, out)
	}
	if out, err := check("ed-root.pem", "ed.pem", issue("ed", "a.example.com")...); err != nil {
		t.Errorf("Ed25519: %v: %s", err, out)
	}

	// Without constraints of its own, "wide" issues what the other way up forbids.
	chain = issue("wide", "a.example.org")
	if out, err := check("root.pem", "wide.pem", chain...); err != nil {
		t.Errorf("without constraints: %v: %s", err, out)
	}
	if ways, err = w.authorities.Alternates(t.Context(), "wide"); err != nil || len(ways) != 1 {
		t.Fatalf("%d ways, %v", len(ways), err)
	}
	if out, err := check("root.pem", "wide.pem", ways[0]...); err == nil || !strings.Contains(out, "permitted subtree violation") {
		t.Errorf("openssl does not see the constraints: %v: %s", err, out)
	}
}

// A bridge of a rollover: who trusts the old root alone accepts what is below the new one.
func TestOpenSSLAcceptsARolledRootByTheOldOne(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.now = time.Now() }, from("below-2"))
	dir := t.TempDir()
	old := w.certificate("root")
	if _, err := w.authorities.Succeed(t.Context(), somebody, "root", authority.Spec{ID: "root-2", CommonName: "Root 2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.authorities.CrossSign(t.Context(), somebody, "root-2", "root", 0, authority.Limits{}); err != nil {
		t.Fatal(err)
	}
	w.below("root-2", spec("below-2", 0))
	made, err := w.issueBy("below-2", profile.Names{DNS: []string{"a.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	ways, err := w.authorities.Alternates(t.Context(), "root-2")
	if err != nil || len(ways) != 1 {
		t.Fatalf("%d ways, %v", len(ways), err)
	}
	writePEM(t, dir, "leaf.pem", "CERTIFICATE", made.DER)
	writePEM(t, dir, "old.pem", "CERTIFICATE", old.Raw)
	writePEM(t, dir, "new.pem", "CERTIFICATE", w.certificate("root-2").Raw)
	writePEM(t, dir, "above.pem", "CERTIFICATE", slices.Concat(made.Chain[:1], ways[0])...)

	for _, root := range []string{"old.pem", "new.pem"} {
		if out, err := openssl(t, dir, "verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile", root, "-untrusted", "above.pem", "leaf.pem"); err != nil {
			t.Errorf("%s: %v: %s", root, err, out)
		}
	}
	_, err = w.authorities.CreateIntermediate(t.Context(), somebody, "root", spec("late", 0))
	mustFail(t, err, "AuthorityEnded")
}
