package export_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/export"
	"chatelaine.dev/internal/vault/export/archive"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/settings"
	"chatelaine.dev/internal/vault/vaulttest"
)

// rewritten is an archive whose items edit has changed, with sums that are right: what a
// stranger can make. edit reports false to drop one.
func rewritten(t *testing.T, file []byte, edit func(i *archive.Item) bool) []byte {
	t.Helper()
	r := archive.NewReader(bytes.NewReader(file), archive.DefaultLimits())
	var out bytes.Buffer
	w := must[*archive.Writer](t)(archive.NewWriter(&out, must[archive.Vault](t)(r.Vault())))
	for {
		i, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !edit(&i) {
			continue
		}
		if i.Version != nil {
			err = w.Version(i.Kind, i.Name, *i.Version)
		} else {
			err = w.Object(*i.Object)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// spools are the files that imports have left in the folder of w.
func (w *world) spools() []string {
	names, _ := filepath.Glob(filepath.Join(w.exports.Dir, "*"))
	hidden, _ := filepath.Glob(filepath.Join(w.exports.Dir, ".*"))
	return append(names, hidden...)
}

func TestStrangersContentIsRefusedWhole(t *testing.T) {
	t.Parallel()
	from := newWorld(t, sqlite(t))
	from.fill()
	from.allow(settings.ExportAll)
	whole := from.exported(true)
	to := newWorld(t, sqlite(t))
	must[object.Entry](t)(to.secrets.Set(t.Context(), to.Caller, to.ref("mine"), secrets.SetRequest{Value: "v"}))
	before := to.all()

	var other, stranger archive.File // the private key of another, and the certificate of another
	rewritten(t, whole, func(i *archive.Item) bool {
		if i.Kind == object.Keys && i.Name == "p256" && i.Version != nil {
			other = i.Version.Files[0]
		}
		if i.Kind == object.Certificates && i.Name == "web" && i.Version != nil {
			stranger = i.Version.Files[0]
		}
		return true
	})
	version := func(k object.Kind, name string, edit func(x *archive.Version)) func(i *archive.Item) bool {
		return func(i *archive.Item) bool {
			if i.Version != nil && i.Kind == k && (name == "" || i.Name == name) {
				edit(i.Version)
			}
			return true
		}
	}
	whereas := func(k object.Kind, name string, edit func(o *archive.Object)) func(i *archive.Item) bool {
		return func(i *archive.Item) bool {
			if i.Object != nil && i.Kind == k && i.Name == name {
				edit(i.Object)
			}
			return true
		}
	}
	without := func(k object.Kind, name string) func(i *archive.Item) bool {
		return func(i *archive.Item) bool { return i.Kind != k || i.Name != name }
	}
	raw := func(text string) json.RawMessage { return json.RawMessage(text) }
	for name, edit := range map[string]func(i *archive.Item) bool{
		"a private key of another key":     version(object.Keys, "p256k", func(x *archive.Version) { x.Files = []archive.File{other} }),
		"a private key of a certificate's": version(object.Keys, "web", func(x *archive.Version) { x.Files = []archive.File{other} }),
		"a public half of another": version(object.Keys, "p256", func(x *archive.Version) {
			x.Key.Properties = raw(`{"kty":"EC","crv":"P-256","key_ops":[],"x":"AAAA","y":"AAAA"}`)
		}),
		"key material of another keystore": version(object.Keys, "p256", func(x *archive.Version) {
			x.Key.Properties = bytes.Replace(x.Key.Properties, []byte(`{`), []byte(`{"store":"hsm",`), 1)
		}),
		"an operation that keys do not have": version(object.Keys, "p256", func(x *archive.Version) {
			x.Key.Properties = bytes.Replace(x.Key.Properties, []byte(`"sign"`), []byte(`"fly"`), 1)
		}),
		"no PEM":                       version(object.Keys, "p256", func(x *archive.Version) { x.Files[0].Content = []byte("no PEM") }),
		"a certificate of another key": version(object.Certificates, "web-pem", func(x *archive.Version) { x.Files[0] = stranger }),
		"no certificate": version(object.Certificates, "web-pem", func(x *archive.Version) {
			x.Files[0].Content = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
		}),
		"a secret of two MiB":    version(object.Secrets, "db-password", func(x *archive.Version) { v := archive.Hidden(strings.Repeat("v", 2<<20)); x.Secret.Value = &v }),
		"a secret without value": version(object.Secrets, "db-password", func(x *archive.Version) { x.Secret.Value = nil }),
		"201 tags": version(object.Secrets, "db-password", func(x *archive.Version) {
			x.Tags = map[string]string{}
			for n := range 201 {
				x.Tags[fmt.Sprint(n)] = ""
			}
		}),
		"a version without a date":                   version(object.Secrets, "db-password", func(x *archive.Version) { x.Created = time.Time{} }),
		"a secret that says it is managed":           version(object.Secrets, "db-password", func(x *archive.Version) { x.Managed = true }),
		"a key of a certificate that says it is not": version(object.Keys, "web", func(x *archive.Version) { x.Managed = false }),
		"a certificate without its key":              without(object.Keys, "web"),
		"a certificate without its secret":           without(object.Secrets, "web"),
		"a key and secret without certificate":       without(object.Certificates, "web"),
		"a certificate with fewer versions": func() func(i *archive.Item) bool {
			dropped := false
			return func(i *archive.Item) bool {
				drop := !dropped && i.Kind == object.Certificates && i.Version != nil
				dropped = dropped || drop
				return !drop
			}
		}(),
		"an object deleted in the future":                   whereas(object.Secrets, "gone", func(o *archive.Object) { o.Deleted = o.Deleted.AddDate(1, 0, 0); o.Purge = o.Deleted.AddDate(0, 0, 7) }),
		"an object kept for a year":                         whereas(object.Secrets, "gone", func(o *archive.Object) { o.Purge = o.Deleted.AddDate(1, 0, 0) }),
		"a key that lives while its certificate is deleted": whereas(object.Keys, "gone-cert", func(o *archive.Object) { o.Deleted, o.Purge = time.Time{}, time.Time{} }),
		"a rotation that never stops": whereas(object.Keys, "rsa", func(o *archive.Object) {
			o.Policy = raw(`{"rotation":{"rotate":{"afterCreate":"P1D"},"notify":"P30D"}}`)
		}),
		"a key that may leave without a policy": whereas(object.Keys, "rsa-hsm", func(o *archive.Object) { o.Policy = raw(`{"exportable":true}`) }),
		"a policy that is none":                 whereas(object.Certificates, "web", func(o *archive.Object) { o.Policy = raw(`{}`) }),
		"a policy with a private key":           whereas(object.Certificates, "web", func(o *archive.Object) { o.Policy = raw(`{"pending":{}}`) }),
		"contacts that are none":                whereas(object.Contacts, "contacts", func(o *archive.Object) { o.Content = raw(`[{"email":"x\r\nBcc: y"}]`) }),
		"an issuer of nobody":                   whereas(object.Issuers, "digi", func(o *archive.Object) { o.Content = raw(`{"provider":"Nobody"}`) }),
		"a secret with a policy":                whereas(object.Secrets, "db-password", func(o *archive.Object) { o.Policy = raw(`{}`) }),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := to.exports.Import(t.Context(), to.Caller, vaulttest.Vault, bytes.NewReader(rewritten(t, whole, edit))); !fault.Is(err, fault.Invalid) {
				t.Errorf("%v, want a refusal", err)
			}
		})
	}
	if err := os.WriteFile(filepath.Join(to.exports.Dir, ".import-killed"), []byte("left"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{"cut": whole[:len(whole)-2000], "encrypted": []byte("age-encryption.org/v1\n"), "empty": nil} {
		if _, err := to.exports.Import(t.Context(), to.Caller, vaulttest.Vault, bytes.NewReader(file)); !fault.HasCode(err, "NotAnExport") {
			t.Errorf("a file that is %s: %v", name, err)
		}
	}

	if diff := cmp.Diff(before, to.all()); diff != "" {
		t.Errorf("refused imports have left something:\n%s", diff)
	}
	if left := to.spools(); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
	if _, err := to.exports.Import(t.Context(), to.Caller, vaulttest.Vault, bytes.NewReader(rewritten(t, whole, func(*archive.Item) bool { return true }))); err != nil {
		t.Errorf("the same file unchanged: %v", err)
	}
}

func TestImportIsAllOrNothing(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		from := newWorld(t, storagetest.SQLite(t))
		from.allow(settings.ExportAll)
		for _, name := range []string{"a", "b", "z"} {
			must[object.Entry](t)(from.secrets.Set(t.Context(), from.Caller, from.ref(name), secrets.SetRequest{Value: "theirs"}))
		}
		file := from.exported(true)
		to := newWorld(t, db)
		must[object.Entry](t)(to.secrets.Set(t.Context(), to.Caller, to.ref("Z"), secrets.SetRequest{Value: "mine"}))
		for range 2 {
			if _, err := to.exports.Import(t.Context(), to.Caller, vaulttest.Vault, bytes.NewReader(file)); !fault.Is(err, fault.Conflict) {
				t.Errorf("with a secret of the same name: %v, want a conflict", err)
			}
			if all := to.all(); len(all) != 1 {
				t.Errorf("%d objects, want the one that was there", len(all))
			}
			_, _ = to.secrets.Delete(t.Context(), to.Caller, to.ref("Z")) // then the name is locked
		}
	})
}

func TestImportHoldsItsLimitsBeforeItWrites(t *testing.T) {
	t.Parallel()
	from := newWorld(t, sqlite(t))
	from.allow(settings.ExportAll)
	must[object.Entry](t)(from.secrets.Set(t.Context(), from.Caller, from.ref("a"), secrets.SetRequest{Value: secrets.Value(strings.Repeat("v", 20_000))}))
	file := from.exported(true)
	to := newWorld(t, sqlite(t))

	for name, l := range map[string]archive.Limits{
		"one file": {File: 10_000, Total: 1 << 20, Files: 100}, "all files": {File: 1 << 20, Total: 15_000, Files: 100}, "their number": {File: 1 << 20, Total: 1 << 20, Files: 3},
	} {
		if _, err := to.exports.ImportWithin(t.Context(), to.Caller, vaulttest.Vault, bytes.NewReader(file), l); !fault.HasCode(err, "NotAnExport") {
			t.Errorf("limit of %s: %v", name, err)
		}
	}
	if all := to.all(); len(all) != 0 {
		t.Errorf("%d objects were written", len(all))
	}
}

// spy is a file that looks at the disk while it is read.
type spy struct {
	r    io.Reader
	look func()
}

func (s spy) Read(b []byte) (int, error) {
	n, err := s.r.Read(b[:min(len(b), 4096)])
	s.look()
	return n, err
}

func TestNothingPlainIsOnTheDiskDuringAnImport(t *testing.T) {
	t.Parallel()
	from := newWorld(t, sqlite(t))
	from.allow(settings.ExportAll)
	const canary = "canary-5d0be9"
	for n := range 200 {
		must[object.Entry](t)(from.secrets.Set(t.Context(), from.Caller, from.ref(fmt.Sprintf("a-%d", n)), secrets.SetRequest{Value: canary + secrets.Value(strings.Repeat("v", 2000))}))
	}
	file := from.exported(true)
	to := newWorld(t, sqlite(t))
	seen := 0
	look := func() {
		for _, name := range to.spools() {
			b := must[[]byte](t)(os.ReadFile(name))
			if seen = max(seen, len(b)); bytes.Contains(b, []byte(canary)) {
				t.Fatal("the spool holds a secret")
			}
		}
	}

	must[export.Report](t)(to.exports.Import(t.Context(), to.Caller, vaulttest.Vault, spy{bytes.NewReader(file), look}))

	if seen < 100_000 {
		t.Errorf("the spool had %d bytes at most; the test has looked at nothing", seen)
	}
}

func TestIssuerOfAnotherInstallationsProfileArrivesDisabled(t *testing.T) {
	t.Parallel()
	from := newWorld(t, sqlite(t))
	from.allow(settings.ExportAll)
	must[issuer.Issuer](t)(from.issuers.Set(t.Context(), from.Caller, from.ref("ours"), issuer.Request{
		Provider: issuer.Chatelaine, Credentials: &issuer.Credentials{AccountID: "tls-server"},
	}))
	to := newWorld(t, sqlite(t))

	report, err := to.exports.Import(t.Context(), to.Caller, vaulttest.Vault, bytes.NewReader(from.exported(true)))

	if err != nil || len(report.LeftBehind) != 1 || !strings.Contains(report.LeftBehind[0].Reason, "disabled") {
		t.Errorf("%+v: %v", report, err)
	}
	if i := must[issuer.Issuer](t)(to.issuers.Get(t.Context(), to.Caller, to.ref("ours"))); i.Enabled {
		t.Error("the issuer is enabled")
	}
}

func TestImportIsRecorded(t *testing.T) {
	t.Parallel()
	from := newWorld(t, sqlite(t))
	from.allow(settings.ExportAll)
	must[object.Entry](t)(from.secrets.Set(t.Context(), from.Caller, from.ref("a"), secrets.SetRequest{Value: "v"}))
	file := from.exported(true)
	to := newWorld(t, sqlite(t))
	_, _ = to.exports.Import(t.Context(), to.Caller, vaulttest.Vault, strings.NewReader("no tar"))
	must[export.Report](t)(to.exports.Import(t.Context(), to.Caller, vaulttest.Vault, bytes.NewReader(file)))

	if got := strings.Join(to.Operations(t), ", "); got != "VaultImport failed, VaultImport" {
		t.Errorf("records %s", got)
	}
	if e := to.Events(); len(e) != 1 || e[0].Type != "Chatelaine.VaultImported" {
		t.Errorf("events %+v", e)
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	if _, err := to.exports.Import(ended, to.Caller, vaulttest.Vault, bytes.NewReader(file)); err == nil {
		t.Error("an import whose client is gone went on")
	}
}
