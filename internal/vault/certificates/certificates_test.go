package certificates_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/pfx"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/vaulttest"
)

// house is a vault with its three services.
type house struct {
	*vaulttest.Floor
	t       *testing.T
	certs   *certificates.Service
	keys    *keys.Service
	secrets *secrets.Service
}

func newHouse(t *testing.T, db *storage.DB) *house {
	t.Helper()
	h := &house{Floor: vaulttest.New(t, db), t: t}
	h.serve()
	return h
}

func (h *house) serve() {
	h.keys = keys.New(h.Deps, keystore.NewSoftware())
	h.secrets = secrets.New(h.Deps)
	h.certs = certificates.New(h.Deps, h.keys, h.secrets)
}

func ref(name string) object.Ref { return object.Ref{Vault: vaulttest.Vault, Name: name} }

func parsePolicy(t *testing.T, text string) *policy.Policy {
	t.Helper()
	var p policy.Policy
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

const (
	selfEC    = `{"issuer":{"name":"self"},"key_props":{"kty":"EC"},"x509_props":{"subject":"CN=web","sans":{"dns_names":["web.example"]}}}`
	unknownEC = `{"issuer":{"name":"Unknown"},"key_props":{"kty":"EC","crv":"P-384"},"x509_props":{"subject":"CN=web"}}`
)

func (h *house) create(name, p string) certificates.Operation {
	h.t.Helper()
	op, err := h.certs.Create(h.t.Context(), h.Caller, ref(name), certificates.CreateRequest{
		Policy: parsePolicy(h.t, p), Attributes: object.Attributes{Tags: map[string]string{"env": "test"}},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return op
}

func (h *house) get(name string) certificates.Certificate {
	h.t.Helper()
	c, err := h.certs.Get(h.t.Context(), h.Caller, ref(name))
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// revealed reads the secret of a certificate's version through the secrets service.
func (h *house) revealed(c certificates.Certificate) (secrets.Body, pfx.Bundle) {
	h.t.Helper()
	r := ref(c.Head.Name)
	r.Version = c.Version.ID
	e, b, err := h.secrets.Get(h.t.Context(), h.Caller, r)
	if err != nil {
		h.t.Fatal(err)
	}
	if !e.Version.Managed || !e.Head.Managed {
		h.t.Error("the secret of a certificate is not managed")
	}
	if b.ContentType == policy.PEM {
		bundle, _ := pfx.DecodePEM([]byte(b.Value), "")
		return b, bundle
	}
	der, err := base64.StdEncoding.DecodeString(string(b.Value))
	if err != nil {
		h.t.Fatal(err)
	}
	bundle, _ := pfx.Decode(der, "")
	return b, bundle
}

func leafOf(t *testing.T, c certificates.Certificate) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(c.Body.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestSelfSignedCertificateLivesThroughItsWholeLife(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h := newHouse(t, db)
		ctx := t.Context()

		op := h.create("Web", selfEC)
		if op.Status != certificates.InProgress || op.Details == "" || len(op.Request) == 0 || op.RequestID == "" {
			t.Errorf("operation %+v", op)
		}
		csr, err := x509.ParseCertificateRequest(op.Request)
		if err != nil || csr.CheckSignature() != nil || csr.Subject.CommonName != "web" {
			t.Errorf("request %v: %v", csr, err)
		}
		if p, err := h.certs.Pending(ctx, h.Caller, ref("web"), op.RequestID); err != nil || p.Status != certificates.Completed {
			t.Errorf("pending %+v: %v", p, err)
		}
		c := h.get("web")
		leaf := leafOf(t, c)
		now := h.Time()
		if !leaf.NotBefore.Equal(now.Add(-600*time.Second)) || !leaf.NotAfter.Equal(now.AddDate(1, 0, 0)) || !c.Version.Expires.Equal(leaf.NotAfter) {
			t.Errorf("valid %v to %v, attributes say %v", leaf.NotBefore, leaf.NotAfter, c.Version.Expires)
		}
		k, err := h.keys.Get(ctx, h.Caller, object.Ref{Vault: vaulttest.Vault, Name: "web", Version: c.Version.ID})
		if err != nil || !k.Version.Managed || k.Head.Name != "Web" || !k.Version.Expires.Equal(leaf.NotAfter) {
			t.Errorf("key %+v: %v", k, err)
		}
		body, bundle := h.revealed(c)
		if found, err := bundle.Leaf(); err != nil || !found.Equal(leaf) || body.ContentType != policy.PKCS12 {
			t.Errorf("secret %q holds %v: %v", body.ContentType, found, err)
		}
		digest := sha256.Sum256([]byte("hello"))
		signed, err := h.keys.Sign(ctx, h.Caller, ref("web"), keys.Input{Algorithm: "ES256", Input: algorithm.Input{Value: digest[:]}})
		if err != nil || !verifies(leaf, digest[:], signed.Value) {
			t.Errorf("the vault's key does not sign for the certificate: %v", err)
		}

		off := false
		if _, err := h.certs.Update(ctx, h.Caller, ref("web"), certificates.UpdateRequest{Attributes: object.Attributes{Enabled: &off, Tags: map[string]string{}}}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.secrets.Get(ctx, h.Caller, ref("web")); !fault.HasCode(err, "SecretDisabled") {
			t.Errorf("secret of a disabled certificate: %v", err)
		}
		if _, err := h.keys.Sign(ctx, h.Caller, ref("web"), keys.Input{Algorithm: "ES256", Input: algorithm.Input{Value: digest[:]}}); !fault.HasCode(err, "KeyDisabled") {
			t.Errorf("key of a disabled certificate: %v", err)
		}
		if c := h.get("web"); c.Version.Enabled || len(c.Version.Tags) != 0 || !c.Version.Expires.Equal(leaf.NotAfter) {
			t.Errorf("updated to %+v", c.Version)
		}

		h.create("web", selfEC)
		if l, err := h.certs.Versions(ctx, h.Caller, ref("web"), object.Page{Limit: 25}); err != nil || len(l.Entries) != 2 {
			t.Errorf("%d versions: %v", len(l.Entries), err)
		}
		before := h.get("web")
		deleted, err := h.certs.Delete(ctx, h.Caller, ref("web"))
		if err != nil || deleted.Version.ID != before.Version.ID {
			t.Fatal(deleted.Version.ID, err)
		}
		if _, err := h.keys.Get(ctx, h.Caller, ref("web")); !fault.Is(err, fault.NotFound) {
			t.Errorf("key of a deleted certificate: %v", err)
		}
		if _, _, err := h.secrets.Get(ctx, h.Caller, ref("web")); !fault.Is(err, fault.NotFound) {
			t.Errorf("secret of a deleted certificate: %v", err)
		}
		if l, err := h.secrets.ListDeleted(ctx, h.Caller, vaulttest.Vault, object.Page{Limit: 25}); err != nil || len(l.Entries) != 0 {
			t.Errorf("%d deleted secrets are listed: %v", len(l.Entries), err)
		}
		if _, err := h.certs.Create(ctx, h.Caller, ref("web"), certificates.CreateRequest{Policy: parsePolicy(t, selfEC)}); !fault.HasCode(err, "ObjectIsDeletedButRecoverable") {
			t.Errorf("create over a deleted certificate: %v", err)
		}
		if l, err := h.certs.ListDeleted(ctx, h.Caller, vaulttest.Vault, object.Page{Limit: 25}, false); err != nil || len(l.Entries) != 1 {
			t.Errorf("%d deleted certificates: %v", len(l.Entries), err)
		}
		recovered, err := h.certs.Recover(ctx, h.Caller, ref("web"))
		if d := cmp.Diff(before.Version, recovered.Version); err != nil || d != "" {
			t.Errorf("recovered (%v):\n%s", err, d)
		}
		h.revealed(h.get("web"))
		if _, err := h.certs.Delete(ctx, h.Caller, ref("web")); err != nil {
			t.Fatal(err)
		}
		if err := h.certs.Purge(ctx, h.Caller, ref("web")); err != nil {
			t.Fatal(err)
		}
		if n := rows(t, db); n != 0 {
			t.Errorf("%d rows are left after the purge", n)
		}

		want := []string{"CertificateCreate", "CertificatePendingGet", "CertificateGet", "KeyGet", "SecretGet", "KeySign", "CertificateUpdate", "SecretGet failed", "KeySign failed",
			"CertificateGet", "CertificateCreate", "CertificateListVersions", "CertificateGet", "CertificateDelete", "KeyGet failed", "SecretGet failed", "SecretListDeleted",
			"CertificateCreate failed", "CertificateListDeleted", "CertificateRecover", "CertificateGet", "SecretGet", "CertificateDelete", "CertificatePurge"}
		if d := cmp.Diff(want, h.Operations(t)); d != "" {
			t.Errorf("audit trail (-want +got):\n%s", d)
		}
		events := h.Events()
		if len(events) != 2 || events[0].Type != "Microsoft.KeyVault.CertificateNewVersionCreated" || !strings.Contains(string(events[0].Data), `"ObjectType":"Certificate"`) {
			t.Errorf("events %+v", events)
		}
	})
}

func verifies(leaf *x509.Certificate, digest, sig []byte) bool {
	r, s := new(big.Int).SetBytes(sig[:len(sig)/2]), new(big.Int).SetBytes(sig[len(sig)/2:])
	return ecdsa.Verify(leaf.PublicKey.(*ecdsa.PublicKey), digest, r, s)
}

func rows(t *testing.T, db *storage.DB) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM objects`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// ca issues for requests.
type ca struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newCA(t *testing.T) ca {
	t.Helper()
	key := ecKey(t)
	return ca{key, sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, nil, key.Public(), key)}
}

// issue makes a certificate that is valid only from 2030 on, as Microsoft's suite does.
func (c ca) issue(t *testing.T, pub crypto.PublicKey) *x509.Certificate {
	t.Helper()
	return sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "web"},
		NotBefore: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
	}, c.cert, pub, c.key)
}

func sign(t *testing.T, template, issuer *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	if issuer == nil {
		issuer = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func publicOf(t *testing.T, op certificates.Operation) crypto.PublicKey {
	t.Helper()
	csr, err := x509.ParseCertificateRequest(op.Request)
	if err != nil || csr.CheckSignature() != nil {
		t.Fatal("the request is not signed by its key", err)
	}
	return csr.PublicKey
}

func TestCertificateOfAnotherCAIsMerged(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h := newHouse(t, db)
		ctx := t.Context()
		issuer := newCA(t)
		op := h.create("web", unknownEC)

		c := h.get("web")
		if c.Issued() || c.Version.Enabled || c.Version.ID == "" || c.Operation == nil || c.Operation.Status != certificates.InProgress {
			t.Errorf("while pending: %+v", c)
		}
		if byID, err := h.certs.Get(ctx, h.Caller, object.Ref{Vault: vaulttest.Vault, Name: "web", Version: c.Version.ID}); err != nil || byID.Issued() {
			t.Errorf("pending version by its id: %v", err)
		}
		if l, err := h.certs.List(ctx, h.Caller, vaulttest.Vault, object.Page{Limit: 25}, false); err != nil || len(l.Entries) != 0 {
			t.Errorf("%d certificates listed without pending: %v", len(l.Entries), err)
		}
		if l, err := h.certs.List(ctx, h.Caller, vaulttest.Vault, object.Page{Limit: 25}, true); err != nil || len(l.Entries) != 1 {
			t.Errorf("%d certificates listed with pending: %v", len(l.Entries), err)
		}
		if _, err := h.certs.Pending(ctx, h.Caller, ref("web"), object.NewVersionID()); !fault.HasCode(err, "PendingCertificateNotFound") {
			t.Errorf("pending with another request_id: %v", err)
		}
		if _, err := h.certs.Create(ctx, h.Caller, ref("web"), certificates.CreateRequest{}); !fault.Is(err, fault.Conflict) {
			t.Errorf("create while pending: %v", err)
		}
		key := ecKey(t)
		stranger := issuer.issue(t, key.Public())
		if _, err := h.certs.Import(ctx, h.Caller, ref("web"), certificates.ImportRequest{Bundle: pfx.Bundle{Key: key, Certificates: []*x509.Certificate{stranger}}}); !fault.Is(err, fault.Conflict) {
			t.Errorf("import while pending: %v", err)
		}
		if _, err := h.certs.Merge(ctx, h.Caller, ref("web"), certificates.MergeRequest{Certificates: [][]byte{stranger.Raw}}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "does not match") {
			t.Errorf("merge of another key's certificate: %v", err)
		}
		if _, err := h.certs.UpdatePolicy(ctx, h.Caller, ref("web"), *parsePolicy(t, `{"secret_props":{"contentType":"application/x-pem-file"},"key_props":{"kty":"RSA"}}`)); err != nil {
			t.Errorf("policy while pending: %v", err)
		}

		leaf := issuer.issue(t, publicOf(t, op))
		merged, err := h.certs.Merge(ctx, h.Caller, ref("web"), certificates.MergeRequest{Certificates: [][]byte{issuer.cert.Raw, leaf.Raw}})

		if err != nil {
			t.Fatal(err)
		}
		if merged.Version.ID != c.Version.ID || !merged.Version.Enabled || merged.Version.Tags["env"] != "test" || merged.Operation.Status != certificates.Completed {
			t.Errorf("merged %+v %+v", merged.Version, merged.Operation)
		}
		body, bundle := h.revealed(merged)
		if body.ContentType != policy.PEM || len(bundle.Certificates) != 2 || !bundle.Certificates[0].Equal(leaf) || bundle.Key == nil {
			t.Errorf("secret %s holds %d certificates", body.ContentType, len(bundle.Certificates))
		}
		if _, err := h.certs.Merge(ctx, h.Caller, ref("web"), certificates.MergeRequest{Certificates: [][]byte{leaf.Raw}}); !fault.Is(err, fault.Invalid) {
			t.Errorf("second merge: %v", err)
		}
	})
}

func TestPendingCertificateCanBeCancelledAndDeleted(t *testing.T) {
	db := storagetest.SQLite(t)
	h := newHouse(t, db)
	ctx := t.Context()
	op := h.create("web", unknownEC)

	cancelled, err := h.certs.Cancel(ctx, h.Caller, ref("web"))
	if err != nil || !cancelled.CancellationRequested || cancelled.Status != certificates.Cancelled {
		t.Errorf("cancelled %+v: %v", cancelled, err)
	}
	if _, err := h.certs.Cancel(ctx, h.Caller, ref("web")); !fault.Is(err, fault.Invalid) {
		t.Errorf("cancelled twice: %v", err)
	}
	leaf := newCA(t).issue(t, publicOf(t, op))
	if _, err := h.certs.Merge(ctx, h.Caller, ref("web"), certificates.MergeRequest{Certificates: [][]byte{leaf.Raw}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("merge after cancelling: %v", err)
	}
	forgotten, err := h.certs.DeletePending(ctx, h.Caller, ref("web"))
	if err != nil || forgotten.RequestID != op.RequestID {
		t.Errorf("forgotten %+v: %v", forgotten, err)
	}
	if n := rows(t, db); n != 0 {
		t.Errorf("%d rows are left of a certificate that never was", n)
	}

	h.create("web", selfEC)
	if _, err := h.certs.Merge(ctx, h.Caller, ref("web"), certificates.MergeRequest{Certificates: [][]byte{leaf.Raw}}); !fault.Is(err, fault.Denied) {
		t.Errorf("merge into a self-signed one: %v", err)
	}
	second := h.create("web", unknownEC)
	if c := h.get("web"); !c.Issued() || !c.Version.Enabled {
		t.Error("the issued version is not the latest while another is pending")
	}
	if _, _, err := h.secrets.Get(ctx, h.Caller, ref("web")); err != nil {
		t.Errorf("the secret while another version is pending: %v", err)
	}
	if _, err := h.certs.DeletePending(ctx, h.Caller, ref("web")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.certs.Pending(ctx, h.Caller, ref("web"), second.RequestID); !fault.HasCode(err, "PendingCertificateNotFound") {
		t.Errorf("pending after deletion: %v", err)
	}
	if c := h.get("web"); !c.Issued() {
		t.Error("the certificate went with its pending version")
	}
}

func TestReusedKeyStaysAndAnotherDoesNot(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	const reusing = `{"issuer":{"name":"Self"},"key_props":{"kty":"EC","reuse_key":true,"exportable":false},"x509_props":{"subject":"CN=a"}}`
	h.create("web", reusing)
	first := leafOf(t, h.get("web"))
	h.create("web", reusing)
	second := leafOf(t, h.get("web"))
	h.create("web", strings.Replace(reusing, `"kty":"EC"`, `"kty":"EC","crv":"P-384"`, 1))
	third := leafOf(t, h.get("web"))
	h.create("web", selfEC)
	fourth := leafOf(t, h.get("web"))

	if !pfx.Same(first.PublicKey, second.PublicKey) {
		t.Error("the key was not reused")
	}
	if third.PublicKey.(*ecdsa.PublicKey).Curve != elliptic.P384() || fourth.PublicKey.(*ecdsa.PublicKey).Curve != elliptic.P256() || pfx.Same(first.PublicKey, fourth.PublicKey) {
		t.Error("a key was reused that the policy does not ask for")
	}
}

func TestNameOfSomebodyElsesKeyOrSecretIsRefused(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	ctx := t.Context()
	if _, err := h.secrets.Set(ctx, h.Caller, ref("taken"), secrets.SetRequest{Value: "mine"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.keys.Create(ctx, h.Caller, ref("used"), keys.CreateRequest{Type: "EC"}); err != nil {
		t.Fatal(err)
	}
	before := rows(t, h.DB)
	_, b := imported(t)
	for _, name := range []string{"taken", "used"} {
		for _, p := range []string{selfEC, unknownEC} {
			if _, err := h.certs.Create(ctx, h.Caller, ref(name), certificates.CreateRequest{Policy: parsePolicy(t, p)}); !fault.Is(err, fault.Conflict) {
				t.Errorf("create %s: %v", name, err)
			}
		}
		if _, err := h.certs.Import(ctx, h.Caller, ref(name), certificates.ImportRequest{Bundle: b}); !fault.Is(err, fault.Conflict) {
			t.Errorf("import %s: %v", name, err)
		}
	}
	if after := rows(t, h.DB); after != before {
		t.Errorf("%d rows became %d", before, after)
	}
	if _, body, err := h.secrets.Get(ctx, h.Caller, ref("taken")); err != nil || body.Value != "mine" {
		t.Errorf("the secret became %v", err)
	}

	h.create("web", selfEC)
	if _, err := h.secrets.Set(ctx, h.Caller, ref("web"), secrets.SetRequest{Value: "x"}); !fault.HasCode(err, "ManagedObject") {
		t.Errorf("set a certificate's secret: %v", err)
	}
	if _, err := h.keys.Delete(ctx, h.Caller, ref("web")); !fault.HasCode(err, "ManagedObject") {
		t.Errorf("delete a certificate's key: %v", err)
	}
}
