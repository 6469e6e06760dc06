package storage_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// Statements are kept by their text, whatever was done with them the last time: read to the
// end or not, refused, or asked while their rows were being read.
func TestAStatementThatIsKeptAnswersAsIfItWereNew(t *testing.T) {
	db := storagetest.SQLite(t)
	for round := range 3 {
		if err := put(t.Context(), db, fmt.Sprint(round)); err != nil {
			t.Fatal(err)
		}
		if err := put(t.Context(), db, "0"); err == nil {
			t.Error("a name twice is not refused")
		}
		var first, inner string
		err := db.Transact(t.Context(), func(ctx context.Context) (err error) { // on one connection
			first, inner, err = twice(ctx, db, fmt.Sprint(round))
			return err
		})
		if err != nil || first != "0" || inner != fmt.Sprint(round) {
			t.Errorf("round %d: %q and inside it %q, %v", round, first, inner, err)
		}
	}
	if _, err := db.Exec(t.Context(), `ALTER TABLE settings ADD COLUMN more TEXT NOT NULL DEFAULT 'x'`); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query(t.Context(), `SELECT * FROM settings`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	if columns, err := rows.Columns(); err != nil || len(columns) != 3 || rows.Err() != nil {
		t.Errorf("%q, %v, %v", columns, err, rows.Err())
	}
}

// twice asks the same from two names, the second time while the rows of the first are
// read, and leaves rows unread.
func twice(ctx context.Context, db *storage.DB, second string) (outer, inner string, err error) {
	const read = `SELECT name FROM settings WHERE name >= $1 ORDER BY name`
	rows, err := db.Query(ctx, read, "0")
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if !rows.Next() {
		return "", "", rows.Err()
	}
	err = db.QueryRow(ctx, read, second).Scan(&inner)
	return outer, inner, errors.Join(err, rows.Scan(&outer), rows.Err())
}

// Queries whose text depends on what was asked must not keep the others out for good, nor
// a connection's memory forever.
func TestManyTextsAreAnswered(t *testing.T) {
	db := storagetest.SQLite(t)
	for i := range 1200 {
		var got int
		if err := db.QueryRow(t.Context(), fmt.Sprintf(`SELECT %d + $1`, i), 1).Scan(&got); err != nil || got != i+1 {
			t.Fatalf("%d: %d, %v", i, got, err)
		}
	}
	if err := db.QueryRow(t.Context(), `SELECT nothing FROM settings`).Scan(new(int)); err == nil || errors.Is(err, sql.ErrNoRows) {
		t.Errorf("a column that is not there: %v", err)
	}
}
