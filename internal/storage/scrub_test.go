package storage_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

func TestErasedBytesLeaveTheLog(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	db := storagetest.Open(t, storage.Config{Dir: dir})
	secret := bytes.Repeat([]byte("erase me"), 600) // more than a page
	log := func() []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, "chatelaine.db-wal"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	remove := func(fail error) {
		t.Helper()
		err := db.Transact(ctx, func(ctx context.Context) error {
			db.Erased(ctx)
			_, err := db.Exec(ctx, `DELETE FROM settings WHERE name = 'a'`)
			return errors.Join(err, fail)
		})
		if !errors.Is(err, fail) {
			t.Fatal(err)
		}
	}
	scrub := func() {
		t.Helper()
		if err := db.Scrub(ctx); err != nil {
			t.Fatal(err)
		}
	}
	scrub() // what was there before
	if _, err := db.Exec(ctx, `INSERT INTO settings (name, value) VALUES ('a', $1)`, secret); err != nil {
		t.Fatal(err)
	}

	remove(errors.New("no"))
	scrub()
	if !bytes.Contains(log(), secret[:64]) {
		t.Error("the log was emptied, although nothing was erased")
	}

	remove(nil)
	if !bytes.Contains(log(), secret[:64]) {
		t.Fatal("the log has nothing of it before: this test looks in the wrong place")
	}
	reader := reading(t, dir)
	scrub()
	if !bytes.Contains(log(), secret[:64]) {
		t.Fatal("the log is empty although somebody reads in it: this test looks in the wrong place")
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	scrub()

	if b := log(); bytes.Contains(b, secret[:64]) {
		t.Errorf("the log has %d bytes, and what was erased is in it", len(b))
	}
	if b, err := os.ReadFile(filepath.Join(dir, "chatelaine.db")); err != nil || bytes.Contains(b, secret[:64]) {
		t.Errorf("what was erased is in the database: %v", err)
	}
}

// reading begins to read what is there now.
func reading(t *testing.T, dir string) *sql.Tx {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "chatelaine.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM settings`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return tx
}
