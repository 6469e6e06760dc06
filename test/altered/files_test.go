package altered

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/export/archive"
	"chatelaine.dev/internal/vault/object"
)

// Every byte of a backup counts: an altered one is refused whole, and nothing is restored.
func TestAlteredBackupIsRefused(t *testing.T) {
	t.Parallel()
	trials(t, times(flipsInBackups), 100, func(t *testing.T, worker string) func(ctx context.Context, trial int) (bool, []string) {
		g := theGolden(t)
		if err := copyFolder(worker, g.folder); err != nil {
			t.Fatal(err)
		}
		a, err := open(t.Context(), worker)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Close() })
		if _, err := a.Vaults.Create(t.Context(), system, "empty", object.Settings{}); err != nil {
			t.Fatal(err)
		}
		restore := map[object.Kind]func(ctx context.Context, blob []byte) error{
			object.Secrets: func(ctx context.Context, blob []byte) error {
				_, err := a.Secrets.Restore(ctx, system, "empty", blob)
				return err
			},
			object.Keys: func(ctx context.Context, blob []byte) error {
				_, err := a.Keys.Restore(ctx, system, "empty", blob)
				return err
			},
			object.Certificates: func(ctx context.Context, blob []byte) error {
				_, err := a.Certificates.Restore(ctx, system, "empty", blob)
				return err
			},
		}
		return func(ctx context.Context, trial int) (bool, []string) {
			k := object.AllKinds()[trial%3]
			blob := bytes.Clone(g.backup[k])
			at := flip(source(trial), blob)
			if err := restore[k](ctx, blob); !fault.Is(err, fault.Invalid) {
				return false, []string{fmt.Sprintf("backup of %s with byte %d altered: %v", k, at, err)}
			}
			if trial%100 > 2 {
				return true, nil
			}
			// Cut, or of another kind, it is refused as well.
			for name, blob := range map[string][]byte{"cut": g.backup[k][:len(g.backup[k])-1], "longer": append(bytes.Clone(g.backup[k]), 0), "of another kind": g.backup[object.AllKinds()[(trial+1)%3]]} {
				if err := restore[k](ctx, blob); !fault.Is(err, fault.Invalid) {
					return false, []string{fmt.Sprintf("backup of %s, %s: %v", k, name, err)}
				}
			}
			return true, nil
		}
	})
}

// items are what an archive holds, in JSON.
func items(r *archive.Reader) ([]string, error) {
	v, err := r.Vault()
	if err != nil {
		return nil, err
	}
	all := []string{fmt.Sprintf("%+v", v)}
	for {
		i, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		b, err := json.Marshal(i)
		if err != nil {
			return nil, err
		}
		files := ""
		if i.Version != nil {
			for _, f := range i.Version.Files {
				files += f.Suffix + string(f.Content)
			}
		}
		all = append(all, string(b)+files)
	}
}

// An export that was altered on its way is refused, encrypted or not.
func TestAlteredExportIsRefused(t *testing.T) {
	t.Parallel()
	file, sealed, identity := anExport(t)
	want, err := items(archive.NewReader(bytes.NewReader(file), archive.DefaultLimits()))
	if err != nil || len(want) < 10 {
		t.Fatalf("%d items: %v", len(want), err)
	}
	trials(t, times(flipsInExports), 60, func(*testing.T, string) func(ctx context.Context, trial int) (bool, []string) {
		return func(_ context.Context, trial int) (bool, []string) {
			if trial%4 == 0 { // as it lies on the disk of whoever fetched it
				altered := bytes.Clone(sealed)
				at := flip(source(trial), altered)
				out, err := age.Decrypt(bytes.NewReader(altered), identity)
				if err == nil && equal(out, bytes.NewReader(file)) {
					return false, []string{fmt.Sprintf("byte %d of the encrypted file makes no difference", at)}
				}
				return true, nil
			}
			altered := bytes.Clone(file)
			at := flip(source(trial), altered)
			got, err := items(archive.NewReader(bytes.NewReader(altered), archive.DefaultLimits()))
			if err != nil {
				return true, nil
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				return false, []string{fmt.Sprintf("byte %d altered: %.300s", at, got)}
			}
			return false, nil // in what a tar does not use
		}
	})
}

