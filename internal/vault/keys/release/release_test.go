package release_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/attestation"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/release"
	"chatelaine.dev/internal/vault/keys/transfer"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

const authority = "https://attest.example/"

// world is a vault, an attestation service that vouches for anything, and an environment
// that has a key to receive others with.
type world struct {
	*vaulttest.Floor
	keys        *keys.Service
	release     *release.Service
	service     *rsa.PrivateKey
	environment *rsa.PrivateKey
	signed      []string // payloads
	broken      error    // of the signer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Floor: vaulttest.New(t, storagetest.SQLite(t))}
	var err error
	if w.service, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if w.environment, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	a := attestation.New(attestation.Config{Fetcher: w, Now: w.Time})
	w.keys = keys.New(w.Deps, keystore.NewSoftware())
	w.keys.Authorities = a
	w.release = release.New(release.Deps{Deps: w.Deps, Keys: w.keys, Verifier: a, Signer: w})
	return w
}

// Fetch implements attestation.Fetcher.
func (w *world) Fetch(_ context.Context, url string) ([]byte, error) {
	switch url {
	case authority + ".well-known/openid-configuration":
		return []byte(`{"issuer":"https://attest.example","jwks_uri":"https://attest.example/keys"}`), nil
	case authority + "keys":
		return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: w.service.Public(), KeyID: "k"}}})
	}
	return nil, errors.New("404")
}

// Sign implements release.Signer.
func (w *world) Sign(_ context.Context, vault string, payload []byte) (string, error) {
	w.signed = append(w.signed, string(payload))
	return "signed for " + vault, w.broken
}

