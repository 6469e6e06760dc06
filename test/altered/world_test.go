// Package altered changes bytes behind the product's back, in the database, its log, its
// keys, backups and exports, and shows that what was changed is refused or makes no
// difference: never another plaintext, never a panic.
package altered

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app"
	"chatelaine.dev/internal/app/dir"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/vaultdb"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/seal"
	"chatelaine.dev/internal/vault/secrets"
)

var system = access.System("test")

// open opens the product on a data folder, without serving.
func open(ctx context.Context, data string) (*app.App, error) {
	c := config.Default()
	c.Data, c.Listen, c.Status = data, "127.0.0.1:0", "off"
	return app.Open(ctx, app.Config{Config: c, Log: slog.New(slog.DiscardHandler)})
}

// golden is a data folder as it stands while the product runs: the last changes are in the
// log of the database alone.
type golden struct {
	folder string
	rows   content
	tail   []string // names of secrets that were set last, in the order of their commits
	backup map[object.Kind][]byte
}

// place is where a row lies.
type place struct {
	vault   string
	kind    object.Kind
	name    string
	version string // "" for the newest, with its head
}

// content is what every place holds, in JSON.
type content map[place]string

var vaults = []string{"default", "other", "hsm"}

// made is the one golden folder of this run.
var made = sync.OnceValues(func() (g golden, err error) {
	ctx := context.Background()
	data, err := os.MkdirTemp("", "altered")
	if err != nil {
		return g, err
	}
	g.folder = filepath.Join(data, "golden")
	a, err := open(ctx, filepath.Join(data, "running"))
	if err != nil {
		return g, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := fill(ctx, a); err != nil {
		return g, err
	}
	if g.backup, err = backups(ctx, a); err != nil {
		return g, err
	}
	for i := range 20 {
		name := fmt.Sprintf("tail-%02d", i)
		if _, err := a.Secrets.Set(ctx, system, object.Ref{Vault: "default", Name: name}, secrets.SetRequest{Value: secrets.Value(name)}); err != nil {
			return g, err
		}
		g.tail = append(g.tail, name)
	}
	if err := copyFolder(g.folder, filepath.Join(data, "running")); err != nil {
		return g, err
	}
	g.rows, err = readAll(ctx, g.folder)
	return g, err
})

// theGolden returns the golden folder; it must not be changed.
func theGolden(t *testing.T) golden {
	t.Helper()
	g, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestMain removes the golden folder.
func TestMain(m *testing.M) {
	code := m.Run()
	if g, err := made(); err == nil {
		_ = os.RemoveAll(filepath.Dir(g.folder))
	}
	os.Exit(code)
}

// fill makes objects of every kind, some with several versions, some deleted.
func fill(ctx context.Context, a *app.App) error {
	if _, err := a.Vaults.Create(ctx, system, "other", object.Settings{}); err != nil {
		return err
	}
	for _, vault := range []string{"default", "other"} {
		for i := range 8 {
			r := object.Ref{Vault: vault, Name: fmt.Sprintf("s%d", i)}
			for v := range 1 + i%3 {
				value := secrets.Value(fmt.Sprintf("value %d of %s in %s", v, r.Name, vault))
				if _, err := a.Secrets.Set(ctx, system, r, secrets.SetRequest{Value: value, ContentType: "text/plain"}); err != nil {
					return err
				}
			}
			if i >= 6 {
				if _, err := a.Secrets.Delete(ctx, system, r); err != nil {
					return err
				}
			}
		}
		for i, q := range []keys.CreateRequest{{Type: "EC"}, {Type: "EC", Curve: "P-256K"}, {Type: "RSA"}} {
			if _, err := a.Keys.Create(ctx, system, object.Ref{Vault: vault, Name: fmt.Sprintf("k%d", i)}, q); err != nil {
				return err
			}
		}
		for _, name := range []string{"web", "mail"} {
			p := &policy.Policy{Key: &policy.KeyProperties{Type: "EC", Curve: "P-256"}, X509: &policy.X509Properties{Subject: "CN=" + name}, Issuer: &policy.Issuer{Name: "Self"}}
			if _, err := a.Certificates.Create(ctx, system, object.Ref{Vault: vault, Name: name}, certificates.CreateRequest{Policy: p}); err != nil {
				return err
			}
		}
		if err := a.Contacts.Set(ctx, system, vault, []contact.Contact{{Email: "a@example.com"}}); err != nil {
			return err
		}
	}
	_, err := a.Keys.Create(ctx, system, object.Ref{Vault: "hsm", Name: "oct"}, keys.CreateRequest{Type: "oct-HSM"})
	return err
}

func backups(ctx context.Context, a *app.App) (map[object.Kind][]byte, error) {
	all := map[object.Kind][]byte{}
	for k, backup := range map[object.Kind]func() ([]byte, error){
		object.Secrets: func() ([]byte, error) { return a.Secrets.Backup(ctx, system, object.Ref{Vault: "other", Name: "s2"}) },
		object.Keys:    func() ([]byte, error) { return a.Keys.Backup(ctx, system, object.Ref{Vault: "other", Name: "k0"}) },
		object.Certificates: func() ([]byte, error) {
			return a.Certificates.Backup(ctx, system, object.Ref{Vault: "other", Name: "web"})
		},
	} {
		blob, err := backup()
		if err != nil {
			return nil, err
		}
		all[k] = blob
	}
	return all, nil
}

// copyFolder copies the files of a folder.
func copyFolder(to, from string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o600)
	})
}

