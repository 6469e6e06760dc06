package backup

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/hsm/domain"
	"chatelaine.dev/internal/vault/object"
)

// A backup is a folder: "manifest", and "part-000001" and on. Parts are objects as JSON,
// one a line, encrypted with AES-256-GCM under a key of the backup's own, which comes
// from the security domain and the salt in the manifest. The manifest says in the clear
// which domain opens it, and under the same key which parts there must be: none can be
// taken away, exchanged or added.
const (
	format       = "chatelaine managed HSM backup"
	manifestName = "manifest"
	purpose      = "chatelaine managed HSM backup v1"

	partSize    = 1 << 20  // a part is closed when it has more
	maxPart     = 96 << 20 // the largest object with its versions, and its encryption
	maxManifest = 4 << 20
	maxParts    = 50_000
)

// folder is a folder of a container.
type folder struct {
	Container
	name string
}

func (f folder) put(ctx context.Context, name string, data []byte) error {
	return f.Put(ctx, f.name+"/"+name, data)
}

func (f folder) get(ctx context.Context, name string, max int) ([]byte, error) {
	return f.Get(ctx, f.name+"/"+name, max)
}

// preamble is the first line of a manifest.
type preamble struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Domain  string    `json:"domain"` // id of the security domain
	Salt    []byte    `json:"salt"`
	HSM     string    `json:"hsm"`
	Made    time.Time `json:"made"`
}

// inventory is the rest of a manifest, encrypted.
type inventory struct {
	Objects int      `json:"objects"`
	Parts   [][]byte `json:"parts"` // SHA-256 of each
}

func cipherOf(key domain.Key, salt []byte) (cipher.AEAD, error) {
	k, err := key.Derive(salt, purpose)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func partName(i int) string { return fmt.Sprintf("part-%06d", i+1) }

// writer writes a backup.
type writer struct {
	folder
	aead   cipher.AEAD
	first  preamble
	buffer bytes.Buffer
	list   inventory
}

func newWriter(key domain.Key, f folder, hsm string, now time.Time) (*writer, error) {
	w := &writer{folder: f, first: preamble{Format: format, Version: 1, Domain: key.ID(), Salt: make([]byte, 32), HSM: hsm, Made: now.UTC()}}
	if _, err := rand.Read(w.first.Salt); err != nil {
		return nil, err
	}
	var err error
	w.aead, err = cipherOf(key, w.first.Salt)
	return w, err
}

func (w *writer) add(ctx context.Context, x object.Whole) error {
	if err := json.NewEncoder(&w.buffer).Encode(x); err != nil {
		return err
	}
	w.list.Objects++
	if w.buffer.Len() < partSize {
		return nil
	}
	return w.flush(ctx)
}

func (w *writer) flush(ctx context.Context) error {
	if w.buffer.Len() == 0 {
		return nil
	}
	name := partName(len(w.list.Parts))
	sealed := w.aead.Seal(nil, nil, w.buffer.Bytes(), []byte(name))
	w.buffer.Reset()
	sum := sha256.Sum256(sealed)
	w.list.Parts = append(w.list.Parts, sum[:])
	if len(sealed) > maxPart || len(w.list.Parts) > maxParts {
		return fault.New(fault.Invalid, "BackupTooLarge", "The HSM, or a key of it, is larger than a backup can be.")
	}
	return w.put(ctx, name, sealed)
}

// close writes the manifest: without it there is no backup.
func (w *writer) close(ctx context.Context) error {
	if err := w.flush(ctx); err != nil {
		return err
	}
	line, err := json.Marshal(w.first)
	if err != nil {
		return err
	}
	rest, err := json.Marshal(w.list)
	if err != nil {
		return err
	}
	return w.put(ctx, manifestName, append(append(line, '\n'), w.aead.Seal(nil, nil, rest, line)...))
}

// archive is a backup that is read.
type archive struct {
	folder
	aead  cipher.AEAD
	first preamble
	list  inventory
}

func notABackup(f folder) error {
	return fault.New(fault.Invalid, "InvalidBackup", "The folder %s holds no backup that is whole: a part is not what was written. Use another backup.", f.name)
}

// openArchive reads the manifest of a backup. One of another security domain is refused.
func openArchive(ctx context.Context, key domain.Key, f folder) (*archive, error) {
	text, err := f.get(ctx, manifestName, maxManifest)
	if err != nil {
		return nil, err
	}
	a := &archive{folder: f}
	line, sealed, ok := bytes.Cut(text, []byte("\n"))
	if !ok || json.Unmarshal(line, &a.first) != nil || a.first.Format != format || a.first.Version != 1 {
		return nil, notABackup(f)
	}
	if a.first.Domain != key.ID() {
		return nil, fault.New(fault.Conflict, "SecurityDomainMismatch", "The backup is of another security domain, that of the HSM %.24q. Upload that domain to this HSM first.", a.first.HSM)
	}
	if a.aead, err = cipherOf(key, a.first.Salt); err != nil {
		return nil, err
	}
	rest, err := a.aead.Open(nil, nil, sealed, line)
	if err != nil || json.Unmarshal(rest, &a.list) != nil || len(a.list.Parts) > maxParts {
		return nil, notABackup(f)
	}
	return a, nil
}

// part returns the objects of a part.
func (a *archive) part(ctx context.Context, i int) ([]object.Whole, error) {
	sealed, err := a.get(ctx, partName(i), maxPart)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(sealed); !bytes.Equal(sum[:], a.list.Parts[i]) {
		return nil, notABackup(a.folder)
	}
	plain, err := a.aead.Open(nil, nil, sealed, []byte(partName(i)))
	if err != nil {
		return nil, notABackup(a.folder)
	}
	var list []object.Whole
	for d := json.NewDecoder(bytes.NewReader(plain)); ; {
		var x object.Whole
		err := d.Decode(&x)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s of the backup %s: %w", partName(i), a.name, err)
		}
		list = append(list, x)
	}
}

// each calls fn with the objects of every part, part by part.
func (a *archive) each(ctx context.Context, fn func(list []object.Whole) error) error {
	for i := range a.list.Parts {
		list, err := a.part(ctx, i)
		if err != nil {
			return err
		}
		if err := fn(list); err != nil {
			return err
		}
	}
	return nil
}
