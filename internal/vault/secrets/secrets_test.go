package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/seal"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/vaulttest"
)

func ref(name string) object.Ref { return object.Ref{Vault: vaulttest.Vault, Name: name} }

func set(t *testing.T, f *vaulttest.Floor, s *secrets.Service, name, value string) object.Entry {
	t.Helper()
	e, err := s.Set(t.Context(), f.Caller, ref(name), secrets.SetRequest{Value: secrets.Value(value)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSecretLivesThroughItsWholeLife(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := vaulttest.New(t, db)
		s := secrets.New(f.Deps)
		ctx := t.Context()

		first := set(t, f, s, "Db-Password", "one")
		second := set(t, f, s, "db-password", "two")
		_, latest, err := s.Get(ctx, f.Caller, ref("DB-PASSWORD"))
		if err != nil || latest.Value != "two" || latest.Previous != first.Version.ID {
			t.Fatalf("latest %+v: %v", latest, err)
		}
		e, old, err := s.Get(ctx, f.Caller, object.Ref{Vault: vaulttest.Vault, Name: "db-password", Version: first.Version.ID})
		if err != nil || old.Value != "one" || e.Head.Name != "Db-Password" {
			t.Fatalf("old %+v of %q: %v", old, e.Head.Name, err)
		}
		if l, err := s.Versions(ctx, f.Caller, ref("db-password"), object.Page{Limit: 25}); err != nil || len(l.Entries) != 2 {
			t.Fatalf("versions %+v: %v", l, err)
		}

		off := false
		if _, err := s.Update(ctx, f.Caller, ref("db-password"), secrets.UpdateRequest{Attributes: object.Attributes{Enabled: &off}}); err != nil {
			t.Fatal(err)
		}
		if _, b, err := s.Get(ctx, f.Caller, ref("db-password")); !fault.HasCode(err, "SecretDisabled") || b.Value != "" {
			t.Errorf("disabled secret: %v", err)
		}

		if _, err := s.Delete(ctx, f.Caller, ref("db-password")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Get(ctx, f.Caller, ref("db-password")); !fault.HasCode(err, "SecretNotFound") {
			t.Errorf("deleted secret: %v", err)
		}
		if _, err := s.Set(ctx, f.Caller, ref("db-password"), secrets.SetRequest{Value: "three"}); !fault.HasCode(err, "ObjectIsDeletedButRecoverable") {
			t.Errorf("set over a deleted secret: %v", err)
		}
		if _, err := s.Recover(ctx, f.Caller, ref("db-password")); err != nil {
			t.Fatal(err)
		}
		if _, b, err := s.Get(ctx, f.Caller, object.Ref{Vault: vaulttest.Vault, Name: "db-password", Version: first.Version.ID}); err != nil || b.Value != "one" {
			t.Errorf("recovered: %v", err)
		}
		if _, err := s.Delete(ctx, f.Caller, ref("db-password")); err != nil {
			t.Fatal(err)
		}
		if err := s.Purge(ctx, f.Caller, ref("db-password")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.GetDeleted(ctx, f.Caller, ref("db-password")); !fault.Is(err, fault.NotFound) {
			t.Errorf("purged secret: %v", err)
		}

		want := []string{"SecretSet", "SecretSet", "SecretGet", "SecretGet", "SecretListVersions", "SecretUpdate", "SecretGet failed", "SecretDelete",
			"SecretGet failed", "SecretSet failed", "SecretRecover", "SecretGet", "SecretDelete", "SecretPurge", "SecretGetDeleted failed"}
		if d := cmp.Diff(want, f.Operations(t)); d != "" {
			t.Errorf("audit trail (-want +got):\n%s", d)
		}
		if n := len(f.Events()); n != 2 || second.Version.ID == first.Version.ID {
			t.Errorf("%d events, want one for each version", n)
		}
	})
}

func TestListPagesByName(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := vaulttest.New(t, db)
		s := secrets.New(f.Deps)
		for i := range 60 {
			set(t, f, s, fmt.Sprintf("s-%02d", i), "x")
		}
		if _, err := s.Delete(t.Context(), f.Caller, ref("s-30")); err != nil {
			t.Fatal(err)
		}

		var names []string
		for p := (object.Page{Limit: 25}); ; {
			l, err := s.List(t.Context(), f.Caller, vaulttest.Vault, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range l.Entries {
				names = append(names, e.Head.Name)
			}
			if p.After = l.Next; l.Next == "" {
				break
			}
		}

		if len(names) != 59 || names[29] != "s-29" || names[30] != "s-31" {
			t.Errorf("%d names: %v", len(names), names)
		}
	})
}

// meddler has the database and an old row of secret "a".
type meddler struct {
	ctx            context.Context
	db             *storage.DB
	older, flipped []byte
	revision       int64
}

func (m meddler) exec(query string, args ...any) error {
	_, err := m.db.Pool().ExecContext(m.ctx, query, args...)
	return err
}

// TestMeddlingIsNoticed changes the database from outside, with the server running and
// after a restart.
func TestMeddlingIsNoticed(t *testing.T) {
	const version = ` WHERE name = 'a' AND version <> ''`
	cases := map[string]func(m meddler) error{
		"flip a byte of a value": func(m meddler) error { return m.exec(`UPDATE objects SET sealed = $1`+version, m.flipped) },
		"swap two secrets": func(m meddler) error {
			return m.exec(`UPDATE objects SET sealed = (SELECT o.sealed FROM objects o WHERE o.name = 'b' AND o.version <> '')` + version)
		},
		"replay an older row": func(m meddler) error {
			return m.exec(`UPDATE objects SET sealed = $1, revision = $2`+version, m.older, m.revision)
		},
		"remove a row": func(m meddler) error { return m.exec(`DELETE FROM objects WHERE name = 'a'`) },
		"hide the latest": func(m meddler) error {
			return m.exec(`UPDATE objects SET position = position - 1 WHERE name = 'c' AND version = ''`)
		},
		"swap two old versions": func(m meddler) error {
			return errors.Join(
				m.exec(`UPDATE objects SET position = 9 WHERE name = 'c' AND version <> '' AND position = 1`),
				m.exec(`UPDATE objects SET position = 1 WHERE name = 'c' AND version <> '' AND position = 2`),
				m.exec(`UPDATE objects SET position = 2 WHERE name = 'c' AND version <> '' AND position = 9`))
		},
	}
	for name, meddle := range cases {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %v", name, restart), func(t *testing.T) {
				storagetest.Each(t, func(t *testing.T, db *storage.DB) {
					f := vaulttest.New(t, db)
					s := secrets.New(f.Deps)
					ctx := t.Context()
					set(t, f, s, "a", "one")
					set(t, f, s, "b", "two")
					set(t, f, s, "c", "three")
					set(t, f, s, "c", "three and a half")
					set(t, f, s, "c", "four")
					m := meddler{ctx: ctx, db: db}
					if err := db.QueryRow(ctx, `SELECT sealed, revision FROM objects`+version).Scan(&m.older, &m.revision); err != nil {
						t.Fatal(err)
					}
					m.flipped = slices.Clone(m.older)
					m.flipped[len(m.flipped)/2] ^= 1
					if _, err := s.Update(ctx, f.Caller, ref("a"), secrets.UpdateRequest{Attributes: object.Attributes{Tags: map[string]string{"k": "v"}}}); err != nil {
						t.Fatal(err)
					}
					if err := meddle(m); err != nil {
						t.Fatal(err)
					}
					if restart {
						f.Reopen()
						s = secrets.New(f.Deps)
					}

					_, ba, erra := s.Get(ctx, f.Caller, ref("a"))
					_, bc, errc := s.Get(ctx, f.Caller, ref("c"))

					noticed := func(err error) bool { return errors.Is(err, seal.ErrSealed) || errors.Is(err, object.ErrReplayed) }
					right := ba.Value == "one" && bc.Value == "four" // from memory, which nobody has meddled with
					// What nobody has read yet is noticed by whoever reads it, and by Verify.
					if err := errors.Join(erra, errc); !noticed(err) && (err != nil || !right || restart && name != "swap two old versions") {
						t.Errorf("read a %q, c %q: %v; want a refusal", string(ba.Value), string(bc.Value), err)
					}
					v, err := f.Vaults.Open(ctx, ref("a").Vault)
					if err == nil {
						err = v.Verify(ctx)
					}
					if !noticed(err) {
						t.Errorf("verify: %v; want a refusal", err)
					}
				})
			})
		}
	}
}

