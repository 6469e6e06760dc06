package auditdb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/auditdb"
	"chatelaine.dev/internal/storage/storagetest"
)

func newTrail(t *testing.T, db *storage.DB) *audit.Trail {
	t.Helper()
	signer, err := audit.NewSigner("chatelaine/test/audit", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	return audit.New(audit.Config{Store: auditdb.New(db), Signer: signer, Now: func() time.Time { return at }})
}

func record(i int) audit.Record {
	return audit.Record{
		Operation: "SecretSet", Target: fmt.Sprintf("/vaults/a/secrets/s%d", i), Outcome: audit.Success, Principal: "p",
		Details: map[audit.Field]string{audit.Version: fmt.Sprint(i)},
	}
}

// fill writes 60 records, one to five in a commit, and signs the end. Records 26 to 30
// share a commit.
func fill(t *testing.T, db *storage.DB) (trail *audit.Trail, checkpoint []byte) {
	t.Helper()
	trail = newTrail(t, db)
	for i := 0; i < 60; {
		if err := db.Transact(t.Context(), func(ctx context.Context) error {
			for range 1 + i/5%2*4 {
				if err := trail.Record(ctx, record(i)); err != nil {
					return err
				}
				i++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	note, err := trail.Checkpoint(t.Context())
	if err != nil || note == nil {
		t.Fatalf("checkpoint %q: %v", note, err)
	}
	return trail, note
}

func TestTrailVerifiesAsWritten(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		trail, note := fill(t, db)

		rep, err := trail.Verify(t.Context(), [][]byte{note}, nil)

		if err != nil || rep.Records != 60 || rep.Checkpoints != 1 {
			t.Errorf("report %+v: %v", rep, err)
		}
		found, err := trail.List(t.Context(), audit.Query{Target: "/vaults/a/secrets/s7"})
		if err != nil || len(found) != 1 {
			t.Errorf("found %v: %v", found, err)
		}
		if all, err := trail.List(t.Context(), audit.Query{Target: "/vaults/a", Limit: 1000}); err != nil || len(all) != 60 {
			t.Errorf("%d records below the vault: %v", len(all), err)
		}
	})
}

func TestTamperedTrailDoesNotVerify(t *testing.T) {
	for name, tamper := range map[string]string{
		"edit a body":             `UPDATE trail SET body = replace(body, 'secrets/s28', 'secrets/s99') WHERE first = 26`,
		"edit a time":             `UPDATE trail SET time = time + 1 WHERE first = 26`,
		"hide from searches":      `UPDATE trail SET terms = (SELECT terms FROM trail WHERE first = 36) WHERE first = 26`,
		"edit a hash":             `UPDATE trail SET hash = (SELECT hash FROM trail WHERE first = 36) WHERE first = 26`,
		"remove a commit":         `DELETE FROM trail WHERE first = 26`,
		"remove a line":           `UPDATE trail SET body = substr(body, 1, length(body) / 5 * 4), last = 29 WHERE first = 26`,
		"add a line":              `UPDATE trail SET body = body || body WHERE first = 26`,
		"swap two commits":        `UPDATE trail SET first = -first WHERE first IN (21, 22); UPDATE trail SET first = 43 + first, last = 43 + first WHERE first < 0`,
		"cut the tail":            `DELETE FROM trail WHERE first > 50`,
		"cut it with checkpoints": `DELETE FROM trail WHERE first > 50; DELETE FROM audit_checkpoints`,
		"remove everything":       `DELETE FROM trail; DELETE FROM audit_checkpoints`,
		"forge a checkpoint":      `UPDATE audit_checkpoints SET note = replace(note, '60', '59')`,
	} {
		t.Run(name, func(t *testing.T) {
			storagetest.Each(t, func(t *testing.T, db *storage.DB) {
				trail, note := fill(t, db)
				if _, err := db.Pool().ExecContext(t.Context(), tamper); err != nil {
					t.Fatal(err)
				}

				_, err := trail.Verify(t.Context(), [][]byte{note}, nil)

				if !errors.Is(err, audit.ErrTampered) {
					t.Errorf("verify: %v, want ErrTampered", err)
				}
			})
		})
	}
}

func TestRecordOfAFailedChangeIsDropped(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		trail := newTrail(t, db)
		err := db.Transact(t.Context(), func(ctx context.Context) error {
			if err := trail.Record(ctx, record(1)); err != nil {
				return err
			}
			return errors.New("refused")
		})
		if err == nil {
			t.Fatal("want an error")
		}
		if rep, err := trail.Verify(t.Context(), nil, nil); err != nil || rep.Records != 0 {
			t.Errorf("report %+v: %v, want no records", rep, err)
		}
	})
}

func TestFieldOffTheListIsRefused(t *testing.T) {
	trail := newTrail(t, storagetest.SQLite(t))
	r := record(1)
	r.Details["value"] = "s3cret"
	if err := trail.Record(t.Context(), r); err == nil {
		t.Error("a detail that is not on the list was recorded")
	}
}

// TestRewrittenTrailIsShownByItsCheckpoint does what somebody can who writes the whole
// database: change a record and chain everything behind it anew.
func TestRewrittenTrailIsShownByItsCheckpoint(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		trail, note := fill(t, db)
		ctx := t.Context()
		records, err := trail.List(ctx, audit.Query{Limit: 1000})
		if err != nil || len(records) != 60 {
			t.Fatal(len(records), err)
		}
		if _, err := db.Pool().ExecContext(ctx, `DELETE FROM trail; DELETE FROM audit_checkpoints`); err != nil {
			t.Fatal(err)
		}
		trail = newTrail(t, db)
		for _, r := range slices.Backward(records) {
			if r.Sequence == 30 {
				r.Principal = "somebody else"
			}
			if err := trail.Record(ctx, r); err != nil {
				t.Fatal(err)
			}
		}

		_, without := trail.Verify(ctx, nil, nil)
		_, with := trail.Verify(ctx, [][]byte{note}, nil)

		if without != nil || !errors.Is(with, audit.ErrTampered) {
			t.Errorf("without the checkpoint: %v (a chain alone cannot tell), with it: %v, want ErrTampered", without, with)
		}
	})
}

func TestOfTheCheckpointsOfAnHourTheLastStays(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		store := auditdb.New(db)
		from := time.Date(2026, 11, 23, 10, 59, 40, 0, time.UTC)
		for n := range 8 {
			if err := store.PutCheckpoint(t.Context(), int64(10+n), from.Add(time.Duration(n)*10*time.Second), fmt.Append(nil, n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.PutCheckpoint(t.Context(), 30, from.Add(2*time.Hour), []byte("later")); err != nil {
			t.Fatal(err)
		}

		notes, err := store.Checkpoints(t.Context(), 100)

		if got := string(bytes.Join(notes, []byte(" "))); err != nil || got != "later 7 1" { // 12:59:40, 11:00:50, 10:59:50
			t.Errorf("%q %v", got, err)
		}
	})
}
