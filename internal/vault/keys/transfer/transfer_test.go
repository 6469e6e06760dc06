package transfer_test

import (
	"bytes"
	"crypto/aes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keys/transfer"
	"chatelaine.dev/internal/vault/keystore/keywrap"
)

func receiver(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatIsSealedOpensForItsReceiverAlone(t *testing.T) {
	other := receiver(t, 2048)
	for _, bits := range []int{2048, 3072, 4096} {
		k := receiver(t, bits)
		for _, scheme := range transfer.Schemes() {
			for _, n := range []int{1, 16, 31, 32, 1217, 2400} {
				secret := make([]byte, n)
				_, _ = rand.Read(secret)
				b, err := transfer.Seal(scheme, "kid", k.Public().(*rsa.PublicKey), secret)
				if err != nil {
					t.Fatal(err)
				}
				file, err := json.Marshal(b)
				if err != nil {
					t.Fatal(err)
				}
				if b, err = transfer.Parse(file); err != nil {
					t.Fatal(err)
				}
				if got, err := b.Open(k); err != nil || !bytes.Equal(got, secret) {
					t.Errorf("%s, RSA %d, %d bytes: %v", scheme, bits, n, err)
				}
				if got, err := b.Open(other); !errors.Is(err, transfer.ErrOpen) || got != nil {
					t.Errorf("%s, RSA %d, %d bytes: another key: %v", scheme, bits, n, err)
				}
			}
		}
	}
}

func TestAnyChangeIsTheSameFailure(t *testing.T) {
	k := receiver(t, 2048)
	b, err := transfer.Seal(transfer.SHA1, "kid", &k.PublicKey, bytes.Repeat([]byte{7}, 40))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(b.Ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	open := func(raw []byte, scheme transfer.Scheme) {
		t.Helper()
		c := b
		c.Ciphertext, c.Header.Scheme = base64.RawURLEncoding.EncodeToString(raw), scheme
		if got, err := c.Open(k); err != transfer.ErrOpen || got != nil { //nolint:errorlint // not even a wrapped cause
			t.Errorf("%d bytes, %s: %v", len(raw), scheme, err)
		}
	}
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		open(changed, transfer.SHA1)
	}
	open(raw, transfer.SHA256)
	for _, n := range []int{0, 1, 255, 256, 257, 264, len(raw) - 8, len(raw) - 1} {
		open(raw[:n], transfer.SHA1)
	}
	open(append(bytes.Clone(raw), make([]byte, 8)...), transfer.SHA1)
}

// A key of another length than AES-256's is none of ours, even where the second part opens
// with what there is of it.
func TestTheInnerKeyIsOfAES256(t *testing.T) {
	k := receiver(t, 2048)
	for _, n := range []int{16, 24, 33, 64} {
		inner := make([]byte, n)
		block, err := aes.NewCipher(inner[:min(n, 32)])
		if err != nil {
			t.Fatal(err)
		}
		second, err := keywrap.WrapPad(block, []byte("secret"))
		if err != nil {
			t.Fatal(err)
		}
		first, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &k.PublicKey, inner, nil)
		if err != nil {
			t.Fatal(err)
		}
		b := transfer.Blob{Schema: "1.0.0", Header: transfer.Header{KeyID: "kid", Algorithm: "dir", Scheme: transfer.SHA256}}
		b.Ciphertext = base64.RawURLEncoding.EncodeToString(append(first, second...))
		if _, err := b.Open(k); !errors.Is(err, transfer.ErrOpen) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestWhatIsNoBlobIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":           "",
		"no JSON":           "ciphertext",
		"a list":            "[]",
		"two":               `{"schema_version":"1.0.0","header":{"kid":"k","alg":"dir","enc":"CKM_RSA_AES_KEY_WRAP"},"ciphertext":"AAAA"}{}`,
		"another schema":    `{"schema_version":"2.0.0","header":{"kid":"k","alg":"dir","enc":"CKM_RSA_AES_KEY_WRAP"},"ciphertext":"AAAA"}`,
		"another algorithm": `{"schema_version":"1.0.0","header":{"kid":"k","alg":"RSA-OAEP","enc":"CKM_RSA_AES_KEY_WRAP"},"ciphertext":"AAAA"}`,
		"another scheme":    `{"schema_version":"1.0.0","header":{"kid":"k","alg":"dir","enc":"A256GCM"},"ciphertext":"AAAA"}`,
		"no kid":            `{"schema_version":"1.0.0","header":{"alg":"dir","enc":"CKM_RSA_AES_KEY_WRAP"},"ciphertext":"AAAA"}`,
		"no ciphertext":     `{"schema_version":"1.0.0","header":{"kid":"k","alg":"dir","enc":"CKM_RSA_AES_KEY_WRAP"}}`,
		"no base64url":      `{"schema_version":"1.0.0","header":{"kid":"k","alg":"dir","enc":"CKM_RSA_AES_KEY_WRAP"},"ciphertext":"A+/A"}`,
		"too large":         `{"schema_version":"1.0.0","generator":"` + strings.Repeat("x", transfer.MaxSize) + `"}`,
	} {
		if _, err := transfer.Parse([]byte(text)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// openssl makes the two parts as Microsoft's description of .byok files has it, and the
// other way round reads what Seal made.
func TestBlobsAreOpenSSLs(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(path(name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v\n%s", args[0], err, out)
		}
	}
	k := receiver(t, 2048)
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	target, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(target)
	if err != nil {
		t.Fatal(err)
	}
	aesKey := bytes.Repeat([]byte{0x5a}, 32)
	hexKey := strings.Repeat("5a", 32)
	write("kek.der", private)
	write("target.der", secret)
	write("aes.key", aesKey)

	run("pkeyutl", "-encrypt", "-inkey", path("kek.der"), "-keyform", "DER", "-pkeyopt", "rsa_padding_mode:oaep", "-in", path("aes.key"), "-out", path("first"))
	run("enc", "-id-aes256-wrap-pad", "-K", hexKey, "-iv", "A65959A6", "-in", path("target.der"), "-out", path("second"))
	b := transfer.Blob{Schema: "1.0.0", Header: transfer.Header{KeyID: "kid", Algorithm: "dir", Scheme: transfer.SHA1}}
	b.Ciphertext = base64.RawURLEncoding.EncodeToString(append(read("first"), read("second")...))
	if got, err := b.Open(k); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("what openssl made: %v", err)
	}

	if b, err = transfer.Seal(transfer.SHA1, "kid", &k.PublicKey, secret); err != nil {
		t.Fatal(err)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(b.Ciphertext)
	write("first", raw[:256])
	write("second", raw[256:])
	run("pkeyutl", "-decrypt", "-inkey", path("kek.der"), "-keyform", "DER", "-pkeyopt", "rsa_padding_mode:oaep", "-in", path("first"), "-out", path("aes.key"))
	run("enc", "-d", "-id-aes256-wrap-pad", "-K", hex.EncodeToString(read("aes.key")), "-iv", "A65959A6", "-in", path("second"), "-out", path("target.der"))
	if !bytes.Equal(read("target.der"), secret) {
		t.Error("openssl reads something else than was sealed")
	}
}

func FuzzBlob(f *testing.F) {
	k := receiver(f, 2048)
	b, err := transfer.Seal(transfer.SHA1, "https://v.example/keys/kek/0123", &k.PublicKey, []byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	file, err := json.Marshal(b)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte(`{"schema_version":"1.0.0","header":{"kid":"k","alg":"dir","enc":"RSA_AES_KEY_WRAP_384"},"ciphertext":"AAAA"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := transfer.Parse(data)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%v is no fault.Invalid", err)
			}
			return
		}
		if plain, err := b.Open(k); err == nil && string(plain) != "secret" {
			t.Fatalf("%s opens to %x", data, plain)
		}
	})
}
