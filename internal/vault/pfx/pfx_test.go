package pfx

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	old "golang.org/x/crypto/pkcs12" // frozen, and what many programs read a vault's certificates with
	"software.sslmate.com/src/go-pkcs12"

	"chatelaine.dev/internal/fault"
)

// chain is a leaf with its issuer and root, and keys of both types for the leaf.
type chain struct {
	key   crypto.Signer
	leaf  *x509.Certificate
	inter *x509.Certificate
	root  *x509.Certificate
}

func (c chain) bundle() Bundle {
	return Bundle{Key: c.key, Certificates: []*x509.Certificate{c.leaf, c.inter, c.root}}
}

func makeChain(t testing.TB, key crypto.Signer) chain {
	t.Helper()
	rootKey, interKey := ecKey(t), ecKey(t)
	root := certify(t, "root", rootKey.Public(), nil, rootKey)
	inter := certify(t, "inter", interKey.Public(), root, rootKey)
	return chain{key: key, leaf: certify(t, "leaf", key.Public(), inter, interKey), inter: inter, root: root}
}

func certify(t testing.TB, name string, pub crypto.PublicKey, issuer *x509.Certificate, by crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: name != "leaf", BasicConstraintsValid: true,
	}
	if issuer == nil {
		issuer = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, pub, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// openssl runs the program in dir and returns what it prints.
func openssl(t *testing.T, dir string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed (apt-get install openssl)")
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// sameBundle compares key and certificates in order.
func sameBundle(t *testing.T, got Bundle, want chain, certificates int) {
	t.Helper()
	if !want.key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(got.Key) {
		t.Fatal("another key came back")
	}
	if len(got.Certificates) != certificates || !contains(got.Certificates, want.leaf) {
		t.Fatalf("%d certificates came back, want %d with the leaf", len(got.Certificates), certificates)
	}
}

func TestReadsWhatOpensslWrites(t *testing.T) {
	dir := t.TempDir()
	c := makeChain(t, rsaKey(t))
	text, err := EncodePEM(c.bundle())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "in.pem", text)
	for name, args := range map[string][]string{
		"aes256":          {"-passout", "pass:geheim"},
		"aes128 sha1":     {"-passout", "pass:geheim", "-keypbe", "AES-128-CBC", "-certpbe", "AES-192-CBC", "-macalg", "sha1"},
		"triple des":      {"-passout", "pass:geheim", "-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha512"},
		"legacy rc2":      {"-passout", "pass:geheim", "-legacy"},
		"rc2 128":         {"-passout", "pass:geheim", "-legacy", "-certpbe", "PBE-SHA1-RC2-128", "-macalg", "sha384"},
		"open parts":      {"-passout", "pass:geheim", "-keypbe", "NONE", "-certpbe", "NONE"},
		"no mac":          {"-passout", "pass:geheim", "-nomac"},
		"empty password":  {"-passout", "pass:"},
		"iterations 9999": {"-passout", "pass:geheim", "-iter", "9999"},
	} {
		t.Run(name, func(t *testing.T) {
			password := "geheim"
			if name == "empty password" {
				password = ""
			}
			file := strings.ReplaceAll(name, " ", "-")
			openssl(t, dir, append([]string{"pkcs12", "-export", "-in", "in.pem", "-out", file}, args...)...)
			der, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}

			got, err := Decode(der, password)

			if err != nil {
				t.Fatal(err)
			}
			sameBundle(t, got, c, 3)
			if _, err := Decode(der, "wrong"); !fault.Is(err, fault.Invalid) {
				t.Fatalf("a wrong password gave %v", err)
			}
		})
	}
}

func TestReadsTheFileOfMicrosoftsOwnSuite(t *testing.T) {
	text, err := os.ReadFile("testdata/azure-sdk.p12.b64")
	if err != nil {
		t.Fatal(err)
	}
	der, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}

	b, err := Decode(der, "")

	if err != nil {
		t.Fatal(err)
	}
	if leaf, err := b.Leaf(); err != nil || leaf.Subject.Organization[0] != "Internet Widgits Pty Ltd" {
		t.Fatalf("leaf %v, %v", leaf, err)
	}
}

func TestReadsWhatGoWrites(t *testing.T) {
	c := makeChain(t, ecKey(t))
	for name, e := range map[string]*pkcs12.Encoder{
		"rc2": pkcs12.LegacyRC2, "des": pkcs12.LegacyDES, "2023": pkcs12.Modern2023, "pbmac1": pkcs12.Modern2026,
	} {
		t.Run(name, func(t *testing.T) {
			der, err := e.Encode(c.key, c.leaf, []*x509.Certificate{c.inter, c.root}, "Grüße")
			if err != nil {
				t.Fatal(err)
			}

			got, err := Decode(der, "Grüße")

			if err != nil {
				t.Fatal(err)
			}
			sameBundle(t, got, c, 3)
			if _, err := Decode(der, "Grusse"); !fault.Is(err, fault.Invalid) {
				t.Fatalf("a wrong password gave %v", err)
			}
		})
	}
}

