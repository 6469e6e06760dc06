package keyvault_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"chatelaine.dev/internal/serve/keyvault"
	doors "chatelaine.dev/internal/serve/keyvault/secrets"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/vaulttest"
)

// wide starts a door whose limits an operator has widened as far as they go.
func wide(t *testing.T) *keyvault.Door {
	t.Helper()
	f := vaulttest.New(t, storagetest.SQLite(t))
	f.Limits = object.Limits{SecretBytes: 1 << 20, Tags: 200, BackupVersions: 10_000}
	return keyvault.New(keyvault.Deps{
		Domain: "example.com", Authority: func(base string) string { return base + "/adfs" },
		Tokens: tokens{f.Caller}, Operations: doors.Operations(secrets.New(f.Deps)),
	})
}

func TestBackupOfManyLargeVersionsIsRestored(t *testing.T) {
	t.Parallel()
	d := wide(t)
	value := fmt.Sprintf(`{"value":%q}`, strings.Repeat("v", 1<<20))
	for range 6 {
		if w := do(d, "PUT", "/secrets/a?api-version=7.6", strings.NewReader(value)); w.Code != 200 {
			t.Fatalf("set: %d %.200s", w.Code, w.Body)
		}
	}
	backup := do(d, "POST", "/secrets/a/backup?api-version=7.6", nil)
	if backup.Code != 200 || backup.Body.Len() < wire.DefaultBody {
		t.Fatalf("backup: %d, %d bytes", backup.Code, backup.Body.Len())
	}
	do(d, "DELETE", "/secrets/a?api-version=7.6", nil)
	do(d, "DELETE", "/deletedsecrets/a?api-version=7.6", nil)

	restored := do(d, "POST", "/secrets/restore?api-version=7.6", bytes.NewReader(backup.Body.Bytes()))

	if restored.Code != 200 {
		t.Fatalf("restore: %d %.300s", restored.Code, restored.Body)
	}
	if got := do(d, "GET", "/secrets/a?api-version=7.6", nil); got.Code != 200 || got.Body.Len() < 1<<20 {
		t.Errorf("after the restore: %d, %d bytes", got.Code, got.Body.Len())
	}
}

func TestLargestSecretFitsWhateverItsCharacters(t *testing.T) {
	t.Parallel()
	d := wide(t)

	w := do(d, "PUT", "/secrets/a?api-version=7.6", strings.NewReader(`{"value":"`+strings.Repeat(`\u0001`, 1<<20)+`"}`))
	if w.Code != 200 {
		t.Errorf("one MiB of control characters: %d %.200s", w.Code, w.Body)
	}
	if w := do(d, "PUT", "/secrets/a?api-version=7.6", strings.NewReader(`{"value":"`+strings.Repeat(`v`, 1<<20+1)+`"}`)); w.Code != 400 || !strings.Contains(w.Body.String(), "at most 1048576") {
		t.Errorf("one byte more: %d %.200s", w.Code, w.Body)
	}
}

func TestBodiesLargerThanTheirOperationTakesAreRefused(t *testing.T) {
	t.Parallel()
	_, d := start(t)
	for path, limit := range map[string]int64{"/secrets/a": wire.SecretBody, "/secrets/restore": wire.RestoreBody} {
		method := map[bool]string{true: "POST", false: "PUT"}[path == "/secrets/restore"]
		sent := &endless{}

		w := do(d, method, path+"?api-version=7.6", sent)

		if w.Code != 413 || !strings.Contains(w.Body.String(), "RequestBodyTooLarge") {
			t.Errorf("%s: %d %.200s", path, w.Code, w.Body)
		}
		if sent.read > limit+1 {
			t.Errorf("%s: %d bytes of the body were read, want at most %d", path, sent.read, limit+1)
		}
	}
}

// endless is a body without an end.
type endless struct{ read int64 }

var _ io.Reader = (*endless)(nil)

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	e.read += int64(len(b))
	return len(b), nil
}
