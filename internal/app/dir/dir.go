// Package dir is the data folder: its lock, the root key, and the bootstrap files.
package dir

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"chatelaine.dev/internal/vault/seal"
)

// Dir is an open data folder. Only one process has it open.
type Dir struct {
	Path string
	lock *os.File
}

// ErrInUse says that another process has the folder open.
var ErrInUse = errors.New("the data folder is in use by another chatelaine; stop that one, or name another folder with --data")

// Open makes the folder if it is missing and locks it.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	}
	return &Dir{Path: path, lock: f}, nil
}

// Close lets another process have the folder.
func (d *Dir) Close() error { return d.lock.Close() }

// File is the path of a file in the folder.
func (d *Dir) File(elem ...string) string {
	return filepath.Join(append([]string{d.Path}, elem...)...)
}

const rootKeyNotice = `# The root key of this Chatelaine. Whoever has it and the database can read every
# secret; without it nobody can. Keep a copy apart from the database's backups, and keep
# this file on a volume of its own, encrypted, readable by this service alone.
`

// ErrNoRootKey says that there is no root key where one is needed.
var ErrNoRootKey = errors.New("the database was sealed with a root key that is not here; put root.key back into the data folder")

// RootKey reads the root key.
func (d *Dir) RootKey() (*seal.Root, error) {
	b, err := os.ReadFile(d.File("root.key"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoRootKey
	}
	if err != nil {
		return nil, err
	}
	var text []byte
	for line := range bytes.Lines(b) {
		if !bytes.HasPrefix(line, []byte("#")) {
			text = append(text, bytes.TrimSpace(line)...)
		}
	}
	key, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil || len(key) != seal.KeySize {
		return nil, fmt.Errorf("%s: not a root key: want %d bytes in base64", d.File("root.key"), seal.KeySize)
	}
	return seal.NewRoot(key)
}

// NewRootKey makes the root key, or reads the one that is there already.
func (d *Dir) NewRootKey() (root *seal.Root, made bool, err error) {
	if root, err = d.RootKey(); !errors.Is(err, ErrNoRootKey) {
		return root, false, err
	}
	key := make([]byte, seal.KeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, false, err
	}
	text := rootKeyNotice + base64.StdEncoding.EncodeToString(key) + "\n"
	if err := WriteFile(d.File("root.key"), []byte(text), 0o600); err != nil {
		return nil, false, err
	}
	root, err = seal.NewRoot(key)
	return root, true, err
}

// WriteFile writes a file that is there whole or not at all, also after a power cut.
func WriteFile(path string, content []byte, mode fs.FileMode) (err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Clean(folder))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
