package export_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/export"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/settings"
	"chatelaine.dev/internal/vault/vaulttest"
)

// kinds are what a vault keeps.
var kinds = []object.Kind{object.Keys, object.Secrets, object.Certificates, object.Issuers, object.Contacts}

// row is what can be compared of an object: everything but how keys are kept.
type row struct {
	Head     object.Head
	Versions []object.Version
}

// all reads everything that a vault keeps.
func (w *world) all() map[string]row {
	w.t.Helper()
	v := must[*object.Vault](w.t)(w.Vaults.Open(w.t.Context(), vaulttest.Vault))
	if err := v.Verify(w.t.Context()); err != nil {
		w.t.Fatalf("verify: %v", err)
	}
	found := map[string]row{}
	for _, k := range kinds {
		for _, deleted := range []bool{false, true} {
			for _, e := range must[[]object.Entry](w.t)(v.List(w.t.Context(), k, deleted, "", 1000)) {
				versions, _, err := v.Versions(w.t.Context(), k, e.Head.Name, 0, 1000)
				if err != nil {
					w.t.Fatal(err)
				}
				found[string(k)+"/"+e.Head.Name] = row{e.Head, versions}
			}
		}
	}
	return found
}

// use is one use of a version of a key, to be undone or checked elsewhere.
type use struct {
	ref    object.Ref
	sign   keys.Input
	signed []byte
	seal   keys.Input
	sealed algorithm.Output
}

// inputs are what each type of key can do.
func inputs(name string) (sign, seal keys.Input) {
	digest := func(alg string, h crypto.Hash) keys.Input {
		d := h.New()
		d.Write([]byte("contract"))
		return keys.Input{Algorithm: alg, Input: algorithm.Input{Value: d.Sum(nil)}}
	}
	message := func(alg string) keys.Input {
		return keys.Input{Algorithm: alg, Input: algorithm.Input{Value: []byte("contract")}}
	}
	switch name {
	case "rsa", "rsa-hsm":
		return digest("PS256", crypto.SHA256), message("RSA-OAEP-256")
	case "p256":
		return digest("ES256", crypto.SHA256), keys.Input{}
	case "p384-hsm":
		return digest("ES384", crypto.SHA384), keys.Input{}
	case "p521":
		return digest("ES512", crypto.SHA512), keys.Input{}
	case "p256k":
		return digest("ES256K", crypto.SHA256), keys.Input{}
	case "aes":
		return keys.Input{}, message("A256GCM")
	case "hmac":
		return digest("HS512", crypto.SHA512), keys.Input{}
	case "mldsa44":
		return message("ML-DSA-44"), keys.Input{}
	}
	return message("ML-DSA-87"), keys.Input{}
}

// uses uses every version of every key.
func (w *world) uses() []use {
	w.t.Helper()
	var list []use
	for name := range keyTypes() {
		for _, e := range must[object.Listing](w.t)(w.keys.Versions(w.t.Context(), w.Caller, w.ref(name), object.Page{Limit: 25})).Entries {
			u := use{ref: object.Ref{Vault: vaulttest.Vault, Name: name, Version: e.Version.ID}}
			u.sign, u.seal = inputs(name)
			if u.sign.Algorithm != "" {
				u.signed = must[keys.Result](w.t)(w.keys.Sign(w.t.Context(), w.Caller, u.ref, u.sign)).Value
			}
			if u.seal.Algorithm != "" {
				u.sealed = must[keys.Result](w.t)(w.keys.Encrypt(w.t.Context(), w.Caller, u.ref, u.seal)).Output
			}
			list = append(list, u)
		}
	}
	return list
}

// still checks that what keys did elsewhere is undone and verified by those of w.
func (w *world) still(list []use) {
	w.t.Helper()
	for _, u := range list {
		if u.signed != nil {
			ok, err := w.keys.Verify(w.t.Context(), w.Caller, u.ref, u.sign, u.signed)
			if err != nil || !ok {
				w.t.Errorf("%s/%s: an old signature: %v, %v", u.ref.Name, u.ref.Version, ok, err)
			}
			if _, err := w.keys.Sign(w.t.Context(), w.Caller, u.ref, u.sign); err != nil {
				w.t.Errorf("%s/%s: a new signature: %v", u.ref.Name, u.ref.Version, err)
			}
		}
		if u.seal.Algorithm != "" {
			in := keys.Input{Algorithm: u.seal.Algorithm, Input: algorithm.Input{Value: u.sealed.Value, IV: u.sealed.IV, AAD: u.sealed.AAD, Tag: u.sealed.Tag}}
			got, err := w.keys.Decrypt(w.t.Context(), w.Caller, u.ref, in)
			if err != nil || string(got.Value) != "contract" {
				w.t.Errorf("%s/%s: an old ciphertext: %v", u.ref.Name, u.ref.Version, err)
			}
		}
	}
}

