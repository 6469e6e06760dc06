package keys_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/transfer"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

// exchange makes a key exchange key and returns its id and public half.
func exchange(t *testing.T, f *vaulttest.Floor, s *keys.Service, bits int) (id string, pub *rsa.PublicKey) {
	t.Helper()
	e, err := s.Create(t.Context(), f.Caller, ref("kek"), keys.CreateRequest{Type: "RSA-HSM", Bits: bits, Ops: []keys.Operation{keys.Import}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := details(t, e).Public()
	if err != nil {
		t.Fatal(err)
	}
	return "https://payroll.example.com:8443/keys/kek/" + e.Version.ID, p.(*rsa.PublicKey)
}

// blob is a .byok file with a secret for a key exchange key.
func blob(t testing.TB, id string, pub *rsa.PublicKey, secret []byte, change ...func(*transfer.Blob)) []byte {
	t.Helper()
	b, err := transfer.Seal(transfer.SHA1, id, pub, secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(&b)
	}
	file, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// inside is a key to import that is in a blob, as JSON brings it.
func inside(t testing.TB, kty, curve string, file []byte) (k keys.PrivateJWK) {
	t.Helper()
	text, err := json.Marshal(map[string]string{"kty": kty, "crv": curve, "key_hsm": base64.StdEncoding.EncodeToString(file)})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &k); err != nil {
		t.Fatal(err)
	}
	return k
}

func pkcs8(t testing.TB, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := keystore.MarshalPKCS8(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func ecKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAKeyComesInATransferBlob(t *testing.T) {
	for _, bits := range []int{2048, 3072, 4096} {
		f, s := start(t)
		id, pub := exchange(t, f, s, bits)
		ec, r := ecKey(t, elliptic.P256()), rsaKey(t)

		e, err := s.Import(t.Context(), f.Caller, ref("ec"), keys.ImportRequest{Key: inside(t, "EC-HSM", "P-256", blob(t, id, pub, pkcs8(t, ec)))})
		if err != nil {
			t.Fatal(err)
		}
		digest := make([]byte, 32)
		if got, err := details(t, e).Public(); err != nil || !ec.PublicKey.Equal(got) || details(t, e).Type != "EC-HSM" {
			t.Errorf("the key that came is another: %v", err)
		}
		if res, err := s.Sign(t.Context(), f.Caller, ref("ec"), keys.Input{Algorithm: "ES256", Value: digest}); err != nil || len(res.Value) != 64 {
			t.Errorf("it does not sign: %v", err)
		}
		if e, err = s.Import(t.Context(), f.Caller, ref("rsa"), keys.ImportRequest{Key: inside(t, "RSA-HSM", "", blob(t, id, pub, pkcs8(t, r)))}); err != nil {
			t.Fatal(err)
		}
		if got, err := details(t, e).Public(); err != nil || !r.PublicKey.Equal(got) {
			t.Errorf("the key that came is another: %v", err)
		}
		if e, err = s.Import(t.Context(), f.Caller, ref("oct"), keys.ImportRequest{Key: inside(t, "oct-HSM", "", blob(t, id, pub, make([]byte, 32)))}); err != nil {
			t.Fatal(err)
		}
		if d := details(t, e); d.Type != "oct-HSM" || d.Bits != 256 {
			t.Errorf("a symmetric key came as %s of %d bits", d.Type, d.Bits)
		}
		records, err := f.Trail.List(t.Context(), audit.Query{Limit: 1, Operation: "KeyImport"})
		if err != nil || records[0].Details[audit.Exchange] != strings.TrimPrefix(id, "https://payroll.example.com:8443/keys/") {
			t.Errorf("the record does not tell by which key it came: %+v, %v", records, err)
		}
	}
}

func TestWhatIsNotMeantForTheExchangeKeyIsRefused(t *testing.T) {
	f, s := start(t)
	id, pub := exchange(t, f, s, 2048)
	ec := ecKey(t, elliptic.P384())
	good := blob(t, id, pub, pkcs8(t, ec))
	wrongEnd := func(b *transfer.Blob) { b.Ciphertext = b.Ciphertext[:len(b.Ciphertext)-8] + "AAAAAAAA" }
	wrongStart := func(b *transfer.Blob) { b.Ciphertext = "AAAAAAAA" + b.Ciphertext[8:] }
	other := rsaKey(t)
	softer, err := s.Create(t.Context(), f.Caller, ref("decrypts"), keys.CreateRequest{Type: "RSA-HSM"})
	if err != nil {
		t.Fatal(err)
	}
	soft, err := details(t, softer).Public()
	if err != nil {
		t.Fatal(err)
	}
	softID := "https://payroll.example.com:8443/keys/decrypts/" + softer.Version.ID
	with := func(k keys.PrivateJWK, change func(*keys.PrivateJWK)) keys.PrivateJWK { change(&k); return k }

	uniform := ""
	for _, c := range []struct {
		name string
		key  keys.PrivateJWK
		code string
		same bool // as every other that does not unwrap
	}{
		{"changed at the end", inside(t, "EC-HSM", "", blob(t, id, pub, pkcs8(t, ec), wrongEnd)), "BadParameter", true},
		{"changed at the start", inside(t, "EC-HSM", "", blob(t, id, pub, pkcs8(t, ec), wrongStart)), "BadParameter", true},
		{"for another key", inside(t, "EC-HSM", "", blob(t, id, &other.PublicKey, pkcs8(t, ec))), "BadParameter", true},
		{"too short", inside(t, "EC-HSM", "", blob(t, id, pub, []byte{0}, func(b *transfer.Blob) { b.Ciphertext = "AAAA" })), "BadParameter", true},
		{"another scheme", inside(t, "EC-HSM", "", blob(t, id, pub, pkcs8(t, ec), func(b *transfer.Blob) { b.Header.Scheme = transfer.SHA256 })), "BadParameter", false},
		{"no blob", inside(t, "EC-HSM", "", []byte("{}")), "BadParameter", false},
		{"a soft type", inside(t, "EC", "", good), "BadParameter", false},
		{"another type", inside(t, "RSA-HSM", "", good), "BadParameter", false},
		{"another curve", inside(t, "EC-HSM", "P-256", good), "BadParameter", false},
		{"a symmetric key of a length that is none", inside(t, "oct-HSM", "", blob(t, id, pub, make([]byte, 65))), "BadParameter", false},
		{"rubbish", inside(t, "EC-HSM", "", blob(t, id, pub, []byte("rubbish"))), "BadParameter", false},
		{"an RSA key that is too small", inside(t, "RSA-HSM", "", blob(t, id, pub, pkcs8(t, smallRSA(t)))), "BadParameter", false},
		{"and parts", with(inside(t, "EC-HSM", "", good), func(k *keys.PrivateJWK) { k.D = keys.Bytes{1} }), "BadParameter", false},
		{"a key that decrypts", inside(t, "EC-HSM", "", blob(t, softID, soft.(*rsa.PublicKey), pkcs8(t, ec))), "KeyOperationForbidden", false},
		{"a key of another vault", inside(t, "EC-HSM", "", blob(t, strings.Replace(id, "payroll", "other", 1), pub, pkcs8(t, ec))), "BadParameter", false},
		{"a secret", inside(t, "EC-HSM", "", blob(t, strings.Replace(id, "/keys/", "/secrets/", 1), pub, pkcs8(t, ec))), "BadParameter", false},
		{"no version", inside(t, "EC-HSM", "", blob(t, id[:strings.LastIndex(id, "/")], pub, pkcs8(t, ec))), "BadParameter", false},
		{"a key that is not there", inside(t, "EC-HSM", "", blob(t, strings.Replace(id, "/kek/", "/none/", 1), pub, pkcs8(t, ec))), "KeyNotFound", false},
	} {
		_, err := s.Import(t.Context(), f.Caller, ref("new"), keys.ImportRequest{Key: c.key})
		if !fault.HasCode(err, c.code) {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
			continue
		}
		if message := fault.Of(err).Message; c.same {
			if uniform == "" {
				uniform = message
			}
			if message != uniform {
				t.Errorf("%s is told apart: %s", c.name, message)
			}
		}
	}
	if _, err := s.Import(t.Context(), f.Caller, ref("new"), keys.ImportRequest{Key: inside(t, "EC-HSM", "P-384", good)}); err != nil {
		t.Errorf("the good one: %v", err)
	}
	off := false
	if _, err := s.Update(t.Context(), f.Caller, ref("kek"), keys.UpdateRequest{Attributes: object.Attributes{Enabled: &off}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), f.Caller, ref("new"), keys.ImportRequest{Key: inside(t, "EC-HSM", "", good)}); !fault.HasCode(err, "KeyDisabled") {
		t.Errorf("under a disabled key: %v", err)
	}
}

func smallRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A key that receives others must do nothing else: what it received could be read with it.
func TestAnExchangeKeyDoesNothingElse(t *testing.T) {
	f, s := start(t)
	exchange(t, f, s, 2048)
	r := ref("kek")
	for name, use := range map[string]func(ctx context.Context) error{
		"decrypt": func(ctx context.Context) error {
			_, err := s.Decrypt(ctx, f.Caller, r, keys.Input{Algorithm: "RSA-OAEP", Value: make([]byte, 256)})
			return err
		},
		"unwrap": func(ctx context.Context) error {
			_, err := s.UnwrapKey(ctx, f.Caller, r, keys.Input{Algorithm: "RSA-OAEP", Value: make([]byte, 256)})
			return err
		},
		"sign": func(ctx context.Context) error {
			_, err := s.Sign(ctx, f.Caller, r, keys.Input{Algorithm: "RS256", Value: make([]byte, 32)})
			return err
		},
	} {
		if err := use(t.Context()); !fault.HasCode(err, "KeyOperationForbidden") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if ops := f.Operations(t); !slices.Contains(ops, "KeySign failed") {
		t.Errorf("recorded: %q", ops)
	}
}