func TestDatabaseFileHoldsNoPlaintext(t *testing.T) {
	dir := t.TempDir()
	f := vaulttest.New(t, storagetest.Open(t, storage.Config{Dir: dir}))
	s := secrets.New(f.Deps)
	const canary = "canary-7c1d9e55"
	e, err := s.Set(t.Context(), f.Caller, ref("a"), secrets.SetRequest{Value: canary, ContentType: "type-" + canary, Attributes: object.Attributes{Tags: map[string]string{"tag-" + canary: canary}}})
	if err != nil {
		t.Fatal(err)
	}
	if out := fmt.Sprintf("%v %+v %#v", secrets.Value(canary), secrets.SetRequest{Value: canary}, e.Version.ID); strings.Contains(out, canary) {
		t.Error("a secret value prints")
	}

	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no database files", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), canary) {
			t.Errorf("%s holds the secret", filepath.Base(name))
		}
	}
}

func TestPurgeProtectionHoldsUntilRetentionEnds(t *testing.T) {
	db := storagetest.SQLite(t)
	f := vaulttest.New(t, db)
	if err := db.Transact(t.Context(), func(ctx context.Context) error {
		return f.Vaults.Create(ctx, "guarded", object.Settings{RetentionDays: 7, PurgeProtection: true})
	}); err != nil {
		t.Fatal(err)
	}
	s := secrets.New(f.Deps)
	r := object.Ref{Vault: "guarded", Name: "a"}
	if _, err := s.Set(t.Context(), f.Caller, r, secrets.SetRequest{Value: "x"}); err != nil {
		t.Fatal(err)
	}
	e, err := s.Delete(t.Context(), f.Caller, r)
	if err != nil || e.Head.Purge.Sub(e.Head.Deleted) != 7*24*time.Hour {
		t.Fatalf("purge date %v: %v", e.Head.Purge, err)
	}

	if err := s.Purge(t.Context(), f.Caller, r); !fault.HasCode(err, "PurgeProtected") {
		t.Errorf("purge: %v, want PurgeProtected", err)
	}
}