// token is what the attestation service says: color, and the environment's key.
func (w *world) token(t *testing.T, color string, runtime any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: w.service, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(map[string]any{
		"iss": "https://attest.example", "exp": w.Time().Add(time.Hour).Unix(), "color": color, "x-ms-runtime": runtime,
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (w *world) runtime() any {
	return map[string]any{"keys": []any{jose.JSONWebKey{Key: w.environment.Public(), KeyID: "env", Use: "enc"}}}
}

func ref(name string) object.Ref { return object.Ref{Vault: vaulttest.Vault, Name: name} }

// create makes a key that goes to green environments.
func (w *world) create(t *testing.T, name string, q keys.CreateRequest) object.Entry {
	t.Helper()
	yes := true
	q.Exposure = keys.Exposure{Exportable: &yes, Policy: &keys.PolicyClause{
		Data: fmt.Appendf(nil, `{"version":"1.0.0","anyOf":[{"authority":%q,"allOf":[{"claim":"color","equals":"green"}]}]}`, authority),
	}}
	e, err := w.keys.Create(t.Context(), w.Caller, ref(name), q)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ask asks for a key, whose wrapped form is returned.
func (w *world) ask(t *testing.T, r object.Ref, target string, s transfer.Scheme) (keyHSM []byte, err error) {
	t.Helper()
	_, err = w.release.Release(t.Context(), w.Caller, r, release.Request{
		Target: target, Scheme: s,
		Describe: func(_ object.Entry, _ transfer.Scheme, k []byte) ([]byte, error) {
			keyHSM = slices.Clone(k)
			return []byte("payload"), nil
		},
	})
	return keyHSM, err
}

func (w *world) open(t *testing.T, keyHSM []byte) []byte {
	t.Helper()
	b, err := transfer.Parse(keyHSM)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := b.Open(w.environment)
	if err != nil || b.Header.KeyID != "env" {
		t.Fatalf("for %q: %v", b.Header.KeyID, err)
	}
	return plain
}

func TestAKeyGoesToWhomItsPolicyNames(t *testing.T) {
	w := newWorld(t)
	e := w.create(t, "ec", keys.CreateRequest{Type: "EC-HSM", Curve: "P-256K"})
	d, err := keys.DetailsOf(e.Version)
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range append(transfer.Schemes(), "") {
		keyHSM, err := w.ask(t, ref("ec"), w.token(t, "green", w.runtime()), scheme)
		if err != nil {
			t.Fatalf("%s: %v", scheme, err)
		}
		key, err := keystore.ParsePKCS8(w.open(t, keyHSM))
		if err != nil {
			t.Fatal(err)
		}
		x, _, err := keystore.Coordinates(key.(interface{ Public() crypto.PublicKey }).Public())
		if err != nil || !bytes.Equal(x, d.X) {
			t.Errorf("%s: another key came: %v", scheme, err)
		}
	}
	records, err := w.Trail.List(t.Context(), audit.Query{Operation: "KeyRelease", Limit: 1})
	if err != nil || len(records) != 1 || records[0].Details[audit.Issuer] != authority || records[0].Details[audit.Version] != e.Version.ID {
		t.Errorf("recorded: %+v, %v", records, err)
	}
}

func TestEveryTypeOfKeyCanGo(t *testing.T) {
	w := newWorld(t)
	for name, q := range map[string]keys.CreateRequest{
		"rsa": {Type: "RSA-HSM"}, "ec": {Type: "EC-HSM", Curve: "P-521"}, "oct": {Type: "oct-HSM", Bits: 192}, "akp": {Type: "AKP-HSM", Algorithm: "ML-DSA-44"},
	} {
		e := w.create(t, name, q)
		keyHSM, err := w.ask(t, object.Ref{Vault: vaulttest.Vault, Name: name, Version: e.Version.ID}, w.token(t, "green", w.runtime()), transfer.SHA256)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		plain := w.open(t, keyHSM)
		if name == "oct" {
			if len(plain) != 24 {
				t.Errorf("a symmetric key came with %d bytes", len(plain))
			}
			continue
		}
		if _, err := keystore.ParsePKCS8(plain); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAKeyStaysWithWhomNobodyVouchesFor(t *testing.T) {
	w := newWorld(t)
	e := w.create(t, "a", keys.CreateRequest{Type: "EC-HSM"})
	if _, err := w.keys.Create(t.Context(), w.Caller, ref("stays"), keys.CreateRequest{Type: "EC-HSM"}); err != nil {
		t.Fatal(err)
	}
	good := w.token(t, "green", w.runtime())
	for _, c := range []struct {
		name   string
		ref    object.Ref
		target string
		scheme transfer.Scheme
		code   string
	}{
		{"another color", ref("a"), w.token(t, "red", w.runtime()), "", "AccessDenied"},
		{"no token", ref("a"), "x", "", "AccessDenied"},
		{"a changed token", ref("a"), good[:len(good)-8] + "AAAAAAAA", "", "AccessDenied"},
		{"no key to send to", ref("a"), w.token(t, "green", nil), "", "BadParameter"},
		{"nothing", ref("a"), "", "", "BadParameter"},
		{"an unknown scheme", ref("a"), good, "A256GCM", "BadParameter"},
		{"a key that is not exportable", ref("stays"), good, "", "KeyOperationForbidden"},
		{"no key", ref("none"), good, "", "KeyNotFound"},
	} {
		if keyHSM, err := w.ask(t, c.ref, c.target, c.scheme); !fault.HasCode(err, c.code) || keyHSM != nil {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
	if len(w.signed) > 0 {
		t.Errorf("signed: %q", w.signed)
	}
	w.Advance(2 * time.Hour)
	if _, err := w.ask(t, ref("a"), good, ""); !fault.HasCode(err, "AccessDenied") {
		t.Errorf("expired: %v", err)
	}
	off := false
	if _, err := w.keys.Update(t.Context(), w.Caller, ref("a"), keys.UpdateRequest{Attributes: object.Attributes{Enabled: &off}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ask(t, object.Ref{Vault: vaulttest.Vault, Name: "a", Version: e.Version.ID}, w.token(t, "green", w.runtime()), ""); !fault.HasCode(err, "KeyDisabled") {
		t.Errorf("disabled: %v", err)
	}
	w.Deny("Microsoft.KeyVault/vaults/keys/release/action")
	if _, err := w.ask(t, ref("a"), good, ""); !fault.HasCode(err, "ForbiddenByRbac") {
		t.Errorf("without the role: %v", err)
	}
}

// What cannot be recorded or signed does not leave.
func TestNothingLeavesUnrecorded(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a", keys.CreateRequest{Type: "EC-HSM"})
	d := w.Deps
	d.Audit = mute{}
	s := release.New(release.Deps{Deps: d, Keys: w.keys, Verifier: w.keys.Authorities.(release.Verifier), Signer: w})
	q := release.Request{Target: w.token(t, "green", w.runtime()), Describe: func(object.Entry, transfer.Scheme, []byte) ([]byte, error) { return nil, nil }}
	if value, err := s.Release(t.Context(), w.Caller, ref("a"), q); err == nil || value != "" {
		t.Errorf("without a record: %q, %v", value, err)
	}
	w.broken = errors.New("no signature")
	if value, err := w.release.Release(t.Context(), w.Caller, ref("a"), q); err == nil || value != "" {
		t.Errorf("without a signature: %q, %v", value, err)
	}
}

type mute struct{}

func (mute) Record(context.Context, audit.Record) error { return errors.New("the trail is away") }
