package keys_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

func ref(name string) object.Ref { return object.Ref{Vault: vaulttest.Vault, Name: name} }

func version(name string, e object.Entry) object.Ref {
	return object.Ref{Vault: vaulttest.Vault, Name: name, Version: e.Version.ID}
}

// start gives a service on a temporary SQLite.
func start(t *testing.T) (*vaulttest.Floor, *keys.Service) {
	t.Helper()
	f := vaulttest.New(t, storagetest.SQLite(t))
	return f, keys.New(f.Deps, keystore.NewSoftware())
}

var specs = []keystore.Spec{
	{Type: keystore.RSA, Bits: 2048}, {Type: keystore.RSA, Bits: 3072}, {Type: keystore.RSA, Bits: 4096},
	{Type: keystore.EC, Curve: "P-256"}, {Type: keystore.EC, Curve: "P-384"}, {Type: keystore.EC, Curve: "P-521"}, {Type: keystore.EC, Curve: "P-256K"},
	{Type: keystore.Oct, Bits: 256}, {Type: keystore.Oct, Bits: 512}, {Type: keystore.AKP, Algorithm: "ML-DSA-87"},
}

// in is the input of an algorithm that takes a value alone.
func in(name string, value []byte) keys.Input {
	return keys.Input{Algorithm: name, Input: algorithm.Input{Value: value}}
}

