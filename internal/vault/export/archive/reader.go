package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// Limits bound what a Reader takes from a file of unknown origin. They are held before the
// bytes that they forbid are read.
type Limits struct {
	File  int64 // bytes of one file
	Total int64 // bytes of all files
	Files int   // how many
}

// DefaultLimits are those of an import.
func DefaultLimits() Limits { return Limits{File: 8 << 20, Total: 1 << 30, Files: 2_000_000} }

// maxVersions bounds the versions of one object.
const maxVersions = 50_000

// Item is what Next returns: a version of an object, or the object that its versions
// belong to, after them.
type Item struct {
	Kind    object.Kind
	Name    string // lower case
	Version *Version
	Object  *Object
}

// Reader reads an archive of unknown origin: what is not exactly as Writer writes it is
// refused, and what it returns has been held against the sums when Next says io.EOF, not
// before.
type Reader struct {
	tar    *tar.Reader
	limits Limits

	total    int64
	files    int
	sums     map[string]string // of files since the last list
	lists    []Sum
	objects  map[object.Kind]int
	versions map[object.Kind]int

	kind   object.Kind // of the object whose versions are being read
	name   string
	ids    []string
	seen   map[string]bool
	beside map[string]File // of the version that comes next, by their names
}

// NewReader begins to read an archive.
func NewReader(r io.Reader, l Limits) *Reader {
	return &Reader{
		tar: tar.NewReader(r), limits: l, sums: map[string]string{},
		objects: map[object.Kind]int{}, versions: map[object.Kind]int{}, seen: map[string]bool{}, beside: map[string]File{},
	}
}

// refuse is the error for a file that is not one of ours.
func refuse(format string, args ...any) error {
	return fault.New(fault.Invalid, "NotAnExport", "The file is not a whole export of a vault: "+format, args...)
}

// Vault reads the beginning. It must be called once, first.
func (r *Reader) Vault() (Vault, error) {
	var v Vault
	for _, want := range []string{readmeFile, vaultFile} {
		name, content, err := r.next()
		if err != nil {
			return v, notEOF(err)
		}
		if name != want {
			return v, refuse("%.100q comes where %s must be.", name, want)
		}
		if want == vaultFile {
			if err := decode(content, &v); err != nil {
				return v, refuse("%s: %s.", vaultFile, err)
			}
		}
	}
	if v.Format != Format {
		return v, refuse("its format is %.40q; this server reads %s.", v.Format, Format)
	}
	return v, nil
}

// notEOF makes an early end an error of the file.
func notEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refuse("it ends too early.")
	}
	return err
}

var place = regexp.MustCompile(`^(keys|secrets|certificates|issuers|contacts)/([0-9a-zA-Z-]{1,127})/(object|[0-9a-f]{32})\.(json|pem|jwk|pfx)$`)

// Next returns the next item, and io.EOF when the archive is whole and at its end.
func (r *Reader) Next() (Item, error) {
	for {
		name, content, err := r.next()
		if err != nil {
			return Item{}, notEOF(err)
		}
		switch {
		case name == manifestFile:
			return Item{}, r.end(content)
		case name == sumsFile(len(r.lists)+1):
			if err := r.check(name, content); err != nil {
				return Item{}, err
			}
			continue
		}
		m := place.FindStringSubmatch(name)
		if m == nil {
			return Item{}, refuse("it has a file %.200q, which is none of an export's.", name)
		}
		kind, base, id, suffix := object.Kind(m[1]), strings.ToLower(m[2]), m[3], m[4]
		if r.kind == "" {
			r.kind, r.name = kind, base
		}
		if kind != r.kind || base != r.name {
			return Item{}, refuse("%s comes before the object %s/%s is complete.", name, r.kind, r.name)
		}
		item := Item{Kind: kind, Name: base}
		switch {
		case id == "object" && suffix == "json":
			item.Object, err = r.object(content)
		case id == "object":
			err = refuse("it has a file %s.", name)
		case suffix == "json":
			item.Version, err = r.version(id, content)
		default:
			if len(r.beside) == 2 {
				return Item{}, refuse("%s has too many files beside it.", name)
			}
			r.beside[id+"."+suffix] = File{Suffix: suffix, Content: content}
			continue
		}
		return item, err
	}
}

func (r *Reader) version(id string, content []byte) (*Version, error) {
	var x Version
	if err := decode(content, &x); err != nil {
		return nil, refuse("%s/%s/%s.json: %s.", r.kind, r.name, id, err)
	}
	switch {
	case x.ID != id:
		return nil, refuse("%s/%s/%s.json calls itself %.40q.", r.kind, r.name, id, x.ID)
	case r.seen[id]:
		return nil, refuse("%s/%s has the version %s twice.", r.kind, r.name, id)
	case len(r.ids) == maxVersions:
		return nil, refuse("%s/%s has more than %d versions.", r.kind, r.name, maxVersions)
	}
	if err := r.attach(&x); err != nil {
		return nil, err
	}
	r.seen[id], r.ids = true, append(r.ids, id)
	r.versions[r.kind]++
	return &x, nil
}

