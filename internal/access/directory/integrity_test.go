package directory_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/accesstest"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/seal"
)

func TestTamperedDirectoryIsRefused(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		who := f.Application(t, "shop", "", "/")
		type row struct {
			kind, id string
			revision int64
			sealed   []byte
		}
		rows := func() (out []row) {
			r, err := db.Query(t.Context(), `SELECT kind, id, revision, sealed FROM access_entries ORDER BY kind, id`)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for r.Next() {
				var e row
				if err := r.Scan(&e.kind, &e.id, &e.revision, &e.sealed); err != nil {
					t.Fatal(err)
				}
				out = append(out, e)
			}
			return out
		}
		exec := func(q string, args ...any) {
			t.Helper()
			if _, err := db.Exec(t.Context(), q, args...); err != nil {
				t.Fatal(err)
			}
		}
		refused := func(what string) {
			t.Helper()
			if _, err := directory.Open(t.Context(), f.Deps()); !errors.Is(err, seal.ErrSealed) {
				t.Errorf("%s: %v, want ErrSealed", what, err)
			}
		}

		// An assignment that was taken away is put back, with its revision.
		a, err := f.Directory.Assign(t.Context(), f.Administrator(), who.Principal, "Key Vault Administrator", "/")
		if err != nil {
			t.Fatal(err)
		}
		var old row
		for _, e := range rows() {
			if e.id == a.ID {
				old = e
			}
		}
		if err := f.Directory.Unassign(t.Context(), f.Administrator(), a.ID); err != nil {
			t.Fatal(err)
		}
		exec(`INSERT INTO access_entries (kind, id, revision, sealed) VALUES ($1, $2, $3, $4)`, old.kind, old.id, old.revision, old.sealed)
		refused("an assignment put back")
		exec(`DELETE FROM access_entries WHERE id = $1`, old.id)
		f.Node(t)

		all := rows()
		for i, e := range all {
			flipped := append([]byte(nil), e.sealed...)
			flipped[i%len(flipped)] ^= 1
			exec(`UPDATE access_entries SET sealed = $1 WHERE kind = $2 AND id = $3`, flipped, e.kind, e.id)
			refused("a flipped bit in " + e.kind)
			exec(`UPDATE access_entries SET sealed = $1, revision = revision + 1 WHERE kind = $2 AND id = $3`, e.sealed, e.kind, e.id)
			refused("another revision of " + e.kind)
			exec(`DELETE FROM access_entries WHERE kind = $1 AND id = $2`, e.kind, e.id)
			refused("a removed " + e.kind)
			exec(`INSERT INTO access_entries (kind, id, revision, sealed) VALUES ($1, $2, $3, $4)`, e.kind, "x"+e.id, e.revision, e.sealed)
			refused("a renamed " + e.kind)
			exec(`UPDATE access_entries SET id = $1 WHERE id = $2`, e.id, "x"+e.id)
			f.Node(t)
		}
		exec(`UPDATE access_state SET generation = generation + 1`)
		refused("another generation")
	})
}

func TestStoredRowsTellNothing(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	p, err := f.Directory.CreateUser(t.Context(), f.Administrator(), directory.NewUser{Name: "Ada Canary", SignIn: "ada.canary", Password: access.NewSecret("canary password 1")})
	if err != nil {
		t.Fatal(err)
	}
	digest := f.Admin.Secret.Digest()
	rows, err := f.DB.Query(t.Context(), `SELECT hex(sealed) FROM access_entries`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		n++
		for _, canary := range []string{hexOf("anary"), hexOf("argon2id"), hexOf(string(digest[:])), hexOf(p.ID)} {
			if strings.Contains(text, canary) {
				t.Errorf("%s is in a row", canary)
			}
		}
	}
	if n < 7 {
		t.Errorf("%d rows", n)
	}
}

func hexOf(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }
