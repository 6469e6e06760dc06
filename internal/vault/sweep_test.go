package vault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

// A year goes by in a vault with purge protection: each thing goes on its day, and what
// nobody deleted stays.
func TestWhatWasDeletedGoesWhenItsRetentionEnds(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		_, err := w.Service.Update(ctx, w.Caller, vaulttest.Vault, vault.Change{PurgeProtection: on(true)})
		w.must(t, err)
		w.set(t, vaulttest.Vault, "stays", "x")
		at := func(name string) object.Ref { return object.Ref{Vault: vaulttest.Vault, Name: name} }
		p := policy.Policy{Issuer: &policy.Issuer{Name: "Self"}, X509: &policy.X509Properties{Subject: "CN=a"}}
		_, err = w.Certificates.Create(ctx, w.Caller, at("web"), certificates.CreateRequest{Policy: &p})
		w.must(t, err)
		_, err = w.Keys.Create(ctx, w.Caller, at("sign"), keys.CreateRequest{Type: "EC"})
		w.must(t, err)
		for month := range 12 {
			name := fmt.Sprintf("s%d", month)
			w.set(t, vaulttest.Vault, name, "x")
			w.set(t, vaulttest.Vault, name, "y")
			_, err := w.Secrets.Delete(ctx, w.Caller, at(name))
			w.must(t, err)
			if month == 3 {
				_, err = w.Certificates.Delete(ctx, w.Caller, at("web"))
				w.must(t, err)
				_, err = w.Keys.Delete(ctx, w.Caller, at("sign"))
				w.must(t, err)
			}
			for range 30 {
				w.Advance(24 * time.Hour)
				w.must(t, w.Sweeper.Sweep(ctx))
			}
			if list, err := w.Secrets.ListDeleted(ctx, w.Caller, vaulttest.Vault, object.Page{Limit: 25}); err != nil || len(list.Entries) != min(month+1, 2) {
				t.Errorf("month %d: %d deleted secrets (%v), want those of 90 days", month, len(list.Entries), err)
			}
		}
		if n := rows(t, db, "objects"); n != 2+2*3 { // "stays", and the secrets of the last two months with two versions each
			t.Errorf("%d rows are left", n)
		}
		if got := w.secret(t, w.Caller, vaulttest.Vault, "stays"); got != "x" {
			t.Errorf("what nobody deleted: %s", got)
		}
		w.whole(t)
		purged := map[string]int{}
		for _, op := range w.Operations(t) {
			purged[op]++
		}
		if purged["SecretPurge"] != 10 || purged["CertificatePurge"] != 1 || purged["KeyPurge"] != 1 {
			t.Errorf("records: %d secrets, %d certificates, %d keys", purged["SecretPurge"], purged["CertificatePurge"], purged["KeyPurge"])
		}
	})
}

// The column says when to look; what is sealed says when to purge.
func TestChangedColumnPurgesNothingEarly(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	ctx := t.Context()
	w.set(t, vaulttest.Vault, "db", "one")
	_, err := w.Secrets.Delete(ctx, w.Caller, object.Ref{Vault: vaulttest.Vault, Name: "db"})
	w.must(t, err)
	w.must(t, w.DB.Transact(ctx, func(ctx context.Context) error {
		_, err := w.DB.Exec(ctx, `UPDATE objects SET purge = 1 WHERE version = ''`)
		return err
	}))
	w.must(t, w.Sweeper.Sweep(ctx))
	if _, err := w.Secrets.GetDeleted(ctx, w.Caller, object.Ref{Vault: vaulttest.Vault, Name: "db"}); err != nil {
		t.Errorf("the secret is gone early: %v", err)
	}
	_, err = w.Service.Delete(ctx, w.Caller, vaulttest.Vault)
	w.must(t, err)
	w.must(t, w.DB.Transact(ctx, func(ctx context.Context) error {
		_, err := w.DB.Exec(ctx, `UPDATE vaults SET purge = 1`)
		return err
	}))
	if err := w.Sweeper.Sweep(ctx); !fault.HasCode(err, "RetentionNotOver") {
		t.Errorf("sweep: %v", err)
	}
	if _, err := w.Service.GetDeleted(ctx, w.Caller, vaulttest.Vault); err != nil {
		t.Errorf("the vault is gone early: %v", err)
	}
}

// A purge is broken off after each of its commits in turn: the vault is never half there,
// and the next sweep finishes.
func TestBrokenOffPurgeIsFinished(t *testing.T) {
	for after := 1; ; after++ {
		w := newWorld(t, storagetest.SQLite(t))
		ctx := t.Context()
		_, err := w.Service.Delete(ctx, w.Caller, vaulttest.Vault)
		w.must(t, err)
		fill(t, w, 5000)
		transact, left := w.Transact, after
		w.Transact = func(ctx context.Context, fn func(context.Context) error) error {
			if left--; left < 0 {
				return errors.New("the power is gone")
			}
			return transact(ctx, fn)
		}
		w.services()
		broken := w.Service.Purge(ctx, w.Caller, vaulttest.Vault) != nil
		w.Transact = transact
		w.restart()

		if _, err := w.Service.GetDeleted(ctx, w.Caller, vaulttest.Vault); !fault.HasCode(err, "DeletedVaultNotFound") {
			t.Fatalf("after %d commits: %v", after, err)
		}
		var keys int
		w.must(t, w.DB.QueryRow(ctx, `SELECT count(*) FROM vaults WHERE length(datakey) > 0`).Scan(&keys))
		if keys != 0 {
			t.Errorf("after %d commits the data key is there", after)
		}
		w.whole(t)
		if broken {
			if _, err := w.Service.Create(ctx, w.Caller, vaulttest.Vault, object.Settings{}); !fault.Is(err, fault.Conflict) {
				t.Errorf("after %d commits the name is free, with %d rows left: %v", after, rows(t, w.DB, "objects"), err)
			}
		}
		w.must(t, w.Sweeper.Sweep(ctx))
		if n := rows(t, w.DB, "objects") + rows(t, w.DB, "vaults"); n != 0 {
			t.Errorf("after %d commits and a sweep %d rows are left", after, n)
		}
		if _, err := w.Service.Create(ctx, w.Caller, vaulttest.Vault, object.Settings{}); err != nil {
			t.Errorf("create anew: %v", err)
		}
		if !broken {
			if after < 4 { // the data key, two batches of rows and the last
				t.Errorf("the purge took %d commits", after)
			}
			return
		}
	}
}

// A sweep may find a name that somebody has recovered meanwhile.
func TestEraseTouchesNothingThatIsNotPurging(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		w.set(t, vaulttest.Vault, "db", "one")
		w.must(t, w.Vaults.Erase(t.Context(), w.Transact, vaulttest.Vault))
		if got := w.secret(t, w.Caller, vaulttest.Vault, "db"); got != "one" {
			t.Errorf("the secret of a live vault: %s", got)
		}
		w.whole(t)
	})
}

// fill puts rows into a deleted vault behind its back. A purge does not read them.
func fill(t testing.TB, w *world, n int) {
	t.Helper()
	w.must(t, w.DB.Transact(t.Context(), func(ctx context.Context) error {
		_, err := w.DB.Exec(ctx, `INSERT INTO objects (vault, kind, name, version, position, deleted, purge, revision, sealed)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			SELECT $2, 'secrets', 's' || i, '', 0, FALSE, 0, 1, $3 FROM n`, n, vaulttest.Vault, make([]byte, 300))
		return err
	}))
}

// However large the vault is, others who write come in between.
func TestPurgeOfALargeVaultLetsOthersWrite(t *testing.T) {
	const size = 40_000
	w := newWorld(t, storagetest.SQLite(t))
	ctx := t.Context()
	_, err := w.Service.Create(ctx, w.Caller, "other", object.Settings{})
	w.must(t, err)
	_, err = w.Service.Delete(ctx, w.Caller, vaulttest.Vault)
	w.must(t, err)
	fill(t, w, size)

	done := make(chan error)
	began := time.Now()
	go func() { done <- w.Service.Purge(ctx, w.Caller, vaulttest.Vault) }()
	var longest time.Duration
	writes := 0
	for {
		select {
		case err := <-done:
			w.must(t, err)
			whole := time.Since(began)
			t.Logf("%d rows went in %s; %d writes beside, the longest took %s", size, whole, writes, longest)
			if writes < 5 || longest > whole/2 {
				t.Errorf("%d writes beside a purge of %s, the longest took %s", writes, whole, longest)
			}
			if n := rows(t, w.DB, "vaults"); n != 1 {
				t.Errorf("%d vaults are left", n)
			}
			return
		default:
			at := time.Now()
			w.set(t, "other", "db", "x")
			longest = max(longest, time.Since(at))
			writes++
		}
	}
}
