package secrets_test

import (
	"context"
	"strings"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/vaulttest"
)

// setMany sets the secret a many times in one transaction.
func setMany(t *testing.T, f *vaulttest.Floor, s *secrets.Service, value string, times int) {
	t.Helper()
	if err := f.Transact(t.Context(), func(ctx context.Context) error {
		for range times {
			if _, err := s.Set(ctx, f.Caller, ref("a"), secrets.SetRequest{Value: secrets.Value(value)}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestBackupHoldsAsManyVersionsAsTheOperatorAllows(t *testing.T) {
	t.Parallel()
	f := vaulttest.New(t, storagetest.SQLite(t))
	azure := secrets.New(f.Deps)
	f.Limits.BackupVersions = 600
	wide := secrets.New(f.Deps)
	setMany(t, f, azure, "v", 501)

	if _, err := azure.Backup(t.Context(), f.Caller, ref("a")); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "500 versions") {
		t.Errorf("501 versions with Azure's limit: %v", err)
	}
	blob, err := wide.Backup(t.Context(), f.Caller, ref("a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wide.Delete(t.Context(), f.Caller, ref("a")); err != nil {
		t.Fatal(err)
	}
	if err := wide.Purge(t.Context(), f.Caller, ref("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := azure.Restore(t.Context(), f.Caller, vaulttest.Vault, blob); err != nil {
		t.Fatalf("restore: %v", err)
	}
	l, err := wide.Versions(t.Context(), f.Caller, ref("a"), object.Page{Limit: 1000})
	if err != nil || len(l.Entries) != 501 {
		t.Errorf("%d versions after the restore: %v", len(l.Entries), err)
	}
	setMany(t, f, azure, "v", 100)
	if _, err := wide.Backup(t.Context(), f.Caller, ref("a")); !fault.Is(err, fault.Invalid) {
		t.Errorf("601 versions with a limit of 600: %v", err)
	}
}

func TestBackupEndsBeforeItFillsTheMemory(t *testing.T) {
	t.Parallel()
	f := vaulttest.New(t, storagetest.SQLite(t))
	f.Limits.SecretBytes = 1 << 20
	s := secrets.New(f.Deps)
	setMany(t, f, s, strings.Repeat("v", 1<<20), 33)

	_, err := s.Backup(t.Context(), f.Caller, ref("a"))

	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "32 MiB") {
		t.Errorf("backup of 33 MiB: %v", err)
	}
}

func TestSecretsAndTagsGoBeyondAzureByConfiguration(t *testing.T) {
	t.Parallel()
	f := vaulttest.New(t, storagetest.SQLite(t))
	azure := secrets.New(f.Deps)
	f.Limits = object.Limits{SecretBytes: 100_000, Tags: 20}
	wide := secrets.New(f.Deps)
	tags := map[string]string{}
	for _, name := range strings.Split("abcdefghijklmnopqrst", "") {
		tags[name] = "x"
	}
	big := secrets.SetRequest{Value: secrets.Value(strings.Repeat("v", 100_000))}
	tagged := secrets.SetRequest{Value: "v", Attributes: object.Attributes{Tags: tags}}

	for _, q := range []secrets.SetRequest{big, tagged} {
		if _, err := azure.Set(t.Context(), f.Caller, ref("a"), q); !fault.Is(err, fault.Invalid) {
			t.Errorf("Azure's limits: %v, want a refusal", err)
		}
		if _, err := wide.Set(t.Context(), f.Caller, ref("a"), q); err != nil {
			t.Errorf("wider limits: %v", err)
		}
	}
	if _, err := azure.Update(t.Context(), f.Caller, ref("a"), secrets.UpdateRequest{Attributes: object.Attributes{Tags: tags}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("20 tags by an update: %v, want a refusal", err)
	}
	big.Value += "v"
	if _, err := wide.Set(t.Context(), f.Caller, ref("a"), big); !fault.Is(err, fault.Invalid) {
		t.Errorf("one byte more than configured: %v, want a refusal", err)
	}
}
