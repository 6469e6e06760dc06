package archive

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"chatelaine.dev/internal/vault/object"
)

// Writer writes an archive. It keeps no more in memory than one version and one list of
// sums.
type Writer struct {
	tar      *tar.Writer
	at       time.Time // of every file
	sums     []byte    // since the last list
	pending  int       // files in sums
	manifest Manifest
	versions []string // of the object that is being written
}

// NewWriter begins an archive of a vault.
func NewWriter(w io.Writer, v Vault) (*Writer, error) {
	v.Format = Format
	a := &Writer{tar: tar.NewWriter(w), at: v.Exported, manifest: Manifest{
		Format: Format, Objects: map[object.Kind]int{}, Versions: map[object.Kind]int{}, LeftBehind: []LeftBehind{},
	}}
	if err := a.file(readmeFile, []byte(readme)); err != nil {
		return nil, err
	}
	return a, a.json(vaultFile, v)
}

// Version adds a version of an object and its files. Versions come oldest first, and
// Object ends them.
func (w *Writer) Version(k object.Kind, name string, x Version) error {
	for _, f := range x.Files {
		if err := w.file(path(k, name, x.ID+"."+f.Suffix), f.Content); err != nil {
			return err
		}
	}
	if x.LeftBehind != "" {
		w.Left(LeftBehind{Kind: k, Name: name, Version: x.ID, Reason: x.LeftBehind})
	}
	w.versions = append(w.versions, x.ID)
	w.manifest.Versions[k]++
	return w.json(path(k, name, x.ID+".json"), x)
}

// Object adds an object, whose versions have been added.
func (w *Writer) Object(o Object) error {
	o.Versions, w.versions = append([]string{}, w.versions...), nil
	w.manifest.Objects[o.Kind]++
	return w.json(path(o.Kind, o.Name, objectFile), o)
}

// Left notes something that is not in the archive.
func (w *Writer) Left(l LeftBehind) {
	if len(w.manifest.LeftBehind) == maxLeftBehind {
		w.manifest.LeftBehindMore++
		return
	}
	w.manifest.LeftBehind = append(w.manifest.LeftBehind, l)
}

// Close ends the archive with its manifest, which it returns.
func (w *Writer) Close() (Manifest, error) {
	if err := w.flush(); err != nil {
		return w.manifest, err
	}
	b, err := encode(w.manifest)
	if err != nil {
		return w.manifest, err
	}
	if err := w.put(manifestFile, b); err != nil {
		return w.manifest, err
	}
	return w.manifest, w.tar.Close()
}

func path(k object.Kind, name, file string) string { return string(k) + "/" + name + "/" + file }

func encode(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}

func (w *Writer) json(name string, v any) error {
	b, err := encode(v)
	if err != nil {
		return err
	}
	return w.file(name, b)
}

// file adds a file to the tar and to the sums.
func (w *Writer) file(name string, content []byte) error {
	sum := sha256.Sum256(content)
	w.sums = fmt.Appendf(w.sums, "%x  %s\n", sum, name)
	w.manifest.Files++
	w.pending++
	if err := w.put(name, content); err != nil {
		return err
	}
	if w.pending < sumsPart {
		return nil
	}
	return w.flush()
}

// flush writes the list of sums.
func (w *Writer) flush() error {
	if w.pending == 0 {
		return nil
	}
	sum := sha256.Sum256(w.sums)
	name := sumsFile(len(w.manifest.Sums) + 1)
	w.manifest.Sums = append(w.manifest.Sums, Sum{Name: name, SHA256: hex.EncodeToString(sum[:])})
	if err := w.put(name, w.sums); err != nil {
		return err
	}
	w.sums, w.pending = w.sums[:0], 0
	return nil
}

// put adds a file to the tar. USTAR, the oldest form that every program reads, holds
// names as long as ours.
func (w *Writer) put(name string, content []byte) error {
	err := w.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o600, ModTime: w.at.Truncate(time.Second), Format: tar.FormatUSTAR,
	})
	if err != nil {
		return err
	}
	_, err = w.tar.Write(content)
	return err
}
