package app_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatelaine.dev/internal/app"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/app/dir"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/seal"
	"chatelaine.dev/internal/vault/secrets"
)

func open(t *testing.T, data, database string) (*app.App, error) {
	t.Helper()
	c := config.Default()
	c.Data, c.Database, c.Listen, c.Status = data, database, "127.0.0.1:0", "off"
	return app.Open(t.Context(), app.Config{Config: c, Log: slog.New(slog.DiscardHandler)})
}

func stop(t *testing.T, a *app.App) {
	t.Helper()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

func environment(t *testing.T, data string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(data, "bootstrap", "admin.env"))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[name] = value
	}
	return env
}

func TestFirstStartMakesWhatAClientNeeds(t *testing.T) {
	data := t.TempDir()
	a, err := open(t, data, "")
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, a)

	env := environment(t, data)
	for _, name := range strings.Fields("AZURE_TENANT_ID AZURE_CLIENT_ID AZURE_CLIENT_SECRET AZURE_AUTHORITY_HOST IDENTITY_ENDPOINT IDENTITY_HEADER CHATELAINE_URL CHATELAINE_VAULT_URL CHATELAINE_HSM_URL SSL_CERT_FILE") {
		if env[name] == "" {
			t.Errorf("admin.env lacks %s", name)
		}
		delete(env, name)
	}
	for name := range env {
		t.Errorf("admin.env has %s, which nobody asked for", name)
	}
	for _, file := range []string{"root.key", "bootstrap/admin.env", "bootstrap/root.pem", "chatelaine.db"} {
		if info, err := os.Stat(filepath.Join(data, file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want mode 0600", file, info, err)
		}
	}
}

func TestSecondStartKeepsEverything(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgresql"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			data, database := t.TempDir(), ""
			if engine == "postgresql" {
				database = storagetest.Postgres(t)
			}
			first, err := open(t, data, database)
			if err != nil {
				t.Fatal(err)
			}
			before := environment(t, data)
			ref := object.Ref{Vault: "default", Name: "a"}
			if _, err := first.Secrets.Set(t.Context(), apptest.System, ref, secrets.SetRequest{Value: "kept"}); err != nil {
				t.Fatal(err)
			}
			ca, err := first.Authorities.Certificate(t.Context(), "issuing")
			if err != nil {
				t.Fatal(err)
			}
			stop(t, first)

			second, err := open(t, data, database)
			if err != nil {
				t.Fatal(err)
			}
			defer stop(t, second)

			after := environment(t, data)
			for _, name := range []string{"AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "IDENTITY_HEADER", "SSL_CERT_FILE"} {
				if before[name] != after[name] {
					t.Errorf("%s changed", name)
				}
			}
			if !strings.HasPrefix(after["CHATELAINE_URL"], second.URL()) {
				t.Errorf("CHATELAINE_URL is %s, the server is at %s", after["CHATELAINE_URL"], second.URL())
			}
			if _, b, err := second.Secrets.Get(t.Context(), apptest.System, ref); err != nil || b.Value != "kept" {
				t.Errorf("the secret: %v", err)
			}
			if again, err := second.Authorities.Certificate(t.Context(), "issuing"); err != nil || string(again) != string(ca) {
				t.Errorf("the authority changed: %v", err)
			}
			if r, err := second.Audit().Verify(t.Context(), apptest.System); err != nil || r.Problem != "" {
				t.Errorf("audit: %+v %v", r, err)
			}
		})
	}
}

// content is a hash over every file of a folder but the lock and SQLite's shared memory.
func content(t *testing.T, data string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(data, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lock" || strings.HasSuffix(path, "-shm") || strings.HasSuffix(path, "-wal") {
			return err
		}
		b, err := os.ReadFile(path)
		_, _ = io.WriteString(h, path)
		_, _ = h.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(h.Sum(nil))
}

func TestStartIsRefusedAndNothingTouched(t *testing.T) {
	rootKey := func(t *testing.T, data string) {
		key := make([]byte, seal.KeySize)
		_, _ = rand.Read(key)
		if err := os.WriteFile(filepath.Join(data, "root.key"), []byte(base64.StdEncoding.EncodeToString(key)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, data string)
		want  error
	}{
		"another root key": {rootKey, seal.ErrSealed},
		"no root key": {func(t *testing.T, data string) {
			if err := os.Remove(filepath.Join(data, "root.key")); err != nil {
				t.Fatal(err)
			}
		}, dir.ErrNoRootKey},
		"a newer schema": {func(t *testing.T, data string) {
			db, err := storage.Open(t.Context(), storage.Config{Dir: data})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999999, true)`); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}, storage.ErrNewerSchema},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			a, err := open(t, data, "")
			if err != nil {
				t.Fatal(err)
			}
			stop(t, a)
			c.spoil(t, data)
			before := content(t, data)

			_, err = open(t, data, "")

			if !errors.Is(err, c.want) {
				t.Errorf("start: %v, want %v", err, c.want)
			}
			if content(t, data) != before {
				t.Error("the data folder was touched")
			}
		})
	}
}

func TestFolderInUseIsRefused(t *testing.T) {
	data := t.TempDir()
	a, err := open(t, data, "")
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, a)

	if _, err := open(t, data, ""); !errors.Is(err, dir.ErrInUse) {
		t.Errorf("second start: %v, want ErrInUse", err)
	}
}

func TestOlderDatabaseIsRefused(t *testing.T) {
	data := t.TempDir()
	a, err := open(t, data, "")
	if err != nil {
		t.Fatal(err)
	}
	stop(t, a)
	old, err := os.ReadFile(filepath.Join(data, "chatelaine.db"))
	if err != nil {
		t.Fatal(err)
	}
	if a, err = open(t, data, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Secrets.Set(t.Context(), apptest.System, object.Ref{Vault: "default", Name: "a"}, secrets.SetRequest{Value: "x"}); err != nil {
		t.Fatal(err)
	}
	stop(t, a)
	if err := os.WriteFile(filepath.Join(data, "chatelaine.db"), old, 0o600); err != nil {
		t.Fatal(err)
	}

	if _, err = open(t, data, ""); err == nil || !strings.Contains(err.Error(), "an older database was put in place") {
		t.Errorf("start on an older database: %v", err)
	}
}

func TestProductIsReadyAndEndsInOrder(t *testing.T) {
	p := apptest.Start(t) // its clean-up fails the test unless Run ends with nil
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, p.URL+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK || res.TLS.Version < 0x0303 {
		t.Errorf("readyz: %d over TLS %x", res.StatusCode, res.TLS.Version)
	}
}
