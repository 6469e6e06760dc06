package audit_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/auditdb"
	"chatelaine.dev/internal/storage/storagetest"
)

func TestExportGoesOnWhereItStoppedWhateverTheCursor(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		signer, err := audit.NewSigner("chatelaine/test/audit", make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		trail := audit.New(audit.Config{Store: auditdb.New(db), Signer: signer, Now: time.Now})
		write := func(first, n int) { // one commit
			t.Helper()
			if err := db.Transact(t.Context(), func(ctx context.Context) error {
				for i := range n {
					target := fmt.Sprintf("/vaults/v%d", (first+i)%3)
					if err := trail.Record(ctx, audit.Record{Operation: fmt.Sprint("Op", first+i), Target: target, Outcome: audit.Success, Principal: "p"}); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		export := func(after int64, q audit.Query) (got []string, end int64) {
			t.Helper()
			for {
				records, next, err := trail.After(t.Context(), after, q)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range records {
					if want := fmt.Sprint("Op", r.Sequence); r.Operation != want {
						t.Fatalf("record %d is %s", r.Sequence, r.Operation)
					}
					got = append(got, r.Operation)
				}
				if next == after {
					return got, after
				}
				after = next
			}
		}
		if got, end := export(0, audit.Query{}); len(got) != 0 || end != 0 {
			t.Fatalf("of an empty trail: %v, next %d", got, end)
		}
		for first, sizes := 1, []int{1, 5, 1, 7, 3, 1}; len(sizes) > 0; sizes = sizes[1:] {
			write(first, sizes[0])
			first += sizes[0]
		}

		for _, limit := range []int{1, 2, 5, 1000} {
			for after := range int64(19) {
				got, end := export(after, audit.Query{Limit: limit})
				if want := 18 - int(after); len(got) != want || end != 18 || want > 0 && got[0] != fmt.Sprint("Op", after+1) {
					t.Errorf("after %d by %d: %v, next %d", after, limit, got, end)
				}
				one, _ := export(after, audit.Query{Limit: limit, Target: "/vaults/v1"})
				want := 0
				for i := after + 1; i <= 18; i++ {
					if i%3 == 1 {
						want++
					}
				}
				if len(one) != want {
					t.Errorf("of one vault after %d by %d: %v, want %d", after, limit, one, want)
				}
			}
		}
		write(19, 2)
		if got, end := export(18, audit.Query{}); len(got) != 2 || end != 20 {
			t.Errorf("what is new: %v, next %d", got, end)
		}
		if got, end := export(1000, audit.Query{}); len(got) != 0 || end != 1000 {
			t.Errorf("after the end: %v, next %d", got, end)
		}
	})
}
