package auditdb_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

// fill writes 60 records from many goroutines and signs the end.
func fill(t *testing.T, db *storage.DB) (trail *audit.Trail, checkpoint []byte) {
	t.Helper()
	trail = newTrail(t, db)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			if err := trail.Record(t.Context(), record(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
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
		"edit a body":             `UPDATE audit SET body = replace(body, 'SecretSet', 'SecretGet'), operation = 'SecretGet' WHERE sequence = 30`,
		"edit a column":           `UPDATE audit SET principal = 'q' WHERE sequence = 30`,
		"remove a line":           `DELETE FROM audit WHERE sequence = 30`,
		"swap two lines":          `UPDATE audit SET sequence = CASE sequence WHEN 30 THEN -31 WHEN 31 THEN -30 END WHERE sequence IN (30, 31); UPDATE audit SET sequence = -sequence WHERE sequence < 0`,
		"cut the tail":            `DELETE FROM audit WHERE sequence > 50; UPDATE audit_head SET sequence = 50, hash = (SELECT hash FROM audit WHERE sequence = 50)`,
		"cut it with checkpoints": `DELETE FROM audit WHERE sequence > 50; UPDATE audit_head SET sequence = 50, hash = (SELECT hash FROM audit WHERE sequence = 50); DELETE FROM audit_checkpoints`,
		"remove everything":       `DELETE FROM audit; DELETE FROM audit_head; DELETE FROM audit_checkpoints`,
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
		var records []audit.Record
		if err := auditdb.New(db).Lines(ctx, 0, 100, func(s audit.Stored) bool {
			r, err := s.Decode()
			if err != nil {
				t.Fatal(err)
			}
			if r.Sequence == 30 {
				r.Principal = "somebody else"
			}
			records = append(records, r)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Pool().ExecContext(ctx, `DELETE FROM audit; DELETE FROM audit_head; DELETE FROM audit_checkpoints`); err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
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
