package issuer_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

func ref(name string) object.Ref { return object.Ref{Vault: vaulttest.Vault, Name: name} }

// rows is everything that the database holds of the vault.
func rows(t *testing.T, db *storage.DB) []byte {
	t.Helper()
	list, err := db.Query(t.Context(), `SELECT sealed FROM objects`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = list.Close() }()
	var all []byte
	for list.Next() {
		var b []byte
		if err := list.Scan(&b); err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	if err := list.Err(); err != nil || len(all) == 0 {
		t.Fatal("no rows", err)
	}
	return all
}

func TestPasswordIsSealedAndNeverPrinted(t *testing.T) {
	db := storagetest.SQLite(t)
	f := vaulttest.New(t, db)
	s := issuer.New(f.Deps, nil)

	made, err := s.Set(t.Context(), f.Caller, ref("digi"), issuer.Request{
		Provider: issuer.DigiCert, Credentials: &issuer.Credentials{AccountID: "acct", Password: "open-sesame"},
	})
	if err != nil {
		t.Fatal(err)
	}

	if text := fmt.Sprintf("%v %+v %#v %s %x", made, *made.Credentials, *made.Credentials, made.Credentials.Password, made.Credentials.Password); strings.Contains(text, "sesame") {
		t.Errorf("it prints: %s", text)
	}
	if all := rows(t, db); bytes.Contains(all, []byte("sesame")) || bytes.Contains(all, []byte("acct")) {
		t.Error("the database holds it in the clear")
	}
	if got, err := s.Get(t.Context(), f.Caller, ref("digi")); err != nil || got.Credentials.Password != "open-sesame" {
		t.Errorf("it is not kept: %v", err)
	}
}

// What is never returned cannot be sent back: whoever writes what was read keeps it.
func TestPasswordStaysWhenTheIssuerIsWrittenWithoutIt(t *testing.T) {
	f := vaulttest.New(t, storagetest.SQLite(t))
	s := issuer.New(f.Deps, nil)
	set := func(account string, password issuer.Password) issuer.Issuer {
		t.Helper()
		made, err := s.Set(t.Context(), f.Caller, ref("digi"), issuer.Request{
			Provider: issuer.DigiCert, Credentials: &issuer.Credentials{AccountID: account, Password: password},
		})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	set("acct", "first")

	if made := set("acct", ""); made.Credentials.Password != "first" {
		t.Error("it was lost")
	}
	if made, err := s.Update(t.Context(), f.Caller, ref("digi"), issuer.Request{Credentials: &issuer.Credentials{Password: "second"}}); err != nil ||
		made.Credentials.AccountID != "acct" || made.Credentials.Password != "second" {
		t.Errorf("update: %v", err)
	}
	if made := set("another", ""); made.Credentials.Password != "" {
		t.Error("it was kept for another account")
	}
}

// Through an issuer of ours, everyone who may create certificates in the vault issues by
// its profile. So who registers one must have that right.
func TestIssuerOfOursNeedsTheRightToIssueByItsProfile(t *testing.T) {
	f := vaulttest.New(t, storagetest.SQLite(t))
	asked := []string{}
	may := map[string]bool{"tls-server": true}
	s := issuer.New(f.Deps, func(_ context.Context, _ access.Caller, profile string) error {
		asked = append(asked, profile)
		if !may[profile] {
			return fault.New(fault.Denied, "ForbiddenByRbac", "no")
		}
		return nil
	})
	of := func(profile string) issuer.Request {
		return issuer.Request{Provider: "chatelaine", Credentials: &issuer.Credentials{AccountID: profile}}
	}
	off, on := false, true

	if _, err := s.Set(t.Context(), f.Caller, ref("internal"), of("code-signing")); !fault.Is(err, fault.Denied) {
		t.Errorf("registered without the right: %v", err)
	}
	if _, err := s.Get(t.Context(), f.Caller, ref("internal")); !fault.HasCode(err, "CertificateIssuerNotFound") {
		t.Errorf("and it is there: %v", err)
	}
	if i, err := s.Set(t.Context(), f.Caller, ref("internal"), of("tls-server")); err != nil || i.Provider != issuer.Chatelaine {
		t.Errorf("%v: %v", i, err)
	}
	if _, err := s.Update(t.Context(), f.Caller, ref("internal"), of("code-signing")); !fault.Is(err, fault.Denied) {
		t.Errorf("given another profile without the right: %v", err)
	}
	delete(may, "tls-server")
	for what, q := range map[string]issuer.Request{
		"switched off":         {Enabled: &off},
		"changed while it off": {Organization: &issuer.Organization{ID: "x"}},
	} {
		if _, err := s.Update(t.Context(), f.Caller, ref("internal"), q); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.Update(t.Context(), f.Caller, ref("internal"), issuer.Request{Enabled: &off}); err != nil {
		t.Error(err)
	}
	if _, err := s.Update(t.Context(), f.Caller, ref("internal"), issuer.Request{Enabled: &on}); !fault.Is(err, fault.Denied) {
		t.Errorf("switched on without the right: %v", err)
	}
	if len(asked) != 4 {
		t.Errorf("asked for %q", asked)
	}
}

// A certificate's issuer or contact that somebody changed in the database is found out.
func TestVerifyNoticesAnIssuerThatWasTakenAway(t *testing.T) {
	db := storagetest.SQLite(t)
	f := vaulttest.New(t, db)
	s := issuer.New(f.Deps, nil)
	if _, err := s.Set(t.Context(), f.Caller, ref("digi"), issuer.Request{Provider: issuer.Test}); err != nil {
		t.Fatal(err)
	}
	verify := func() error {
		f.Reopen()
		v, err := f.Vaults.Open(t.Context(), vaulttest.Vault)
		if err != nil {
			return err
		}
		return v.Verify(t.Context())
	}
	if err := verify(); err != nil {
		t.Fatal(err)
	}

	if _, err := db.Exec(t.Context(), `UPDATE objects SET sealed = $1 WHERE kind = 'issuers'`, []byte("something else")); err != nil {
		t.Fatal(err)
	}
	if err := verify(); err == nil {
		t.Error("an altered issuer is not noticed")
	}
	if _, err := db.Exec(t.Context(), `DELETE FROM objects WHERE kind = 'issuers'`); err != nil {
		t.Fatal(err)
	}
	if err := verify(); err == nil {
		t.Error("a removed issuer is not noticed")
	}
}
