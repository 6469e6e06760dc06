package app

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// disk is what a data folder holds, and what must not be in it.
type disk struct {
	t    *testing.T
	data string
	db   *sql.DB
}

// sealed returns what is sealed of rows, to be looked for later: some bytes of each.
func (d disk) sealed(where string) (marks [][]byte) {
	d.t.Helper()
	rows, err := d.db.Query(`SELECT sealed FROM objects WHERE ` + where)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			d.t.Fatal(err)
		}
		marks = append(marks, b[:24], b[len(b)-24:])
		if len(b) > 5000 { // on pages of its own
			marks = append(marks, b[len(b)/2:][:24])
		}
	}
	if err := rows.Err(); err != nil || len(marks) == 0 {
		d.t.Fatalf("no rows where %s: %v", where, err)
	}
	return marks
}

// holds reports in how many places of the folder one of the marks is.
func (d disk) holds(marks [][]byte) (where []string) {
	d.t.Helper()
	err := filepath.WalkDir(d.data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Clean(path))
		for i, m := range marks {
			if n := bytes.Count(b, m); n > 0 {
				where = append(where, fmt.Sprintf("%s: part %d, %d times", filepath.Base(path), i, n))
			}
		}
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return where
}

func TestWhatWasPurgedIsNotOnTheDisk(t *testing.T) {
	ctx, system := t.Context(), access.System("test")
	c := config.Default()
	c.Data, c.Listen, c.Status = t.TempDir(), "127.0.0.1:0", "off"
	a, err := Open(ctx, Config{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	db, err := sql.Open("sqlite", "file:"+filepath.Join(c.Data, "chatelaine.db")+"?_pragma=query_only(1)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	d := disk{t, c.Data, db}
	const plain = "CANARY-0d1f6a5e"
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	set := func(r object.Ref, value string) string {
		t.Helper()
		e, err := a.Secrets.Set(ctx, system, r, secrets.SetRequest{Value: secrets.Value(value)})
		must(nil, err)
		return e.Version.ID
	}
	must(a.Vaults.Create(ctx, system, "doomed", object.Settings{}))

	for name, purge := range map[string]struct {
		where string
		fill  func()
		purge func() error
	}{
		"a secret": {`vault = 'default' AND name = 'password'`, func() {
			set(object.Ref{Vault: "default", Name: "password"}, plain+" one")
			set(object.Ref{Vault: "default", Name: "password"}, strings.Repeat(plain, 1500))
		}, func() error {
			must(a.Secrets.Delete(ctx, system, object.Ref{Vault: "default", Name: "password"}))
			return a.Secrets.Purge(ctx, system, object.Ref{Vault: "default", Name: "password"})
		}},
		"a key": {`vault = 'default' AND name = 'signer'`, func() {
			must(a.Keys.Create(ctx, system, object.Ref{Vault: "default", Name: "signer"}, keys.CreateRequest{Type: "RSA"}))
		}, func() error {
			must(a.Keys.Delete(ctx, system, object.Ref{Vault: "default", Name: "signer"}))
			return a.Keys.Purge(ctx, system, object.Ref{Vault: "default", Name: "signer"})
		}},
		"a certificate, its key and its secret": {`vault = 'default' AND name = 'web'`, func() {
			p := &policy.Policy{Key: &policy.KeyProperties{Type: "RSA"}, X509: &policy.X509Properties{Subject: "CN=web"}, Issuer: &policy.Issuer{Name: "Self"}}
			must(a.Certificates.Create(ctx, system, object.Ref{Vault: "default", Name: "web"}, certificates.CreateRequest{Policy: p}))
		}, func() error {
			must(a.Certificates.Delete(ctx, system, object.Ref{Vault: "default", Name: "web"}))
			return a.Certificates.Purge(ctx, system, object.Ref{Vault: "default", Name: "web"})
		}},
		"a version": {`vault = 'default' AND name = 'versions' AND version <> '' AND position = 1`, func() {
			set(object.Ref{Vault: "default", Name: "versions"}, plain+" old")
			set(object.Ref{Vault: "default", Name: "versions"}, plain+" new")
		}, func() error {
			var version string
			must(nil, db.QueryRow(`SELECT version FROM objects WHERE vault = 'default' AND name = 'versions' AND version <> '' AND position = 1`).Scan(&version))
			_, err := a.Secrets.DeleteVersion(ctx, system, object.Ref{Vault: "default", Name: "versions", Version: version})
			return err
		}},
		"a vault": {`vault = 'doomed'`, func() {
			for i := range 30 {
				set(object.Ref{Vault: "doomed", Name: fmt.Sprint("s", i)}, plain+strings.Repeat("x", i*300))
			}
		}, func() error {
			must(a.Vaults.Delete(ctx, system, "doomed"))
			return a.Vaults.Purge(ctx, system, "doomed")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d.t = t
			purge.fill()
			marks := d.sealed(purge.where)
			if name == "a vault" {
				var key []byte
				must(nil, db.QueryRow(`SELECT datakey FROM vaults WHERE name = 'doomed'`).Scan(&key))
				marks = append(marks, key)
			}
			if len(d.holds(marks)) < len(marks) {
				t.Fatal("it is not on the disk before: this test looks in the wrong place")
			}

			if err := purge.purge(); err != nil {
				t.Fatal(err)
			}
			left := d.holds(marks)
			for range 5 { // a reader may be in the way, for a moment
				if a.housekeep(context.WithoutCancel(ctx)); len(left) > 0 {
					left = d.holds(marks)
				}
			}

			if len(left) > 0 {
				t.Errorf("%d parts of it are left: %.500q", len(left), left)
			}
			if left := d.holds([][]byte{[]byte(plain)}); len(left) > 0 {
				t.Errorf("in plain text: %q", left)
			}
		})
	}
}