// shelf is the floor of the vaults on a data folder, as the product opens it: nothing of it
// is in memory yet.
type shelf struct {
	db     *storage.DB
	root   *seal.Root
	vaults *object.Vaults
}

func openShelf(ctx context.Context, data string) (*shelf, error) {
	root, err := (&dir.Dir{Path: data}).RootKey()
	if err != nil {
		return nil, err
	}
	db, err := storage.Open(ctx, storage.Config{Dir: data})
	if err != nil {
		return nil, err
	}
	s := &shelf{db: db, root: root}
	s.reopen()
	return s, nil
}

// reopen forgets what is in memory, as a restart does.
func (s *shelf) reopen() {
	store := vaultdb.New(s.db)
	s.vaults = object.NewVaults(object.Config{Vaults: store, Rows: store, Dues: store, Root: s.root, Now: time.Now, Memory: 1 << 20})
}

func (s *shelf) close() { _ = s.db.Close() } // a database that was altered may not close well

// read returns what one place holds.
func (s *shelf) read(ctx context.Context, p place) (string, error) {
	v, err := s.vaults.Open(ctx, p.vault)
	if err != nil {
		return "", err
	}
	e, err := v.Read(ctx, p.kind, p.name, p.version)
	if fault.Is(err, fault.NotFound) {
		e, err = v.ReadDeleted(ctx, p.kind, p.name)
	}
	if err != nil {
		return "", err
	}
	b, err := json.Marshal([]any{e.Head, e.Version})
	return string(b), err
}

// lists returns everything that the lists of a vault name: objects, deleted objects, and
// the versions of each.
func (s *shelf) lists(ctx context.Context, vault string) (found []place, err error) {
	v, err := s.vaults.Open(ctx, vault)
	if err != nil {
		return nil, err
	}
	for _, k := range object.AllKinds() {
		for _, deleted := range []bool{false, true} {
			entries, err := v.List(ctx, k, deleted, "", 1000)
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				found = append(found, place{vault, k, strings.ToLower(e.Head.Name), ""})
				versions, _, err := v.Versions(ctx, k, e.Head.Name, 0, 1000)
				if err != nil {
					return nil, err
				}
				for _, x := range versions {
					found = append(found, place{vault, k, strings.ToLower(e.Head.Name), x.ID})
				}
			}
		}
	}
	return found, nil
}

// verify is what "chatelaine audit verify" asks of the vaults.
func (s *shelf) verify(ctx context.Context) error {
	for _, name := range vaults {
		v, err := s.vaults.Open(ctx, name)
		if err == nil {
			err = v.Verify(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readAll reads everything that is there.
func readAll(ctx context.Context, data string) (content, error) {
	own, err := os.MkdirTemp(filepath.Dir(data), "reading")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(own) }()
	if err := copyFolder(own, data); err != nil { // opening it would write to it
		return nil, err
	}
	s, err := openShelf(ctx, own)
	if err != nil {
		return nil, err
	}
	defer s.close()
	all := content{}
	for _, vault := range vaults {
		found, err := s.lists(ctx, vault)
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			if all[p], err = s.read(ctx, p); fault.Is(err, fault.NotFound) {
				delete(all, p) // an old version of a deleted object
			} else if err != nil {
				return nil, err
			}
		}
	}
	if len(all) < 60 {
		return nil, fmt.Errorf("only %d places: %v", len(all), slices.Collect(maps.Keys(all)))
	}
	return all, nil
}

// judge compares what is there with what was written. A refusal is detection; what is read
// must be right; and where something is missing without a refusal, verify must say so.
func (s *shelf) judge(ctx context.Context, want content) (detected bool, wrong []string) {
	missing := map[place]bool{}
	for p, is := range want {
		got, err := s.read(ctx, p)
		switch {
		case fault.Is(err, fault.NotFound):
			missing[p] = true
		case err != nil:
			detected = true
		case got != is:
			wrong = append(wrong, fmt.Sprintf("%v holds %.200s instead of %.200s", p, got, is))
		}
	}
	for _, vault := range vaults {
		found, err := s.lists(ctx, vault)
		if err != nil {
			detected = true
			continue
		}
		for p := range want {
			if p.vault == vault && !slices.Contains(found, p) {
				missing[p] = true
			}
		}
	}
	if s.verify(ctx) != nil {
		return true, wrong
	}
	for p := range missing {
		wrong = append(wrong, fmt.Sprintf("%v is missing, and verify does not notice", p))
	}
	return detected, wrong
}

// guarded runs one trial, and turns a panic or a standstill into a fault.
func guarded(ctx context.Context, fn func(ctx context.Context) (detected bool, wrong []string)) (detected bool, wrong []string) {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	defer func() {
		if p := recover(); p != nil {
			wrong = append(wrong, fmt.Sprintf("panic: %v", p))
		}
		if ctx.Err() != nil {
			wrong = append(wrong, "it stood still")
		}
	}()
	return fn(ctx)
}

// equal reports whether two readers give the same bytes.
func equal(a, b io.Reader) bool {
	x, errX := io.ReadAll(a)
	y, errY := io.ReadAll(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