// attach gives a version the file that it names. It has no other.
func (r *Reader) attach(x *Version) error {
	var kind object.Kind
	var file string
	switch {
	case x.Secret != nil && x.Key == nil && x.Certificate == nil:
		kind, file = object.Secrets, x.Secret.File
	case x.Key != nil && x.Secret == nil && x.Certificate == nil:
		kind, file = object.Keys, x.Key.File
	case x.Certificate != nil && x.Key == nil && x.Secret == nil:
		kind, file = object.Certificates, x.Certificate.File
	}
	if kind != r.kind {
		return refuse("%s/%s/%s.json is no version of one of the %s.", r.kind, r.name, x.ID, r.kind)
	}
	f, ok := r.beside[file]
	if ok != (file != "") || len(r.beside) > 1 || !ok && len(r.beside) > 0 || ok && !strings.HasPrefix(file, x.ID+".") {
		return refuse("%s/%s/%s.json does not name the files beside it.", r.kind, r.name, x.ID)
	}
	if ok {
		x.Files = []File{f}
	}
	clear(r.beside)
	return nil
}

func (r *Reader) object(content []byte) (*Object, error) {
	var o Object
	if err := decode(content, &o); err != nil {
		return nil, refuse("%s/%s/%s: %s.", r.kind, r.name, objectFile, err)
	}
	if o.Kind != r.kind || strings.ToLower(o.Name) != r.name || !slices.Equal(o.Versions, r.ids) || len(r.beside) > 0 {
		return nil, refuse("%s/%s/%s is not about the versions before it.", r.kind, r.name, objectFile)
	}
	r.kind, r.name, r.ids = "", "", nil
	clear(r.seen)
	r.objects[o.Kind]++
	return &o, nil
}

// check holds the files since the last list against a list of sums.
func (r *Reader) check(name string, content []byte) error {
	sum := sha256.Sum256(content)
	r.lists = append(r.lists, Sum{Name: name, SHA256: hex.EncodeToString(sum[:])})
	for line := range strings.Lines(string(content)) {
		want, file, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		is := r.sums[file]
		if !ok || is == "" || is != want {
			return refuse("%.200q is not the file whose sum %s has.", file, name)
		}
		delete(r.sums, file)
	}
	if len(r.sums) > 0 {
		return refuse("%s has no sums of %d files before it.", name, len(r.sums))
	}
	return nil
}

// end checks the manifest, and that nothing follows it.
func (r *Reader) end(content []byte) error {
	var m Manifest
	if err := decode(content, &m); err != nil {
		return refuse("%s: %s.", manifestFile, err)
	}
	delete(r.sums, manifestFile)
	switch {
	case m.Format != Format || r.kind != "" || len(r.sums) > 0 || !slices.Equal(m.Sums, r.lists) || m.Files != r.files-1-len(r.lists):
		return refuse("its manifest is about another.")
	case !sameCounts(m.Objects, r.objects) || !sameCounts(m.Versions, r.versions):
		return refuse("its manifest counts other objects.")
	}
	if _, err := r.tar.Next(); !errors.Is(err, io.EOF) {
		return refuse("something follows its manifest.")
	}
	return io.EOF
}

func sameCounts(a, b map[object.Kind]int) bool {
	for _, m := range []map[object.Kind]int{a, b} {
		for k := range m {
			if a[k] != b[k] {
				return false
			}
		}
	}
	return true
}

// next reads one file of the tar, within the limits.
func (r *Reader) next() (name string, content []byte, err error) {
	h, err := r.tar.Next()
	if err != nil {
		if errors.Is(err, io.EOF) || fault.Of(err).Kind != fault.Internal {
			return "", nil, err
		}
		return "", nil, refuse("it is no tar: %s.", err)
	}
	switch {
	case h.Typeflag != tar.TypeReg:
		return "", nil, refuse("%.200q is not a regular file.", h.Name)
	case h.Size > r.limits.File:
		return "", nil, refuse("%.200q has %d bytes; at most %d are taken.", h.Name, h.Size, r.limits.File)
	case r.total+h.Size > r.limits.Total:
		return "", nil, refuse("it has more than %d bytes.", r.limits.Total)
	case r.files == r.limits.Files:
		return "", nil, refuse("it has more than %d files.", r.limits.Files)
	}
	content = make([]byte, h.Size)
	if _, err := io.ReadFull(r.tar, content); err != nil {
		return "", nil, err
	}
	r.total, r.files = r.total+h.Size, r.files+1
	if _, twice := r.sums[h.Name]; twice {
		return "", nil, refuse("it has %.200q twice.", h.Name)
	}
	if !strings.HasPrefix(h.Name, "SHA256SUMS.") {
		sum := sha256.Sum256(content)
		r.sums[h.Name] = hex.EncodeToString(sum[:])
	}
	return h.Name, content, nil
}

// decode reads JSON, and refuses what no version of ours has written.
func decode(content []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%.200s", err.Error())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}