func anExport(t *testing.T) (file, sealed []byte, identity *age.X25519Identity) {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var plain, closed bytes.Buffer
	w, err := archive.NewWriter(&plain, archive.Vault{Format: archive.Format, Name: "payroll", Kind: "vault", Settings: json.RawMessage(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for i := range 8 {
		name, id := fmt.Sprintf("s%d", i), fmt.Sprintf("%032x", i+1)
		value := archive.Hidden(fmt.Sprintf("value of %s", name))
		err := w.Version(object.Secrets, name, archive.Version{ID: id, Created: now, Updated: now, Enabled: true, Secret: &archive.Secret{Value: &value}})
		if err == nil {
			err = w.Object(archive.Object{Kind: object.Secrets, Name: name, Created: now, Updated: now, Versions: []string{id}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := age.Encrypt(&closed, identity.Recipient())
	if err == nil {
		_, err = out.Write(plain.Bytes())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return plain.Bytes(), closed.Bytes(), identity
}

// The whole product starts on an altered folder and is right, or does not start.
func TestProductDoesNotServeWhatWasAltered(t *testing.T) {
	t.Parallel()
	alter := map[string]func(trial int, folder string) error{
		"database": func(trial int, folder string) error {
			if err := settle(folder); err != nil {
				return err
			}
			return flipFile(source(trial), filepath.Join(folder, "chatelaine.db"), 0)
		},
		"log": func(trial int, folder string) error {
			return flipFile(source(trial), filepath.Join(folder, "chatelaine.db-wal"), 0)
		},
		"root key": flipRootKey,
		"checkpoint": func(trial int, folder string) error {
			return flipFile(source(trial), filepath.Join(folder, "audit", "checkpoint"), 0)
		},
	}
	for what, alter := range alter {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			g := theGolden(t)
			refused := 0
			n := times(40)
			for trial := range n {
				folder := t.TempDir()
				if err := copyFolder(folder, g.folder); err != nil {
					t.Fatal(err)
				}
				if what == "checkpoint" {
					if err := start(t.Context(), folder); err != nil { // it signs one
						t.Fatal(err)
					}
				}
				if err := alter(trial, folder); err != nil {
					t.Fatal(err)
				}
				detected, wrong := guarded(t.Context(), func(ctx context.Context) (bool, []string) { return judgeProduct(ctx, folder, g, what == "log") })
				for _, w := range wrong {
					t.Errorf("trial %d: %s", trial, w)
				}
				if detected {
					refused++
				}
				_ = os.RemoveAll(folder)
			}
			t.Logf("%d of %d detected", refused, n)
			if what == "root key" && refused < n || what == "checkpoint" && refused < n*9/10 {
				t.Errorf("only %d of %d were detected", refused, n)
			}
		})
	}
}

// flipRootKey alters a digit of the key itself, and leaves the words around it.
func flipRootKey(trial int, folder string) error {
	name := filepath.Join(folder, "root.key")
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	key := bytes.TrimSpace(b[bytes.LastIndexByte(bytes.TrimSpace(b), '\n')+1:])
	at := trial % (len(key) - 2) // the last digits have bits that do not count
	if key[at] == 'A' {
		key[at] = 'B'
	} else {
		key[at] = 'A'
	}
	return os.WriteFile(name, b, 0o600)
}

// start starts the product and stops it in an orderly way.
func start(ctx context.Context, folder string) error {
	a, err := open(ctx, folder)
	if err != nil {
		return err
	}
	ended, stop := context.WithCancel(ctx)
	stop()
	return a.Run(ended)
}

// judgeProduct opens the product and reads secrets as a caller would.
func judgeProduct(ctx context.Context, folder string, g golden, prefix bool) (detected bool, wrong []string) {
	a, err := open(ctx, folder)
	if err != nil {
		return true, nil
	}
	defer func() { _ = a.Close() }()
	for p := range g.rows {
		if p.kind != object.Secrets || p.version == "" {
			continue
		}
		e, b, err := a.Secrets.Get(ctx, system, object.Ref{Vault: p.vault, Name: p.name, Version: p.version})
		switch {
		case fault.Is(err, fault.NotFound) && prefix:
		case fault.Is(err, fault.NotFound) && deleted(g, p):
		case err != nil:
			detected = true
		case !bytes.Contains([]byte(g.rows[p]), []byte(e.Version.ID)):
			wrong = append(wrong, fmt.Sprintf("%v is version %s", p, e.Version.ID))
		default:
			var want []struct{ Body []byte }
			var held struct{ Value string }
			if err := json.Unmarshal([]byte(g.rows[p]), &want); err == nil {
				_ = json.Unmarshal(want[1].Body, &held)
			}
			if held.Value != "" && string(b.Value) != held.Value {
				wrong = append(wrong, fmt.Sprintf("%v is %s", p, string(b.Value)))
			}
		}
	}
	report, err := a.Audit().Verify(ctx, system)
	return detected || err != nil || report.Problem != "", wrong
}

func deleted(g golden, p place) bool {
	var heads []struct{ Deleted time.Time }
	p.version = ""
	return json.Unmarshal([]byte(g.rows[p]), &heads) == nil && !heads[0].Deleted.IsZero()
}
