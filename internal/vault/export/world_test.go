package export_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"filippo.io/age"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/storage/vaultdb"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/export"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/rotation"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/seal"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/settings"
	"chatelaine.dev/internal/vault/vaulttest"
)

// world is an installation with the vault "payroll", and three people who have nothing to
// do with each other.
type world struct {
	*vaulttest.Floor
	t        *testing.T
	exports  *export.Service
	keys     *keys.Service
	rotation *rotation.Service
	secrets  *secrets.Service
	certs    *certificates.Service
	issuers  *issuer.Service
	contacts *contact.Service
	made     map[[2]string]bool // who has made whom

	alice, bob access.Caller
	identity   *age.X25519Identity
}

// Made implements export.Ties.
func (w *world) Made(_ context.Context, one, other string) (bool, error) {
	return w.made[[2]string{one, other}], nil
}

func newWorld(t *testing.T, db *storage.DB) *world { return worldWith(t, db, keystore.NewSoftware()) }

func worldWith(t *testing.T, db *storage.DB, store keystore.Keystore) *world {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	box, err := seal.NewBox(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		Floor: vaulttest.New(t, db), t: t, identity: id, made: map[[2]string]bool{},
		alice: access.Caller{Principal: "alice", Name: "Alice"}, bob: access.Caller{Principal: "bob", Name: "Bob"},
	}
	w.keys = keys.New(w.Deps, store)
	w.rotation = rotation.New(w.Deps, w.keys)
	w.secrets = secrets.New(w.Deps)
	w.certs = certificates.New(w.Deps, w.keys, w.secrets)
	w.issuers = issuer.New(w.Deps, func(context.Context, access.Caller, string) error { return nil })
	w.contacts = contact.New(w.Deps)
	w.exports = export.New(export.Deps{Deps: w.Deps, Keys: w.keys, Store: vaultdb.NewExports(db, box), Ties: w, Dir: t.TempDir()})
	return w
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (w *world) ref(name string) object.Ref { return object.Ref{Vault: vaulttest.Vault, Name: name} }

// allow lets exports leave the vault.
func (w *world) allow(e settings.Export) {
	w.t.Helper()
	if err := w.exports.SetPolicy(w.t.Context(), w.Caller, vaulttest.Vault, e); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ask(keys bool) export.Request {
	w.t.Helper()
	return must[export.Request](w.t)(w.exports.Ask(w.t.Context(), w.alice, export.Draft{
		Vault: vaulttest.Vault, Keys: keys, Recipients: []string{w.identity.Recipient().String()}, Comment: "moving house",
	}))
}

func (w *world) approve(r export.Request) (export.Request, error) {
	return w.exports.Approve(w.t.Context(), w.bob, export.Verdict{Vault: r.Vault, Request: r.ID, Digest: r.Digest})
}

// fetch downloads an approved export, encrypted.
func (w *world) fetch(r export.Request) []byte {
	w.t.Helper()
	f := must[*export.File](w.t)(w.exports.Download(w.t.Context(), w.alice, r.Vault, r.ID))
	var b bytes.Buffer
	if err := f.Write(w.t.Context(), &b); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

// exported is the archive of the vault, decrypted.
func (w *world) exported(keys bool) []byte {
	w.t.Helper()
	r := w.ask(keys)
	must[export.Request](w.t)(w.approve(r))
	return w.decrypt(w.fetch(r))
}

func (w *world) decrypt(b []byte) []byte {
	w.t.Helper()
	r := must[io.Reader](w.t)(age.Decrypt(bytes.NewReader(b), w.identity))
	return must[[]byte](w.t)(io.ReadAll(r))
}

// keyTypes are all that there are.
func keyTypes() map[string]keys.CreateRequest {
	return map[string]keys.CreateRequest{
		"rsa":      {Type: "RSA"},
		"rsa-hsm":  {Type: "RSA-HSM", Bits: 3072},
		"p256":     {Type: "EC"},
		"p384-hsm": {Type: "EC-HSM", Curve: "P-384"},
		"p521":     {Type: "EC", Curve: "P-521"},
		"p256k":    {Type: "EC", Curve: "P-256K"},
		"aes":      {Type: "oct-HSM", Bits: 256},
		"hmac":     {Type: "oct", Bits: 512},
		"mldsa44":  {Type: "AKP", Algorithm: "ML-DSA-44"},
		"mldsa87":  {Type: "AKP-HSM", Algorithm: "ML-DSA-87"},
	}
}

// fill puts one of everything into the vault, with old versions and deleted objects.
func (w *world) fill() {
	w.t.Helper()
	ctx := w.t.Context()
	for name, q := range keyTypes() {
		for range 2 {
			must[object.Entry](w.t)(w.keys.Create(ctx, w.Caller, w.ref(name), q))
		}
	}
	for _, v := range []string{"one", "two", "drei 🗝 \x00 \" \n", ""} {
		at := object.Attributes{Tags: map[string]string{"value": v}}
		must[object.Entry](w.t)(w.secrets.Set(ctx, w.Caller, w.ref("Db-Password"), secrets.SetRequest{Value: secrets.Value(v), ContentType: "text/plain", Attributes: at}))
	}
	for _, contentType := range []string{policy.PKCS12, policy.PEM} {
		name := map[string]string{policy.PKCS12: "web", policy.PEM: "web-pem"}[contentType]
		for range 2 {
			must[certificates.Operation](w.t)(w.certs.Create(ctx, w.Caller, w.ref(name), certificates.CreateRequest{Policy: &policy.Policy{
				Issuer: &policy.Issuer{Name: "Self"}, X509: &policy.X509Properties{Subject: "CN=" + name, Names: &policy.Names{DNS: []string{name + ".example"}}},
				Key: &policy.KeyProperties{Type: "EC"}, Secret: &policy.Secret{ContentType: contentType},
			}}))
		}
	}
	must[certificates.Operation](w.t)(w.certs.Create(ctx, w.Caller, w.ref("pending"), certificates.CreateRequest{Policy: &policy.Policy{
		Issuer: &policy.Issuer{Name: "Unknown"}, X509: &policy.X509Properties{Subject: "CN=pending"},
	}}))
	must[object.Entry](w.t)(w.secrets.Set(ctx, w.Caller, w.ref("gone"), secrets.SetRequest{Value: "gone"}))
	must[object.Entry](w.t)(w.secrets.Delete(ctx, w.Caller, w.ref("gone")))
	must[certificates.Operation](w.t)(w.certs.Create(ctx, w.Caller, w.ref("gone-cert"), certificates.CreateRequest{Policy: &policy.Policy{
		Issuer: &policy.Issuer{Name: "Self"}, X509: &policy.X509Properties{Subject: "CN=gone"},
	}}))
	must[certificates.Certificate](w.t)(w.certs.Delete(ctx, w.Caller, w.ref("gone-cert")))
	if err := w.contacts.Set(ctx, w.Caller, vaulttest.Vault, []contact.Contact{{Email: "ops@example.com", Name: "Ops"}}); err != nil {
		w.t.Fatal(err)
	}
	must[issuer.Issuer](w.t)(w.issuers.Set(ctx, w.Caller, w.ref("digi"), issuer.Request{Provider: "DigiCert", Credentials: &issuer.Credentials{AccountID: "me", Password: "canary-issuer"}}))
	if _, _, err := w.rotation.SetPolicy(ctx, w.Caller, w.ref("rsa"), rotation.Draft{
		Actions: []rotation.Action{{Type: "Rotate", AfterCreate: "P90D"}}, Expiry: "P2Y",
	}); err != nil {
		w.t.Fatal(err)
	}
}

func sqlite(t *testing.T) *storage.DB { return storagetest.SQLite(t) }
