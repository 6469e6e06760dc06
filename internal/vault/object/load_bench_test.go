package object_test

import (
	"context"
	"fmt"
	"testing"

	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

// BenchmarkFirstTouch is what the first read of a vault costs, per secret in it: all its
// revisions are held against the ledger.
func BenchmarkFirstTouch(b *testing.B) {
	f := vaulttest.New(b, storagetest.SQLite(b))
	v, err := f.Vaults.Open(b.Context(), vaulttest.Vault)
	if err != nil {
		b.Fatal(err)
	}
	const secrets = 1000
	if err := f.Transact(b.Context(), func(ctx context.Context) error {
		for i := range secrets {
			x := object.Version{Enabled: true, Body: make([]byte, 0, 200)}
			x.Body = fmt.Appendf(x.Body, `{"value":"%064d"}`, i)
			if _, err := v.Append(ctx, object.Secrets, fmt.Sprintf("s%06d", i), x, nil); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		f.Reopen()
		v, err := f.Vaults.Open(b.Context(), vaulttest.Vault)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.Read(b.Context(), object.Secrets, "s000007", ""); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*secrets), "µs/secret")
}
