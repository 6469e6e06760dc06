package dir_test

import (
	"errors"
	"os"
	"testing"

	"chatelaine.dev/internal/app/dir"
	"chatelaine.dev/internal/vault/seal"
)

func TestFolderIsOpenOnce(t *testing.T) {
	path := t.TempDir()
	d, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := dir.Open(path); !errors.Is(err, dir.ErrInUse) {
		t.Errorf("second open: %v, want ErrInUse", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Open(path); err != nil {
		t.Errorf("open after close: %v", err)
	}
}

func TestRootKeyIsKept(t *testing.T) {
	d, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.RootKey(); !errors.Is(err, dir.ErrNoRootKey) {
		t.Errorf("no root key yet: %v", err)
	}
	first, made, err := d.NewRootKey()
	if err != nil || !made {
		t.Fatal(made, err)
	}
	box, wrapped, err := first.NewDataKey("x")
	if err != nil {
		t.Fatal(err)
	}

	second, made, err := d.NewRootKey()
	if err != nil || made {
		t.Fatal(made, err)
	}
	again, err := second.OpenDataKey("x", wrapped)
	if err != nil {
		t.Fatal(err)
	}

	id := seal.Identity{Vault: "x"}
	if p, err := again.Open(id, box.Seal(id, []byte("hello"))); err != nil || string(p) != "hello" {
		t.Errorf("opened %q: %v", p, err)
	}
	if info, err := os.Stat(d.File("root.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("root.key: %v %v", info.Mode(), err)
	}
}
