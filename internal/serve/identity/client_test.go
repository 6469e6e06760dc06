package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// serve starts the door behind TLS on https://localhost:PORT and returns its address and
// the file of the certificate that clients must trust.
func (w *world) serve(t *testing.T) (base, root string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	root = filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.handler.ServeHTTP(rw, r) }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "https://localhost:" + port, root
}

// environments are those of contract §2.1.1 that need no change of code.
func (w *world) environments(base, root string) map[string][]string {
	common := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir(), "SSL_CERT_FILE=" + root, "NODE_EXTRA_CA_CERTS=" + root, "CHATELAINE_URL=" + base}
	secret := []string{
		"AZURE_TENANT_ID=adfs", "AZURE_CLIENT_ID=" + w.Admin.ClientID, "AZURE_CLIENT_SECRET=" + w.Admin.Secret.Reveal(), "AZURE_AUTHORITY_HOST=" + base + "/",
	}
	managed := []string{"IDENTITY_ENDPOINT=" + base + "/msi/token", "IDENTITY_HEADER=" + w.Admin.Header.Reveal()}
	join := func(lists ...[]string) (out []string) {
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	return map[string][]string{
		"client secret":                 join(common, secret),
		"managed identity":              join(common, managed),
		"managed identity with client":  join(common, managed, []string{"AZURE_CLIENT_ID=" + w.Admin.ClientID}),
		"both, as admin.env has them":   join(common, secret, managed),
		"both, managed identity chosen": join(common, secret, managed, []string{"AZURE_TOKEN_CREDENTIALS=ManagedIdentityCredential"}),
	}
}

// child is this test binary as somebody's program: it knows its environment and nothing else.
const child = "IDENTITY_TEST_CHILD"

func TestUnmodifiedDefaultAzureCredentialGetsATokenInGo(t *testing.T) {
	if os.Getenv(child) != "" {
		// With a GUID for a tenant, azidentity asks Microsoft about the host first, unless told otherwise.
		options := &azidentity.DefaultAzureCredentialOptions{DisableInstanceDiscovery: os.Getenv("AZURE_TENANT_ID") != "adfs"}
		credential, err := azidentity.NewDefaultAzureCredential(options)
		if err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			got, err2 := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{os.Getenv("CHATELAINE_URL") + "/.default"}, EnableCAE: true})
			if err = err2; err == nil {
				fmt.Printf("TOKEN %s %d\n", got.Token, got.ExpiresOn.Unix())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	w := newWorld(t)
	base, root := w.serve(t)
	environments := w.environments(base, root)
	environments["a tenant's GUID"] = append(environments["client secret"], "AZURE_TENANT_ID="+w.Admin.Tenant)
	for name, env := range environments {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestUnmodifiedDefaultAzureCredentialGetsATokenInGo$", "-test.count=1")
			cmd.Env = append(env, child+"=1")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, out, w.log.String())
			}
			w.check(t, base, string(out))
		})
	}
	t.Run("wrong secret", func(t *testing.T) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestUnmodifiedDefaultAzureCredentialGetsATokenInGo$", "-test.count=1")
		cmd.Env = append(w.environments(base, root)["client secret"], "AZURE_CLIENT_SECRET=wrong", child+"=1")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "AADSTS7000215") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// check verifies the token that a client printed.
func (w *world) check(t *testing.T, base, out string) {
	t.Helper()
	_, rest, ok := strings.Cut(out, "TOKEN ")
	var text string
	var expires int64
	if n, err := fmt.Sscan(rest, &text, &expires); !ok || n != 2 {
		t.Fatalf("no token (%v) in %q", err, out)
	}
	c, err := w.Tokens.Authenticate(t.Context(), text, base)
	if err != nil || c.Principal != w.Admin.ID {
		t.Errorf("%+v: %v", c, err)
	}
	if d := time.Unix(expires, 0).Sub(w.Time().Add(time.Hour)); d < -5*time.Second || d > time.Minute {
		t.Errorf("the client believes that it expires at %s", time.Unix(expires, 0))
	}
}

// script is somebody's JavaScript.
const script = `
const { DefaultAzureCredential } = require("@azure/identity");
new DefaultAzureCredential().getToken(process.env.CHATELAINE_URL + "/.default").then(
  (t) => console.log("TOKEN", t.token, Math.floor(t.expiresOnTimestamp / 1000)),
  (e) => { console.error(String(e)); process.exit(1); });
`

// identityPackage is Microsoft's library, of the version that this was tried with.
const identityPackage = "@azure/identity@4.13.1"

// nodeModules returns a folder of modules with identityPackage in it, installed once.
func nodeModules(t *testing.T) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("needs npm: install Debian's packages nodejs and npm")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("needs a cache folder for npm's packages: set HOME")
	}
	dir := filepath.Join(cache, "chatelaine-tests", strings.ReplaceAll(identityPackage, "/", "-"))
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@azure", "identity")); err != nil {
		fresh := t.TempDir()
		if out, err := exec.Command(npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", fresh, identityPackage).CombinedOutput(); err != nil {
			t.Skipf("needs %s from npm's registry: %v %s", identityPackage, err, out)
		}
		if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(fresh, dir); err != nil {
			return filepath.Join(fresh, "node_modules") // another disk, or another test was faster
		}
	}
	return filepath.Join(dir, "node_modules")
}

func TestUnmodifiedDefaultAzureCredentialGetsATokenInJavaScript(t *testing.T) {
	modules := nodeModules(t)
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs node: install Debian's package nodejs")
	}
	w := newWorld(t)
	base, root := w.serve(t)
	for name, env := range w.environments(base, root) {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(node, "-e", script)
			cmd.Env = append(env, "NODE_PATH="+modules)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, out, w.log.String())
			}
			w.check(t, base, string(out))
		})
	}
}