func create(t *testing.T, f *vaulttest.Floor, s *keys.Service, name string, q keys.CreateRequest) object.Entry {
	t.Helper()
	e, err := s.Create(t.Context(), f.Caller, ref(name), q)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func details(t *testing.T, e object.Entry) keys.Details {
	t.Helper()
	d, err := keys.DetailsOf(e.Version)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestKeyLivesThroughItsWholeLife(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := vaulttest.New(t, db)
		s := keys.New(f.Deps, keystore.NewSoftware())
		ctx := t.Context()
		digest := sha256.Sum256([]byte("hello"))

		first := create(t, f, s, "Web", keys.CreateRequest{Type: "EC"})
		second := create(t, f, s, "web", keys.CreateRequest{Type: "EC"})
		old, err := s.Sign(ctx, f.Caller, version("web", first), in("ES256", digest[:]))
		if err != nil || old.Entry.Version.ID != first.Version.ID {
			t.Fatal(err)
		}
		latest, err := s.Sign(ctx, f.Caller, ref("WEB"), in("ES256", digest[:]))
		if err != nil || latest.Entry.Version.ID != second.Version.ID {
			t.Fatal(err)
		}
		if ok, err := s.Verify(ctx, f.Caller, version("web", first), in("ES256", digest[:]), old.Value); !ok || err != nil {
			t.Errorf("a version refuses its own signature: %v", err)
		}
		if ok, err := s.Verify(ctx, f.Caller, version("web", first), in("ES256", digest[:]), latest.Value); ok || err != nil {
			t.Errorf("a version accepts the signature of another, or fails: %v", err)
		}
		if e, err := s.Get(ctx, f.Caller, version("web", first)); err != nil || e.Head.Name != "Web" {
			t.Errorf("get %q: %v", e.Head.Name, err)
		}
		if l, err := s.Versions(ctx, f.Caller, ref("web"), object.Page{Limit: 25}); err != nil || len(l.Entries) != 2 {
			t.Errorf("versions %+v: %v", l, err)
		}

		if _, err := s.Delete(ctx, f.Caller, ref("web")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Sign(ctx, f.Caller, ref("web"), in("ES256", digest[:])); !fault.HasCode(err, "KeyNotFound") {
			t.Errorf("a deleted key signs: %v", err)
		}
		if _, err := s.Create(ctx, f.Caller, ref("web"), keys.CreateRequest{Type: "EC"}); !fault.HasCode(err, "ObjectIsDeletedButRecoverable") {
			t.Errorf("create over a deleted key: %v", err)
		}
		if _, err := s.Recover(ctx, f.Caller, ref("web")); err != nil {
			t.Fatal(err)
		}
		if ok, err := s.Verify(ctx, f.Caller, version("web", first), in("ES256", digest[:]), old.Value); !ok || err != nil {
			t.Errorf("after recovery: %v", err)
		}
		if _, err := s.Delete(ctx, f.Caller, ref("web")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.GetDeleted(ctx, f.Caller, ref("web")); err != nil {
			t.Error(err)
		}
		if err := s.Purge(ctx, f.Caller, ref("web")); err != nil {
			t.Fatal(err)
		}
		if l, err := s.ListDeleted(ctx, f.Caller, vaulttest.Vault, object.Page{Limit: 25}); err != nil || len(l.Entries) != 0 {
			t.Errorf("after purge: %+v, %v", l, err)
		}
		if l, err := s.List(ctx, f.Caller, vaulttest.Vault, object.Page{Limit: 25}); err != nil || len(l.Entries) != 0 {
			t.Errorf("after purge: %+v, %v", l, err)
		}

		want := []string{"KeyCreate", "KeyCreate", "KeySign", "KeySign", "KeyVerify", "KeyVerify", "KeyGet", "KeyListVersions", "KeyDelete", "KeySign failed",
			"KeyCreate failed", "KeyRecover", "KeyVerify", "KeyDelete", "KeyGetDeleted", "KeyPurge", "KeyListDeleted", "KeyList"}
		if d := cmp.Diff(want, f.Operations(t)); d != "" {
			t.Errorf("audit trail (-want +got):\n%s", d)
		}
		if e := f.Events(); len(e) != 2 || e[0].Type != "Microsoft.KeyVault.KeyNewVersionCreated" {
			t.Errorf("events %+v, want one for each version", e)
		}
	})
}

func TestCreateMakesWhatWasAskedFor(t *testing.T) {
	f, s := start(t)
	all, two := []keys.Operation{"encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"}, []keys.Operation{"sign", "verify"}
	for name, c := range map[string]struct {
		q    keys.CreateRequest
		kty  string
		spec keystore.Spec
		ops  []keys.Operation
	}{
		"default RSA":   {keys.CreateRequest{Type: "RSA"}, "RSA", specs[0], all},
		"RSA-3072":      {keys.CreateRequest{Type: "RSA", Bits: 3072, Exponent: 65537}, "RSA", specs[1], all},
		"RSA-4096":      {keys.CreateRequest{Type: "RSA-HSM", Bits: 4096}, "RSA-HSM", specs[2], all},
		"default EC":    {keys.CreateRequest{Type: "EC"}, "EC", specs[3], two},
		"P-384":         {keys.CreateRequest{Type: "EC-HSM", Curve: "P-384"}, "EC-HSM", specs[4], two},
		"P-521":         {keys.CreateRequest{Type: "EC", Curve: "P-521", Bits: 521}, "EC", specs[5], two},
		"for one use":   {keys.CreateRequest{Type: "RSA", Ops: []keys.Operation{"unwrapKey", "unwrapKey"}}, "RSA", specs[0], []keys.Operation{"unwrapKey"}},
		"for no use":    {keys.CreateRequest{Type: "EC", Ops: []keys.Operation{}}, "EC", specs[3], []keys.Operation{}},
		"P-256K":        {keys.CreateRequest{Type: "EC", Curve: "P-256K"}, "EC", specs[6], two},
		"default oct":   {keys.CreateRequest{Type: "oct"}, "oct", specs[7], []keys.Operation{"encrypt", "decrypt", "wrapKey", "unwrapKey"}},
		"oct for HMAC":  {keys.CreateRequest{Type: "oct-HSM", Bits: 512}, "oct-HSM", specs[8], two},
		"oct for both":  {keys.CreateRequest{Type: "oct", Bits: 256, Ops: all}, "oct", specs[7], all},
		"ML-DSA":        {keys.CreateRequest{Type: "AKP-HSM", Algorithm: "ML-DSA-87"}, "AKP-HSM", specs[9], two},
		"receives keys": {keys.CreateRequest{Type: "RSA-HSM", Ops: []keys.Operation{"import"}}, "RSA-HSM", specs[0], []keys.Operation{"import"}},
		"curve ignored": {keys.CreateRequest{Type: "RSA", Curve: "P-256"}, "RSA", specs[0], all},
	} {
		t.Run(name, func(t *testing.T) {
			d := details(t, create(t, f, s, strings.ReplaceAll(name, " ", "-"), c.q))
			spec := keystore.Spec{Type: keystore.Oct, Bits: d.Bits}
			if d.Bits == 0 {
				pub, err := d.Public()
				if err != nil {
					t.Fatal(err)
				}
				if spec, err = keystore.SpecOf(pub); err != nil {
					t.Fatal(err)
				}
			}

			if spec != c.spec || d.Type != c.kty || !slices.Equal(d.Ops, c.ops) {
				t.Errorf("made %s %s %v", d.Type, spec, d.Ops)
			}
			if d.HSMPlatform() != "0" {
				t.Errorf("a software key claims platform %q", d.HSMPlatform())
			}
		})
	}
}

func TestCreateRefusesWhatItCannotMake(t *testing.T) {
	f, s := start(t)
	nbf, exp := f.Time(), f.Time().Add(-time.Hour)
	for name, q := range map[string]keys.CreateRequest{
		"no type":               {},
		"oct of 64":             {Type: "oct-HSM", Bits: 64},
		"oct of 520":            {Type: "oct", Bits: 520},
		"oct of 129":            {Type: "oct", Bits: 129},
		"oct 512 that encrypts": {Type: "oct", Bits: 512, Ops: []keys.Operation{"encrypt"}},
		"AKP of no algorithm":   {Type: "AKP"},
		"AKP of another":        {Type: "AKP", Algorithm: "ES256"},
		"AKP that encrypts":     {Type: "AKP", Algorithm: "ML-DSA-44", Ops: []keys.Operation{"encrypt"}},
		"lower case":            {Type: "rsa"},
		"RSA 1024":              {Type: "RSA", Bits: 1024},
		"negative size":         {Type: "RSA", Bits: -2048},
		"P-224":                 {Type: "EC", Curve: "P-224"},
		"small exponent":        {Type: "RSA", Exponent: 3},
		"EC that encrypts":      {Type: "EC", Ops: []keys.Operation{"sign", "encrypt"}},
		"unknown operation":     {Type: "RSA", Ops: []keys.Operation{"mine"}},
		"soft key exchange key": {Type: "RSA", Ops: []keys.Operation{"import"}},
		"key exchange and more": {Type: "RSA-HSM", Ops: []keys.Operation{"import", "decrypt"}},
		"export of nothing":     {Type: "RSA-HSM", Ops: []keys.Operation{"export"}},
		"exp before nbf":        {Type: "EC", Attributes: object.Attributes{NotBefore: &nbf, Expires: &exp}},
	} {
		if _, err := s.Create(t.Context(), f.Caller, ref("a"), q); !fault.HasCode(err, "BadParameter") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Create(t.Context(), f.Caller, ref("no_name"), keys.CreateRequest{Type: "EC"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a bad name: %v", err)
	}
	if _, err := s.Get(t.Context(), f.Caller, ref("a")); !fault.HasCode(err, "KeyNotFound") {
		t.Errorf("something was made: %v", err)
	}
}

func TestUseFollowsOperationsStateAndDates(t *testing.T) {
	f, s := start(t)
	now := f.Time()
	at := func(d time.Duration) *time.Time { x := now.Add(d); return &x }
	off := false
	all := []string{"sign", "verify", "encrypt", "decrypt", "wrapKey", "unwrapKey"}
	old := []string{"verify", "decrypt", "unwrapKey"} // what reads what a key protected before
	for name, c := range map[string]struct {
		ops     []keys.Operation
		attr    object.Attributes
		allowed []string
		code    string
	}{
		"plain":          {nil, object.Attributes{}, all, ""},
		"disabled":       {nil, object.Attributes{Enabled: &off}, nil, "KeyDisabled"},
		"not yet":        {nil, object.Attributes{NotBefore: at(time.Second)}, old, "KeyNotYetValid"},
		"just now":       {nil, object.Attributes{NotBefore: at(0)}, all, ""},
		"expired":        {nil, object.Attributes{Expires: at(0)}, old, "KeyExpired"},
		"soon":           {nil, object.Attributes{Expires: at(time.Second)}, all, ""},
		"sign only":      {[]keys.Operation{"sign"}, object.Attributes{}, []string{"sign"}, "KeyOperationForbidden"},
		"unwrap only":    {[]keys.Operation{"unwrapKey"}, object.Attributes{}, []string{"unwrapKey"}, "KeyOperationForbidden"},
		"nothing":        {[]keys.Operation{}, object.Attributes{}, nil, "KeyOperationForbidden"},
		"both forbidden": {[]keys.Operation{"verify"}, object.Attributes{Enabled: &off}, nil, "KeyDisabled"},
	} {
		t.Run(name, func(t *testing.T) {
			key := strings.ReplaceAll(name, " ", "-")
			e := create(t, f, s, key, keys.CreateRequest{Type: "RSA"})
			pub, err := details(t, e).Public()
			if err != nil {
				t.Fatal(err)
			}
			ciphertext := encrypted(t, pub, "RSA-OAEP-256", "hello")
			if _, err := s.Update(t.Context(), f.Caller, ref(key), keys.UpdateRequest{Ops: c.ops, Attributes: c.attr}); err != nil {
				t.Fatal(err)
			}

			for op, err := range useAll(t, f, s, ref(key), ciphertext) {
				if slices.Contains(c.allowed, op) {
					if err != nil {
						t.Errorf("%s is refused: %v", op, err)
					}
				} else if !fault.Is(err, fault.Denied) || !fault.HasCode(err, c.code) || !strings.Contains(err.Error(), op) {
					t.Errorf("%s: %v, want %s", op, err, c.code)
				}
			}
		})
	}
}

// useAll does everything that a key can do and returns each error.
func useAll(t *testing.T, f *vaulttest.Floor, s *keys.Service, r object.Ref, ciphertext []byte) map[string]error {
	t.Helper()
	ctx, digest := t.Context(), make([]byte, 32)
	errs := map[string]error{}
	_, errs["sign"] = s.Sign(ctx, f.Caller, r, in("PS256", digest))
	_, errs["verify"] = s.Verify(ctx, f.Caller, r, in("PS256", digest), nil)
	_, errs["encrypt"] = s.Encrypt(ctx, f.Caller, r, in("RSA-OAEP-256", digest))
	_, errs["decrypt"] = s.Decrypt(ctx, f.Caller, r, in("RSA-OAEP-256", ciphertext))
	_, errs["wrapKey"] = s.WrapKey(ctx, f.Caller, r, in("RSA-OAEP-256", digest))
	_, errs["unwrapKey"] = s.UnwrapKey(ctx, f.Caller, r, in("RSA-OAEP-256", ciphertext))
	return errs
}

func encrypted(t *testing.T, pub crypto.PublicKey, name, text string) []byte {
	t.Helper()
	spec, err := keystore.SpecOf(pub)
	if err != nil {
		t.Fatal(err)
	}
	a, err := algorithm.Find(name, algorithm.Encrypt, spec)
	if err != nil {
		t.Fatal(err)
	}
	out, err := a.Encrypt(algorithm.Key{Spec: spec, Public: pub}, algorithm.Input{Value: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return out.Value
}

func TestWhatIsEncryptedIsDecryptedAndWhatIsWrappedUnwrapped(t *testing.T) {
	f, s := start(t)
	ctx := t.Context()
	create(t, f, s, "a", keys.CreateRequest{Type: "RSA"})
	for _, name := range []string{"RSA1_5", "RSA-OAEP", "RSA-OAEP-256"} {
		enc, err := s.Encrypt(ctx, f.Caller, ref("a"), in(name, []byte("hello")))
		if err != nil {
			t.Fatal(err)
		}
		dec, err := s.Decrypt(ctx, f.Caller, ref("a"), in(name, enc.Value))
		if err != nil || string(dec.Value) != "hello" {
			t.Errorf("%s: decrypted %q, %v", name, dec.Value, err)
		}
		wrapped, err := s.WrapKey(ctx, f.Caller, ref("a"), in(name, []byte("key")))
		if err != nil {
			t.Fatal(err)
		}
		unwrapped, err := s.UnwrapKey(ctx, f.Caller, ref("a"), in(name, wrapped.Value))
		if err != nil || string(unwrapped.Value) != "key" {
			t.Errorf("%s: unwrapped %q, %v", name, unwrapped.Value, err)
		}
	}
	if _, err := s.Encrypt(ctx, f.Caller, ref("a"), in("RS256", []byte("hello"))); !fault.Is(err, fault.Invalid) {
		t.Errorf("encrypted with RS256: %v", err)
	}
}

func TestEveryUseIsRecordedWithVersionAndAlgorithm(t *testing.T) {
	f, s := start(t)
	e := create(t, f, s, "Web", keys.CreateRequest{Type: "RSA"})
	pub, err := details(t, e).Public()
	if err != nil {
		t.Fatal(err)
	}
	for op, err := range useAll(t, f, s, ref("web"), encrypted(t, pub, "RSA-OAEP-256", "x")) {
		if err != nil {
			t.Fatal(op, err)
		}
	}

	records, err := f.Trail.List(t.Context(), audit.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(records)
	var got []string
	for _, r := range records {
		got = append(got, fmt.Sprint(r.Operation, " ", r.Target, " ", r.Details[audit.Algorithm], r.Details[audit.KeyType], " ", r.Details[audit.Version] == e.Version.ID))
	}
	want := []string{
		"KeyCreate /vaults/payroll/keys/web RSA 2048 true",
		"KeySign /vaults/payroll/keys/web PS256 true", "KeyVerify /vaults/payroll/keys/web PS256 true",
		"KeyEncrypt /vaults/payroll/keys/web RSA-OAEP-256 true", "KeyDecrypt /vaults/payroll/keys/web RSA-OAEP-256 true",
		"KeyWrap /vaults/payroll/keys/web RSA-OAEP-256 true", "KeyUnwrap /vaults/payroll/keys/web RSA-OAEP-256 true",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
}

// mute is a trail that can no longer be written.
type mute struct{}

var errMute = errors.New("the disk is full")

func (mute) Record(context.Context, audit.Record) error { return errMute }

func TestNothingIsAnsweredThatCannotBeRecorded(t *testing.T) {
	f, s := start(t)
	e := create(t, f, s, "a", keys.CreateRequest{Type: "RSA"})
	pub, err := details(t, e).Public()
	if err != nil {
		t.Fatal(err)
	}
	ciphertext := encrypted(t, pub, "RSA-OAEP", "secret")
	d := f.Deps
	d.Audit = mute{}
	silent := keys.New(d, keystore.NewSoftware())
	ctx, digest := t.Context(), make([]byte, 32)

	signed, errSign := silent.Sign(ctx, f.Caller, ref("a"), in("RS256", digest))
	plain, errDecrypt := silent.Decrypt(ctx, f.Caller, ref("a"), in("RSA-OAEP", ciphertext))
	key, errUnwrap := silent.UnwrapKey(ctx, f.Caller, ref("a"), in("RSA-OAEP", ciphertext))
	got, errGet := silent.Get(ctx, f.Caller, ref("a"))
	_, errCreate := silent.Create(ctx, f.Caller, ref("b"), keys.CreateRequest{Type: "EC"})

	for what, err := range map[string]error{"sign": errSign, "decrypt": errDecrypt, "unwrap": errUnwrap, "get": errGet, "create": errCreate} {
		if !errors.Is(err, errMute) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if signed.Value != nil || plain.Value != nil || key.Value != nil || got.Version.ID != "" {
		t.Error("an answer came without its record")
	}
	if _, err := s.Get(ctx, f.Caller, ref("b")); !fault.Is(err, fault.NotFound) {
		t.Errorf("a key was made without its record: %v", err)
	}
}

func TestEachOperationNeedsItsOwnAction(t *testing.T) {
	f, s := start(t)
	e := create(t, f, s, "a", keys.CreateRequest{Type: "RSA"})
	pub, err := details(t, e).Public()
	if err != nil {
		t.Fatal(err)
	}
	ciphertext := encrypted(t, pub, "RSA-OAEP-256", "x")
	action := map[string]string{"sign": "sign", "verify": "verify", "encrypt": "encrypt", "decrypt": "decrypt", "wrapKey": "wrap", "unwrapKey": "unwrap"}
	for _, op := range []string{"sign", "verify", "encrypt", "decrypt", "wrapKey", "unwrapKey"} {
		f.Deny(accessAction("keys/" + action[op] + "/action"))

		errs := useAll(t, f, s, ref("a"), ciphertext)

		if !fault.HasCode(errs[op], "ForbiddenByRbac") {
			t.Errorf("%s without its action: %v", op, errs[op])
		}
	}
	for _, a := range []string{"keys/create/action", "keys/import/action", "keys/read", "keys/update/action"} {
		f.Deny(accessAction(a))
	}
	_, errCreate := s.Create(t.Context(), f.Caller, ref("b"), keys.CreateRequest{Type: "EC"})
	_, errImport := s.Import(t.Context(), f.Caller, ref("b"), keys.ImportRequest{})
	_, errGet := s.Get(t.Context(), f.Caller, ref("a"))
	_, errUpdate := s.Update(t.Context(), f.Caller, ref("a"), keys.UpdateRequest{})
	for what, err := range map[string]error{"create": errCreate, "import": errImport, "get": errGet, "update": errUpdate} {
		if !fault.HasCode(err, "ForbiddenByRbac") {
			t.Errorf("%s without its action: %v", what, err)
		}
	}
}

func TestUpdateChangesOperationsAndAttributesOnly(t *testing.T) {
	f, s := start(t)
	ctx := t.Context()
	e := create(t, f, s, "a", keys.CreateRequest{Type: "RSA", Attributes: object.Attributes{Tags: map[string]string{"k": "v"}}})

	got, err := s.Update(ctx, f.Caller, ref("a"), keys.UpdateRequest{Ops: []keys.Operation{"verify", "sign"}})
	if err != nil {
		t.Fatal(err)
	}

	was, is := details(t, e), details(t, got)
	if !slices.Equal(is.Ops, []keys.Operation{"verify", "sign"}) || !bytes.Equal(was.N, is.N) || got.Version.Tags["k"] != "v" || got.Version.ID != e.Version.ID {
		t.Errorf("updated to %+v, tags %v", is, got.Version.Tags)
	}
	if _, err := s.Sign(ctx, f.Caller, ref("a"), in("RS256", make([]byte, 32))); err != nil {
		t.Errorf("the key is lost: %v", err)
	}
	for name, q := range map[string]keys.UpdateRequest{
		"unknown operation": {Ops: []keys.Operation{"import"}},
	} {
		if _, err := s.Update(ctx, f.Caller, ref("a"), q); !fault.HasCode(err, "BadParameter") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDatabaseFileHoldsNoPartOfAPrivateKey(t *testing.T) {
	dir := t.TempDir()
	f := vaulttest.New(t, storagetest.Open(t, storage.Config{Dir: dir}))
	s := keys.New(f.Deps, keystore.NewSoftware())
	r := rsaKey(t)
	if _, err := s.Import(t.Context(), f.Caller, ref("a"), keys.ImportRequest{Key: rsaJWK(r)}); err != nil {
		t.Fatal(err)
	}

	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no database files", err)
	}
	secret := r.Primes[0].Bytes()
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for shift := range 3 { // base64 of a run of bytes depends on where it begins
			for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				text := enc.EncodeToString(secret[32+shift : 92+shift])
				if bytes.Contains(b, []byte(text)) {
					t.Errorf("%s holds a prime in base64", filepath.Base(name))
				}
			}
		}
		if bytes.Contains(b, secret[:48]) {
			t.Errorf("%s holds a prime", filepath.Base(name))
		}
	}
}

func TestManagedKeysAreChangedByTheirCertificateOnly(t *testing.T) {
	f, s := start(t)
	ctx := t.Context()
	m, err := s.Make(ctx, keys.Wanted{Type: "RSA", Bits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	put := func(name, id string) error {
		v, err := f.Vaults.Open(ctx, vaulttest.Vault)
		if err != nil {
			return err
		}
		return f.Transact(ctx, func(ctx context.Context) error {
			_, err := s.PutManaged(ctx, v, name, object.Version{ID: id, Enabled: true}, m)
			return err
		})
	}
	id := object.NewVersionID()
	if err := put("web", id); err != nil {
		t.Fatal(err)
	}

	e, err := s.Get(ctx, f.Caller, ref("web"))
	if err != nil || e.Version.ID != id || !e.Version.Managed || !e.Head.Managed {
		t.Fatalf("managed key %+v: %v", e.Head, err)
	}
	signed, err := s.Sign(ctx, f.Caller, ref("web"), in("RS256", make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	for what, open := range map[string]func() (keystore.Private, error){
		"made":   func() (keystore.Private, error) { return s.OpenMade(ctx, m) },
		"stored": func() (keystore.Private, error) { return s.OpenVersion(ctx, e.Version) },
	} {
		p, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if err := rsa.VerifyPKCS1v15(p.Public().(*rsa.PublicKey), crypto.SHA256, make([]byte, 32), signed.Value); err != nil {
			t.Errorf("%s: another key than the one that signs: %v", what, err)
		}
	}

	_, errCreate := s.Create(ctx, f.Caller, ref("web"), keys.CreateRequest{Type: "EC"})
	_, errDelete := s.Delete(ctx, f.Caller, ref("web"))
	for what, err := range map[string]error{"create": errCreate, "delete": errDelete} {
		if !fault.HasCode(err, "ManagedObject") {
			t.Errorf("%s: %v", what, err)
		}
	}
	create(t, f, s, "own", keys.CreateRequest{Type: "EC"})
	if err := put("own", object.NewVersionID()); !fault.Is(err, fault.Conflict) {
		t.Errorf("a certificate takes over a key that is nobody's: %v", err)
	}
}

func TestAKeyOfAnotherKeystoreIsUnavailable(t *testing.T) {
	f, s := start(t)
	create(t, f, s, "a", keys.CreateRequest{Type: "EC"})
	other := keys.New(f.Deps, renamed{keystore.NewSoftware()})

	_, err := other.Sign(t.Context(), f.Caller, ref("a"), in("ES256", make([]byte, 32)))

	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("answered %v", err)
	}
}

type renamed struct{ *keystore.Software }

func (renamed) Name() string { return "hsm-1" }

func TestSignaturesVerifyUnderThePublicHalfThatClientsSee(t *testing.T) {
	f, s := start(t)
	for kty, curve := range map[string]string{"RSA": "", "EC": "P-384"} {
		d := details(t, create(t, f, s, kty, keys.CreateRequest{Type: kty, Curve: curve}))
		pub, err := d.Public()
		if err != nil {
			t.Fatal(err)
		}
		switch p := pub.(type) {
		case *rsa.PublicKey:
			r, err := s.Sign(t.Context(), f.Caller, ref(kty), in("RS256", make([]byte, 32)))
			if err != nil || rsa.VerifyPKCS1v15(p, crypto.SHA256, make([]byte, 32), r.Value) != nil {
				t.Errorf("RSA: %v", err)
			}
		case *ecdsa.PublicKey:
			r, err := s.Sign(t.Context(), f.Caller, ref(kty), in("ES384", make([]byte, 48)))
			if err != nil || !ecdsa.Verify(p, make([]byte, 48), number(r.Value[:48]), number(r.Value[48:])) {
				t.Errorf("EC: %v", err)
			}
		}
	}
}
