package export

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/seal"
)

// spool keeps what an import has read and checked until all of it is: a file encrypted
// under a key that only this process has, and that no other can open.
type spool struct {
	file  *os.File
	w     *bufio.Writer
	box   *seal.Box
	count int64
}

// newSpool makes the spool of the one import that runs at a time, and removes what an
// import has left that was killed.
func newSpool(dir string) (*spool, error) {
	left, err := filepath.Glob(filepath.Join(dir, spoolName))
	if err != nil {
		return nil, err
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil {
			return nil, err
		}
	}
	key := make([]byte, seal.KeySize)
	_, _ = rand.Read(key) // never fails
	box, err := seal.NewBox(key)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, spoolName) // mode 0600
	if err != nil {
		return nil, err
	}
	return &spool{file: f, w: bufio.NewWriterSize(f, 1<<16), box: box}, nil
}

func (s *spool) close() error {
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

const spoolName = ".import-*"

func spoolIdentity(n int64) seal.Identity { return seal.Identity{Kind: "import", Revision: n} }

// add appends an arrival.
func (s *spool) add(a object.Arrival) error {
	plain, err := json.Marshal(a)
	if err != nil {
		return err
	}
	s.count++
	sealed := s.box.Seal(spoolIdentity(s.count), plain)
	if _, err := s.w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(sealed)))); err != nil { // #nosec G115 -- one file of an archive is small
		return err
	}
	_, err = s.w.Write(sealed)
	return err
}

// replay returns a function that returns the arrivals from the first on. A transaction
// may need them more than once.
func (s *spool) replay() (next func() (object.Arrival, bool, error), err error) {
	if err := s.w.Flush(); err != nil {
		return nil, err
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	r, n := bufio.NewReaderSize(s.file, 1<<16), int64(0)
	return func() (a object.Arrival, more bool, err error) {
		if n == s.count {
			return a, false, nil
		}
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return a, false, fmt.Errorf("spooled import: %w", err)
		}
		sealed := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(r, sealed); err != nil {
			return a, false, fmt.Errorf("spooled import: %w", err)
		}
		n++
		plain, err := s.box.Open(spoolIdentity(n), sealed)
		if err != nil {
			return a, false, err
		}
		return a, true, json.Unmarshal(plain, &a)
	}, nil
}
