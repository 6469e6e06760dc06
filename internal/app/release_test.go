package app_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/vault/keys/transfer"
)

// vouching is an attestation service on this machine, and the environment that it knows.
type vouching struct {
	*httptest.Server
	roots       string // file
	key         *rsa.PrivateKey
	environment *rsa.PrivateKey
	asked       atomic.Int32
}

func newVouching(t *testing.T) *vouching {
	t.Helper()
	v := &vouching{roots: filepath.Join(t.TempDir(), "roots.pem")}
	var err error
	if v.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if v.environment, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	v.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.asked.Add(1)
		var body any = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: v.key.Public(), KeyID: "k"}}}
		if r.URL.Path == "/.well-known/openid-configuration" {
			body = map[string]string{"issuer": v.URL, "jwks_uri": v.URL + "/keys"}
		}
		_ = json.NewEncoder(w).Encode(body)
	}))
	t.Cleanup(v.Close)
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.Certificate().Raw})
	if err := os.WriteFile(v.roots, root, 0o600); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *vouching) token(t *testing.T) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: v.key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{
		"iss": v.URL, "exp": time.Now().Add(time.Hour).Unix(), "color": "green",
		"x-ms-runtime": map[string]any{"keys": []any{jose.JSONWebKey{Key: v.environment.Public(), KeyID: "TpmEphemeralEncryptionKey", Use: "enc"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// door is the vault "default" for somebody with a token.
type door struct {
	*apptest.Product
	bearer string
}

// ask sends a request, such as "GET /keys/a", and reads the answer.
func (d door) ask(t *testing.T, request, body string, into any) (status int, text string) {
	t.Helper()
	method, path, _ := strings.Cut(request, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, d.VaultURL("default")+path+"?api-version=7.6", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.bearer)
	res, err := d.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if into != nil && res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	return res.StatusCode, string(b)
}

func administrator(t *testing.T, p *apptest.Product) door {
	t.Helper()
	for _, r := range access.Roles() {
		if r.Name == "Key Vault Administrator" {
			return door{p, p.Application(t, "releaser", "/vaults/default", r.ID)}
		}
	}
	t.Fatal("no role Key Vault Administrator")
	return door{}
}

// request is the creation of a key that a green environment may have.
func request(authority string) string {
	policy := base64.RawURLEncoding.EncodeToString([]byte(`{"version":"1.0.0","anyOf":[{"authority":"` + authority + `/","allOf":[{"claim":"color","equals":"green"}]}]}`))
	return `{"kty":"EC-HSM","attributes":{"exportable":true},"release_policy":{"contentType":"application/json; charset=utf-8","data":"` + policy + `"}}`
}

// Who may create a key chooses which address the server asks.
func TestNoReleasePolicyMakesTheServerAskItsNeighbours(t *testing.T) {
	v := newVouching(t)
	p := apptest.Start(t, func(c *config.Config) { c.Attestation.Roots = v.roots })
	d := administrator(t, p)
	port := v.URL[strings.LastIndex(v.URL, ":"):]
	for _, authority := range []string{v.URL, "https://localhost" + port, "https://[::1]" + port, "https://0.0.0.0" + port, "https://[::ffff:127.0.0.1]" + port, "https://2130706433" + port, "https://a.localhost" + port} {
		if status, text := d.ask(t, "POST /keys/a/create", request(authority), nil); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", authority, status, text)
		}
	}
	other := apptest.Start(t, func(c *config.Config) {
		c.Attestation = config.Attestation{Roots: v.roots, Authorities: []string{"https://attest.example"}}
	})
	if status, text := administrator(t, other).ask(t, "POST /keys/a/create", request(v.URL), nil); status != http.StatusBadRequest || !strings.Contains(text, "not one that the operator") {
		t.Errorf("an authority that the operator did not name: %d %s", status, text)
	}
	if n := v.asked.Load(); n > 0 {
		t.Errorf("it was asked %d times", n)
	}
}

// A program in a confidential environment gets a key, and checks what it gets as
// Microsoft's sidecar does: the signature, the chain to a root that it trusts, the name of
// the vault in the certificate. Then the evidence about the key, by the same means.
func TestAnAttestedEnvironmentGetsAKeyThatItCanCheck(t *testing.T) {
	v := newVouching(t)
	p := apptest.Start(t, func(c *config.Config) {
		c.Attestation = config.Attestation{Roots: v.roots, Authorities: []string{v.URL}}
	})
	d := administrator(t, p)
	var made struct {
		Key struct{ X string }
	}
	if status, text := d.ask(t, "POST /keys/a/create", request(v.URL), &made); status != http.StatusOK {
		t.Fatalf("create: %d %s", status, text)
	}
	var answer struct{ Value string }
	if status, text := d.ask(t, "POST /keys/a/release", `{"target":"`+v.token(t)+`"}`, &answer); status != http.StatusOK {
		t.Fatalf("release: %d %s", status, text)
	}

	var released struct {
		Response struct {
			Key struct {
				Key struct {
					KeyHSM string `json:"key_hsm"`
				}
			}
		}
	}
	if err := json.Unmarshal(verified(t, p, answer.Value), &released); err != nil {
		t.Fatal(err)
	}
	file, err := base64.RawURLEncoding.DecodeString(released.Response.Key.Key.KeyHSM)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := transfer.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	der, err := blob.Open(v.environment)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.(*ecdsa.PrivateKey).PublicKey.Bytes()
	if err != nil || base64.RawURLEncoding.EncodeToString(point[1:33]) != made.Key.X {
		t.Errorf("another key came: %v", err)
	}

	var bundle struct {
		Attributes struct {
			Attestation struct{ CertificatePemFile, PrivateKeyAttestation, PublicKeyAttestation string }
		}
	}
	if status, text := d.ask(t, "GET /keys/a/attestation", "", &bundle); status != http.StatusOK {
		t.Fatalf("attestation: %d %s", status, text)
	}
	a := bundle.Attributes.Attestation
	for about, text := range map[string]string{"private key": a.PrivateKeyAttestation, "public key": a.PublicKeyAttestation} {
		jws, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		var said struct {
			About, Keystore, Sub, JKT string
			Hardware, Exportable      bool
		}
		if err := json.Unmarshal(verified(t, p, string(jws)), &said); err != nil {
			t.Fatal(err)
		}
		if said.About != about || said.Keystore != "software" || said.Hardware || !said.Exportable || said.JKT == "" || !strings.HasPrefix(said.Sub, p.VaultURL("default")+"/keys/a/") {
			t.Errorf("%s: %+v", about, said)
		}
	}
	certificates, err := base64.RawURLEncoding.DecodeString(a.CertificatePemFile)
	if err != nil || !bytes.HasPrefix(certificates, []byte("-----BEGIN CERTIFICATE-----")) {
		t.Errorf("the certificates are %.40s: %v", certificates, err)
	}
}

// verified checks a statement of the vault "default" and returns its payload.
func verified(t *testing.T, p *apptest.Product, statement string) []byte {
	t.Helper()
	head, err := base64.RawURLEncoding.DecodeString(strings.Split(statement, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	var header struct {
		Alg, Kid string
		X5C      []string
		X5T      string `json:"x5t#S256"`
	}
	if err := json.Unmarshal(head, &header); err != nil || len(header.X5C) < 2 {
		t.Fatalf("the header is %s: %v", head, err)
	}
	var chain []*x509.Certificate
	for _, text := range header.X5C {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	between := x509.NewCertPool()
	for _, c := range chain[1 : len(chain)-1] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: "default.localhost", Roots: p.Roots, Intermediates: between}); err != nil {
		t.Fatalf("the chain: %v", err)
	}
	if sum := sha256.Sum256(chain[0].Raw); header.X5T != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Errorf("x5t#S256 is %s", header.X5T)
	}
	pub, ok := chain[0].PublicKey.(*rsa.PublicKey) // the sidecar takes no other
	if !ok {
		t.Fatalf("signed by a %T", chain[0].PublicKey)
	}
	signed, err := jose.ParseSignedCompact(statement, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := signed.Verify(pub)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}