func TestRestoreBringsBackEveryVersion(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := vaulttest.New(t, db)
		s := secrets.New(f.Deps)
		ctx := t.Context()
		first := set(t, f, s, "a", "one")
		f.Advance(time.Hour)
		second := set(t, f, s, "a", "canary-two")

		blob, err := s.Backup(ctx, f.Caller, ref("a"))
		if err != nil || strings.Contains(string(blob), "canary") {
			t.Fatal("backup", err)
		}
		if _, err := s.Restore(ctx, f.Caller, vaulttest.Vault, blob); !fault.Is(err, fault.Conflict) {
			t.Errorf("restore over a live secret: %v", err)
		}
		if _, err := s.Delete(ctx, f.Caller, ref("a")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Restore(ctx, f.Caller, vaulttest.Vault, blob); !fault.HasCode(err, "ObjectIsDeletedButRecoverable") {
			t.Errorf("restore over a deleted secret: %v", err)
		}
		if err := s.Purge(ctx, f.Caller, ref("a")); err != nil {
			t.Fatal(err)
		}
		for i := range blob {
			if i%7 == 0 {
				bad := slices.Clone(blob)
				bad[i] ^= 1
				if _, err := s.Restore(ctx, f.Caller, vaulttest.Vault, bad); !fault.Is(err, fault.Invalid) {
					t.Fatalf("a backup with byte %d flipped: %v", i, err)
				}
			}
		}

		e, err := s.Restore(ctx, f.Caller, vaulttest.Vault, blob)
		if err != nil || e.Version.ID != second.Version.ID || !e.Version.Created.Equal(second.Version.Created) {
			t.Fatalf("restored %+v: %v", e, err)
		}
		f.Reopen()
		s = secrets.New(f.Deps)
		if _, b, err := s.Get(ctx, f.Caller, object.Ref{Vault: vaulttest.Vault, Name: "a", Version: first.Version.ID}); err != nil || b.Value != "one" {
			t.Errorf("first version: %v", err)
		}
		third := set(t, f, s, "a", "three")
		if l, err := s.Versions(ctx, f.Caller, ref("a"), object.Page{Limit: 25}); err != nil || len(l.Entries) != 3 || l.Entries[2].Version.ID != third.Version.ID {
			t.Errorf("versions after restore: %+v %v", l, err)
		}
	})
}
