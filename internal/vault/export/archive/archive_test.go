package archive_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/export/archive"
	"chatelaine.dev/internal/vault/object"
)

var made = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func id(n int) string { return fmt.Sprintf("%032x", n) }

func value(s string) *archive.Hidden { h := archive.Hidden(s); return &h }

func version(n int) archive.Version {
	return archive.Version{ID: id(n), Created: made, Updated: made, Enabled: true}
}

// write writes an archive with a bit of everything.
func write(t testing.TB, secrets int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.Vault{Name: "payroll", Kind: "vault", Exported: made, Keys: true, Settings: json.RawMessage(`{"retentionDays":90}`)})
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.Object(archive.Object{Kind: object.Contacts, Name: "contacts", Created: made, Updated: made, Content: json.RawMessage(`[{"email":"a@example.com"}]`)}))
	for n := range secrets {
		x := version(n)
		x.Secret = &archive.Secret{Value: value("one"), ContentType: "text"}
		must(w.Version(object.Secrets, fmt.Sprintf("db-%d", n), x))
		must(w.Object(archive.Object{Kind: object.Secrets, Name: fmt.Sprintf("db-%d", n), Created: made, Updated: made}))
	}
	key := version(1)
	key.Key = &archive.Key{Properties: json.RawMessage(`{"kty":"RSA"}`), File: id(1) + ".pem"}
	key.Files = []archive.File{{Suffix: "pem", Content: []byte("-----BEGIN PRIVATE KEY-----\n")}}
	must(w.Version(object.Keys, "Signer", key))
	left := version(2)
	left.Key, left.LeftBehind = &archive.Key{Properties: json.RawMessage(`{"kty":"RSA-HSM"}`)}, "the key cannot leave the HSM"
	must(w.Version(object.Keys, "Signer", left))
	must(w.Object(archive.Object{Kind: object.Keys, Name: "Signer", Created: made, Updated: made}))
	m, err := w.Close()
	must(err)
	if m.Objects[object.Secrets] != secrets || m.Versions[object.Keys] != 2 || len(m.LeftBehind) != 1 || m.LeftBehind[0].Reason == "" {
		t.Errorf("manifest %+v", m)
	}
	return b.Bytes()
}

// read reads an archive to its end.
func read(b []byte, l archive.Limits) (archive.Vault, []archive.Item, error) {
	r := archive.NewReader(bytes.NewReader(b), l)
	v, err := r.Vault()
	if err != nil {
		return v, nil, err
	}
	var items []archive.Item
	for {
		i, err := r.Next()
		if errors.Is(err, io.EOF) {
			return v, items, nil
		}
		if err != nil {
			return v, items, err
		}
		items = append(items, i)
	}
}

func TestArchiveComesBackAsItWasWritten(t *testing.T) {
	t.Parallel()

	v, items, err := read(write(t, 2), archive.DefaultLimits())

	if err != nil || v.Name != "payroll" || !v.Keys || string(v.Settings) == "" || len(items) != 8 {
		t.Fatalf("%+v, %d items: %v", v, len(items), err)
	}
	if o := items[0].Object; o == nil || o.Kind != object.Contacts || len(o.Versions) != 0 {
		t.Errorf("first item %+v", items[0])
	}
	if x := items[1].Version; x == nil || string(*x.Secret.Value) != "one" || items[1].Name != "db-0" || !x.Created.Equal(made) {
		t.Errorf("second item %+v", items[1])
	}
	signer := items[len(items)-1].Object
	if diff := cmp.Diff(signer.Versions, []string{id(1), id(2)}); diff != "" || signer.Name != "Signer" {
		t.Errorf("the key %+v: %s", signer, diff)
	}
	if x := items[5].Version; len(x.Files) != 1 || !strings.HasPrefix(string(x.Files[0].Content), "-----BEGIN") {
		t.Errorf("the key's version %+v", x)
	}
}

func TestManyFilesHaveListsOfSumsOfTheirOwn(t *testing.T) {
	t.Parallel()
	_, items, err := read(write(t, 12_000), archive.DefaultLimits())
	if err != nil || len(items) != 24_004 {
		t.Errorf("%d items: %v", len(items), err)
	}
}

// TestEngineerChecksAnArchiveWithoutChatelaine follows README.txt.
func TestEngineerChecksAnArchiveWithoutChatelaine(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"tar", "sha256sum"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("needs " + program)
		}
	}
	dir := t.TempDir()
	unpack := exec.Command("tar", "-x", "-C", dir)
	unpack.Stdin = bytes.NewReader(write(t, 3))
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	check := exec.Command("sh", "-c", "cat SHA256SUMS.* | sha256sum -c --strict")
	check.Dir = dir
	out, err := check.CombinedOutput()
	if err != nil || strings.Count(string(out), ": OK") != 13 {
		t.Errorf("sha256sum: %v: %s", err, out)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "keys", "Signer", "*.pem")); len(files) != 1 {
		t.Errorf("private keys %v", files)
	}
}