func TestVaultMovesToAnotherInstallation(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		from := newWorld(t, db)
		from.fill()
		from.allow(settings.ExportAll)
		before, used := from.all(), from.uses()
		file := from.exported(true)
		to := newWorld(t, storagetest.SQLite(t)) // with another root key
		to.Advance(24 * time.Hour)

		report, err := to.exports.Import(t.Context(), to.Caller, vaulttest.Vault, bytes.NewReader(file))

		if err != nil || len(report.LeftBehind) != 0 || report.Objects[object.Keys] != 13 || report.Versions[object.Secrets] != 10 {
			t.Fatalf("%+v: %v", report, err)
		}
		delete(before, "certificates/pending")
		after := to.all()
		for name, x := range before {
			if strings.HasPrefix(name, "certificates/") { // how they were made stays behind
				x.Head.Extra = policyOf(t, x.Head.Extra)
				y := after[name]
				y.Head.Extra = policyOf(t, y.Head.Extra)
				after[name] = y
			}
			before[name] = x
		}
		if diff := cmp.Diff(before, after, cmp.Comparer(time.Time.Equal), cmp.Comparer(func(a, b json.RawMessage) bool { return sameJSON(t, a, b) })); diff != "" {
			t.Errorf("what the vault keeps (-before +after):\n%s", diff)
		}
		to.still(used)
		must[object.Entry](t)(to.secrets.Recover(t.Context(), to.Caller, to.ref("gone")))
		must[certificates.Certificate](t)(to.certs.Recover(t.Context(), to.Caller, to.ref("gone-cert")))
		to.Reopen()
		to.all()
	})
}

func policyOf(t *testing.T, extra json.RawMessage) json.RawMessage {
	t.Helper()
	var s struct{ Policy json.RawMessage }
	if err := json.Unmarshal(extra, &s); err != nil {
		t.Fatal(err)
	}
	return s.Policy
}

func sameJSON(t *testing.T, a, b json.RawMessage) bool {
	t.Helper()
	var x, y any
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		t.Error("no JSON")
	}
	return cmp.Equal(x, y)
}

// untar reads a tar as any engineer's program does.
func untar(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = must[[]byte](t)(io.ReadAll(tr))
	}
}

// TestExportIsReadWithoutChatelaine uses age and tar, and nothing of ours.
func TestExportIsReadWithoutChatelaine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlite(t))
	w.fill()
	w.allow(settings.ExportAll)
	used := w.uses()
	r := w.ask(true)
	must[export.Request](t)(w.approve(r))
	encrypted := w.fetch(r)
	if bytes.Contains(encrypted, []byte("db-password")) || bytes.Contains(encrypted, []byte("PRIVATE KEY")) {
		t.Fatal("the file is not encrypted")
	}

	plain := must[io.Reader](t)(age.Decrypt(bytes.NewReader(encrypted), w.identity))
	files := untar(t, plain)

	key := used[slices.IndexFunc(used, func(u use) bool { return u.ref.Name == "rsa" })]
	block, _ := pem.Decode(files["keys/rsa/"+key.ref.Version+".pem"])
	private := must[any](t)(x509.ParsePKCS8PrivateKey(block.Bytes)).(*rsa.PrivateKey)
	if err := rsa.VerifyPSS(&private.PublicKey, crypto.SHA256, key.sign.Value, key.signed, nil); err != nil {
		t.Errorf("an old signature: %v", err)
	}
	if got, err := rsa.DecryptOAEP(sha256.New(), nil, private, key.sealed.Value, nil); err != nil || string(got) != "contract" {
		t.Errorf("an old ciphertext: %q: %v", got, err)
	}

	var o struct{ Versions []string }
	if err := json.Unmarshal(files["secrets/Db-Password/object.json"], &o); err != nil || len(o.Versions) != 4 {
		t.Fatalf("%+v: %v", o, err)
	}
	var values []string
	for _, id := range o.Versions {
		var x struct{ Secret struct{ Value string } }
		if err := json.Unmarshal(files["secrets/Db-Password/"+id+".json"], &x); err != nil {
			t.Fatal(err)
		}
		values = append(values, x.Secret.Value)
	}
	if diff := cmp.Diff(values, []string{"one", "two", "drei 🗝 \x00 \" \n", ""}); diff != "" {
		t.Error(diff)
	}
	readByOpenSSL(t, files)
	suffixes := map[string]int{}
	for name := range files {
		suffixes[path.Ext(name)]++
	}
	if suffixes[".pfx"] != 3 || suffixes[".jwk"] != 4 {
		t.Errorf("files %v", suffixes)
	}
}