func TestOthersReadWhatWeWrite(t *testing.T) {
	for name, key := range map[string]crypto.Signer{"rsa": rsaKey(t), "ec": ecKey(t)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := makeChain(t, key)

			der, err := Encode(c.bundle())

			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "out.p12", der)
			text := openssl(t, dir, "pkcs12", "-in", "out.p12", "-passin", "pass:", "-noenc")
			if strings.Count(text, "BEGIN CERTIFICATE") != 3 || !strings.Contains(text, "BEGIN PRIVATE KEY") {
				t.Fatalf("openssl reads\n%s", text)
			}
			back, err := DecodePEM([]byte(text), "")
			if err != nil {
				t.Fatal(err)
			}
			sameBundle(t, back, c, 3)
			blocks, err := old.ToPEM(der, "")
			if err != nil || len(blocks) != 4 {
				t.Fatalf("the frozen library reads %d blocks, %v", len(blocks), err)
			}
			own, err := Decode(der, "")
			if err != nil {
				t.Fatal(err)
			}
			sameBundle(t, own, c, 3)
		})
	}
}

func TestWithoutKeyOnlyCertificatesAreWritten(t *testing.T) {
	dir := t.TempDir()
	c := makeChain(t, ecKey(t))

	der, err := Encode(Bundle{Certificates: []*x509.Certificate{c.leaf, c.inter}})

	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "out.p12", der)
	text := openssl(t, dir, "pkcs12", "-in", "out.p12", "-passin", "pass:", "-noenc")
	if strings.Count(text, "BEGIN CERTIFICATE") != 2 || strings.Contains(text, "PRIVATE KEY") {
		t.Fatalf("openssl reads\n%s", text)
	}
	if _, err := Decode(der, ""); !fault.Is(err, fault.Invalid) {
		t.Fatalf("a file without a key gave %v", err)
	}
}

func TestReadsEveryPEMOfAKey(t *testing.T) {
	dir := t.TempDir()
	for name, key := range map[string]crypto.Signer{"rsa": rsaKey(t), "ec": ecKey(t)} {
		c := makeChain(t, key)
		text, err := EncodePEM(Bundle{Key: c.key})
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, text)
		certificates, err := EncodePEM(Bundle{Certificates: []*x509.Certificate{c.root, c.leaf}})
		if err != nil {
			t.Fatal(err)
		}
		for form, args := range map[string][]string{
			"pkcs8":       {"pkcs8", "-topk8", "-nocrypt"},
			"aes":         {"pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:geheim"},
			"triple des":  {"pkcs8", "-topk8", "-v2", "des3", "-passout", "pass:geheim"},
			"pkcs12 des":  {"pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-passout", "pass:geheim"},
			"traditional": {name, "-traditional"},
			"sec1":        {"ec"},
		} {
			if (form == "traditional" && name == "ec") || (form == "sec1" && name == "rsa") {
				continue
			}
			t.Run(name+" "+form, func(t *testing.T) {
				openssl(t, dir, append(args, "-in", name, "-out", "out")...)
				out, err := os.ReadFile(filepath.Join(dir, "out"))
				if err != nil {
					t.Fatal(err)
				}

				b, err := DecodePEM(append(certificates, out...), "geheim")

				if err != nil {
					t.Fatal(err)
				}
				sameBundle(t, b, c, 2)
				ordered, err := b.LeafFirst()
				if err != nil || !ordered[0].Equal(c.leaf) || !ordered[1].Equal(c.root) {
					t.Fatalf("order is %v, %v", ordered, err)
				}
			})
		}
	}
}

func TestChainFollowsTheIssuers(t *testing.T) {
	c := makeChain(t, ecKey(t))
	other := makeChain(t, ecKey(t)).root

	got := Chain(c.leaf, []*x509.Certificate{other, c.root, c.inter, c.leaf, c.root})

	want := []*x509.Certificate{c.leaf, c.inter, c.root, other}
	if len(got) != len(want) {
		t.Fatalf("%d certificates, want %d", len(got), len(want))
	}
	for i := range want {
		if !got[i].Equal(want[i]) {
			t.Errorf("place %d holds %v, want %v", i, got[i].Subject, want[i].Subject)
		}
	}
}

func TestTwoKeysAreRefused(t *testing.T) {
	k1, _ := EncodePEM(Bundle{Key: ecKey(t)})
	k2, _ := EncodePEM(Bundle{Key: ecKey(t)})
	if _, err := DecodePEM(append(k1, k2...), ""); !fault.Is(err, fault.Invalid) {
		t.Fatalf("got %v", err)
	}
}

func TestBundleNeverPrintsItsKey(t *testing.T) {
	k := ecKey(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		if got := fmt.Sprintf(verb, Bundle{Key: k}); got != "[key and certificates]" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