// rewrite copies a tar with every file as edit wants it; nil drops it.
func rewrite(t *testing.T, b []byte, edit func(h *tar.Header, content []byte) []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, r := tar.NewWriter(&out), tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		h.Format = tar.FormatUnknown
		if content = edit(h, content); content == nil {
			continue
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(content))
		} else {
			h.Size, content = 0, nil
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestStrangersFilesAreRefused changes one thing of an archive that is whole.
func TestStrangersFilesAreRefused(t *testing.T) {
	t.Parallel()
	whole := write(t, 1)
	on := func(name string, do func(h *tar.Header, content []byte) []byte) []byte {
		hit := false
		out := rewrite(t, whole, func(h *tar.Header, content []byte) []byte {
			if h.Name != name {
				return content
			}
			hit = true
			return do(h, content)
		})
		if !hit {
			t.Fatalf("there is no %s", name)
		}
		return out
	}
	rename := func(from, to string) []byte {
		return on(from, func(h *tar.Header, content []byte) []byte { h.Name = to; return content })
	}
	replace := func(name, old, new string) []byte {
		return on(name, func(_ *tar.Header, content []byte) []byte {
			if !bytes.Contains(content, []byte(old)) {
				t.Fatalf("%s has no %q", name, old)
			}
			return bytes.Replace(content, []byte(old), []byte(new), 1)
		})
	}
	drop := func(name string) []byte {
		return on(name, func(*tar.Header, []byte) []byte { return nil })
	}
	secret, object := "secrets/db-0/"+id(0)+".json", "secrets/db-0/object.json"
	for name, b := range map[string][]byte{
		"nothing":                   nil,
		"no tar":                    bytes.Repeat([]byte("no tar"), 500),
		"a file that climbs":        rename(secret, "../../etc/passwd"),
		"a file that climbs inside": rename(secret, "secrets/db-0/../../"+id(0)+".json"),
		"an absolute file":          rename(secret, "/secrets/db-0/"+id(0)+".json"),
		"a file of no kind":         rename(secret, "passwords/db-0/"+id(0)+".json"),
		"a name that none has":      rename(secret, "secrets/db_0/"+id(0)+".json"),
		"a version that none has":   rename(secret, "secrets/db-0/latest.json"),
		"a version in capitals":     rename(secret, "secrets/db-0/"+strings.Repeat("A", 32)+".json"),
		"a symbolic link": on(secret, func(h *tar.Header, c []byte) []byte {
			h.Typeflag, h.Linkname = tar.TypeSymlink, "/etc/passwd"
			return c
		}),
		"a folder":                       on(secret, func(h *tar.Header, c []byte) []byte { h.Typeflag = tar.TypeDir; return c }),
		"a device":                       on(secret, func(h *tar.Header, c []byte) []byte { h.Typeflag = tar.TypeChar; return c }),
		"another value":                  replace(secret, `"one"`, `"two"`),
		"another private key":            replace("keys/Signer/"+id(1)+".pem", "BEGIN", "begin"),
		"another format":                 replace("vault.json", archive.Format, "chatelaine-vault/2"),
		"an unknown field":               replace(secret, `"enabled"`, `"unknown"`),
		"no JSON":                        replace(secret, `{`, `[`),
		"two JSON values":                replace(secret, "\n}\n", "\n}{}\n"),
		"another version inside":         replace(secret, id(0), id(9)),
		"a key that is a secret":         replace("keys/Signer/"+id(1)+".json", `"key"`, `"secret"`),
		"a file that nobody names":       replace("keys/Signer/"+id(1)+".json", `,`+"\n"+`    "file": "`+id(1)+`.pem"`, ""),
		"a named file that is not there": drop("keys/Signer/" + id(1) + ".pem"),
		"an object without a version":    drop(secret),
		"a version without its object":   drop(object),
		"no sums":                        drop("SHA256SUMS.0001"),
		"no manifest":                    drop("manifest.json"),
		"no vault":                       drop("vault.json"),
		"a manifest that counts less":    replace("manifest.json", `"secrets": 1`, `"secrets": 0`),
		"cut in the middle":              whole[:len(whole)/2],
		"cut at its end":                 whole[:len(whole)-3000],
		"something after its end":        append(bytes.Clone(bytes.TrimRight(whole, "\x00")), write(t, 1)...),
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := read(b, archive.DefaultLimits())
			if !fault.HasCode(err, "NotAnExport") {
				t.Errorf("%v, want NotAnExport", err)
			}
		})
	}
}

func TestLimitsHoldBeforeTheBytesAreRead(t *testing.T) {
	t.Parallel()
	whole := write(t, 3)
	for name, l := range map[string]archive.Limits{
		"a file":    {File: 400, Total: 1 << 20, Files: 100},
		"all bytes": {File: 1 << 20, Total: 1500, Files: 100},
		"files":     {File: 1 << 20, Total: 1 << 20, Files: 4},
	} {
		if _, _, err := read(whole, l); !fault.HasCode(err, "NotAnExport") {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	var bomb bytes.Buffer
	w := tar.NewWriter(&bomb)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "README.txt", Size: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	rest := &endless{}
	r := archive.NewReader(io.MultiReader(&bomb, rest), archive.DefaultLimits())
	if _, err := r.Vault(); !fault.HasCode(err, "NotAnExport") || rest.read > 0 {
		t.Errorf("a file of a TiB: %v after %d bytes", err, rest.read)
	}
}

// endless is a file without an end.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	e.read += len(b)
	return len(b), nil
}

func FuzzReader(f *testing.F) {
	f.Add(write(f, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, items, err := read(b, archive.Limits{File: 1 << 16, Total: 1 << 18, Files: 100})
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("after %d items: %v", len(items), err)
		}
	})
}