// readByOpenSSL has openssl read every key that any version of it knows, and every PKCS #12 file.
func readByOpenSSL(t *testing.T, files map[string][]byte) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs openssl")
	}
	read := 0
	for name, content := range files {
		var args []string
		switch {
		case strings.HasPrefix(name, "keys/") && path.Ext(name) == ".pem" && !strings.Contains(name, "/mldsa"):
			args = []string{"pkey", "-noout", "-check"}
		case path.Ext(name) == ".pfx":
			args = []string{"pkcs12", "-passin", "pass:", "-nodes"}
		default:
			continue
		}
		c := exec.Command("openssl", args...)
		c.Stdin = bytes.NewReader(content)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("openssl does not read %s: %v: %s", name, err, out)
		}
		read++
	}
	if read < 15 {
		t.Errorf("openssl has read %d files", read)
	}
}

// locked is a keystore like an HSM's: what it holds does not leave it.
type locked struct{ keystore.Keystore }

func (locked) Name() string { return "vendor-hsm" }

func (l locked) Open(ctx context.Context, m keystore.Material) (keystore.Private, error) {
	k, err := l.Keystore.Open(ctx, m)
	if err != nil {
		return nil, err
	}
	return signer{k.(crypto.Signer)}, nil
}

type signer struct{ crypto.Signer }

func TestKeysThatCannotLeaveAreListedWithTheReason(t *testing.T) {
	t.Parallel()
	w := worldWith(t, sqlite(t), locked{keystore.NewSoftware()})
	must[object.Entry](t)(w.keys.Create(t.Context(), w.Caller, w.ref("bound"), keys.CreateRequest{Type: "EC-HSM"}))
	must[object.Entry](t)(w.secrets.Set(t.Context(), w.Caller, w.ref("free"), secrets.SetRequest{Value: "v"}))
	w.allow(settings.ExportAll)
	file := w.exported(true)

	var m struct {
		LeftBehind []struct{ Kind, Name, Version, Reason string }
	}
	if err := json.Unmarshal(untar(t, bytes.NewReader(file))["manifest.json"], &m); err != nil {
		t.Fatal(err)
	}
	if len(m.LeftBehind) != 1 || m.LeftBehind[0].Name != "bound" || !strings.Contains(m.LeftBehind[0].Reason, "vendor-hsm") {
		t.Errorf("left behind %+v", m.LeftBehind)
	}
	to := newWorld(t, sqlite(t))
	report, err := to.exports.Import(t.Context(), to.Caller, vaulttest.Vault, bytes.NewReader(file))
	if err != nil || report.Objects[object.Keys] != 0 || report.Objects[object.Secrets] != 1 || len(report.LeftBehind) == 0 {
		t.Errorf("%+v: %v", report, err)
	}
}

func TestExportWithoutKeysHoldsNoPrivateKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlite(t))
	w.fill()
	w.allow(settings.ExportWithoutKeys)

	file := w.exported(false)

	for name, content := range untar(t, bytes.NewReader(file)) {
		if bytes.Contains(content, []byte("PRIVATE KEY")) || slices.Contains([]string{".jwk", ".pfx"}, path.Ext(name)) {
			t.Errorf("%s holds a private key", name)
		}
	}
	to := newWorld(t, sqlite(t))
	report, err := to.exports.Import(t.Context(), to.Caller, vaulttest.Vault, bytes.NewReader(file))
	if err != nil || report.Objects[object.Keys] != 0 || report.Objects[object.Certificates] != 0 || report.Versions[object.Secrets] != 5 {
		t.Errorf("%+v: %v", report, err)
	}
	if _, err := to.keys.Get(t.Context(), to.Caller, to.ref("rsa")); !fault.HasCode(err, "KeyNotFound") {
		t.Errorf("a key without its private half: %v", err)
	}
	to.all()
}
