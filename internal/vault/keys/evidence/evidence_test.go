package evidence_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/evidence"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

// plain signs by not signing, so that a test reads what was said.
type plain struct{}

func (plain) Sign(_ context.Context, _ string, payload []byte) (string, error) {
	return string(payload), nil
}
func (plain) Certificates(context.Context, string) ([]byte, error) { return []byte("chain"), nil }

// hardware is a keystore that proves what protects its keys.
type hardware struct{ *keystore.Software }

func (hardware) Name() string { return "tester HSM" }
func (hardware) Attest(_ context.Context, m keystore.Material) (keystore.Attestation, error) {
	return keystore.Attestation{Version: "tester", Certificates: []byte("vendor"), Private: slices.Clone(m[:4])}, nil
}

func start(t *testing.T, store keystore.Keystore) (*vaulttest.Floor, *keys.Service, *evidence.Service) {
	t.Helper()
	f := vaulttest.New(t, storagetest.SQLite(t))
	k := keys.New(f.Deps, store)
	return f, k, evidence.New(f.Deps, k, plain{})
}

func ref(name string) object.Ref { return object.Ref{Vault: vaulttest.Vault, Name: name} }

func TestSoftwareSaysThatItIsSoftware(t *testing.T) {
	f, k, s := start(t, keystore.NewSoftware())
	for name, q := range map[string]keys.CreateRequest{
		"rsa": {Type: "RSA-HSM"}, "ec": {Type: "EC", Curve: "P-256K"}, "akp": {Type: "AKP-HSM", Algorithm: "ML-DSA-44"}, "oct": {Type: "oct-HSM"},
	} {
		made, err := k.Create(t.Context(), f.Caller, ref(name), q)
		if err != nil {
			t.Fatal(err)
		}
		e, a, err := s.Attest(t.Context(), f.Caller, ref(name))
		if err != nil {
			t.Fatal(err)
		}
		if e.Version.ID != made.Version.ID || a.Version != evidence.Version || string(a.Certificates) != "chain" || (a.Public == nil) != (name == "oct") {
			t.Errorf("%s: %+v", name, a)
		}
		var said map[string]any
		if err := json.Unmarshal(a.Private, &said); err != nil {
			t.Fatal(err)
		}
		if said["keystore"] != "software" || said["hardware"] != false || said["extractable"] != true || said["exportable"] != false || said["kty"] != q.Type ||
			said["sub"] != "https://payroll.example.com:8443/keys/"+name+"/"+made.Version.ID || (said["jkt"] == nil) != (name == "oct") {
			t.Errorf("%s: %s", name, a.Private)
		}
	}
	if ops := f.Operations(t); ops[len(ops)-1] != "KeyGetAttestation" {
		t.Errorf("recorded: %q", ops)
	}
}

// The key of RFC 7638 section 3.1 has the thumbprint that stands there. It is public only,
// so there is nothing to say of a private half.
func TestTheThumbprintIsThatOfTheRFC(t *testing.T) {
	f, k, s := start(t, keystore.NewSoftware())
	var jwk keys.PrivateJWK
	if err := json.Unmarshal([]byte(`{"kty":"RSA","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}`), &jwk); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Import(t.Context(), f.Caller, ref("a"), keys.ImportRequest{Key: jwk}); err != nil {
		t.Fatal(err)
	}
	_, a, err := s.Attest(t.Context(), f.Caller, ref("a"))
	if err != nil || a.Private != nil {
		t.Fatalf("%s, %v", a.Private, err)
	}
	var said struct {
		JKT         string
		Keystore    string
		Extractable bool
	}
	if err := json.Unmarshal(a.Public, &said); err != nil || said.JKT != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" || said.Keystore != "" || said.Extractable {
		t.Errorf("%s: %v", a.Public, err)
	}
}

func TestHardwareSpeaksForItself(t *testing.T) {
	f, k, s := start(t, hardware{keystore.NewSoftware()})
	if _, err := k.Create(t.Context(), f.Caller, ref("a"), keys.CreateRequest{Type: "EC-HSM"}); err != nil {
		t.Fatal(err)
	}
	_, a, err := s.Attest(t.Context(), f.Caller, ref("a"))
	if err != nil || a.Version != "tester" || string(a.Certificates) != "vendor" || len(a.Private) != 4 {
		t.Errorf("%+v, %v", a, err)
	}
	f.Deny("Microsoft.KeyVault/vaults/keys/read")
	if _, _, err := s.Attest(t.Context(), f.Caller, ref("a")); !fault.Is(err, fault.Denied) {
		t.Errorf("without the role: %v", err)
	}
}
