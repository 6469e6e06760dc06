package policy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"chatelaine.dev/internal/fault"
)

func parsePolicy(t *testing.T, text string) Policy {
	t.Helper()
	var p Policy
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func render(t *testing.T, v any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestServiceFillsInItsDefaults(t *testing.T) {
	for _, test := range []struct{ sent, want string }{
		{
			`{"issuer":{"name":"self"},"x509_props":{"subject":"CN=x"}}`,
			`{"key_props":{"exportable":true,"kty":"RSA","key_size":2048,"reuse_key":false},
			  "secret_props":{"contentType":"application/x-pkcs12"},
			  "x509_props":{"subject":"CN=x","sans":{},"ekus":["1.3.6.1.5.5.7.3.1","1.3.6.1.5.5.7.3.2"],"key_usage":["digitalSignature","keyEncipherment"],"validity_months":12,"basic_constraints":{"ca":false}},
			  "lifetime_actions":[{"trigger":{"lifetime_percentage":80},"action":{"action_type":"AutoRenew"}}],
			  "issuer":{"name":"self"}}`,
		},
		{
			`{"issuer":{"name":"Unknown","cert_transparency":false},"x509_props":{"subject":"CN=x","ekus":[],"key_usage":[]},"key_props":{"kty":"EC"}}`,
			`{"key_props":{"exportable":true,"kty":"EC","crv":"P-256","reuse_key":false},
			  "secret_props":{"contentType":"application/x-pkcs12"},
			  "x509_props":{"subject":"CN=x","sans":{},"ekus":[],"key_usage":[],"validity_months":12,"basic_constraints":{"ca":false}},
			  "lifetime_actions":[{"trigger":{"lifetime_percentage":80},"action":{"action_type":"EmailContacts"}}],
			  "issuer":{"name":"Unknown","cert_transparency":false}}`,
		},
	} {
		p := parsePolicy(t, test.sent).Complete()

		if d := cmp.Diff(render(t, parsePolicy(t, test.want)), render(t, p)); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.sent, d)
		}
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	}
}

// full is a policy that says everything.
const full = `{"issuer":{"name":"Self","cty":"OV-SSL","cert_transparency":false},
	"key_props":{"exportable":false,"kty":"RSA","key_size":3072,"reuse_key":true},
	"secret_props":{"contentType":"application/x-pem-file"},
	"lifetime_actions":[{"trigger":{"days_before_expiry":30},"action":{"action_type":"EmailContacts"}}],
	"x509_props":{"subject":"CN=shop.example, OU=\"a, b\", O=Exämple, C=DE","sans":{"emails":["a@example.com"],"dns_names":["shop.example","*.shop.example"],
		"upns":["bob@corp.example"],"uris":["spiffe://example/x"],"ipAddresses":["192.0.2.7","2001:0db8::1"]},
		"ekus":["1.3.6.1.5.5.7.3.2","1.2.3.4.5"],"key_usage":["digitalSignature","keyCertSign","decipherOnly"],"validity_months":25,"basic_constraints":{"ca":true,"path_len_constraint":0}}}`

func TestPolicyComesBackAsSent(t *testing.T) {
	p := parsePolicy(t, full)

	if d := cmp.Diff(render(t, p), render(t, p.Complete())); d != "" {
		t.Errorf("(-sent +stored):\n%s", d)
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
}

func TestPatchReplacesWholeSections(t *testing.T) {
	p := parsePolicy(t, full)

	got := p.Merge(parsePolicy(t, `{"key_props":{"kty":"EC","crv":"P-256K","key_size":256,"exportable":true,"reuse_key":false}}`)).Complete()

	want := render(t, p)
	want["key_props"] = map[string]any{"kty": "EC", "crv": "P-256K", "key_size": 256.0, "exportable": true, "reuse_key": false}
	if d := cmp.Diff(want, render(t, got)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if err := got.Check(); err != nil {
		t.Error(err)
	}
}

func TestImpossiblePoliciesAreRefused(t *testing.T) {
	many := `"` + strings.Repeat(`a.example","`, MaxNames) + `b.example"`
	for name, change := range map[string]string{
		"no issuer":              `{"issuer":{}}`,
		"key size":               `{"key_props":{"kty":"RSA","key_size":1024}}`,
		"key type":               `{"key_props":{"kty":"oct"}}`,
		"curve":                  `{"key_props":{"kty":"EC","crv":"P-192"}}`,
		"curve and size":         `{"key_props":{"kty":"EC","crv":"P-256","key_size":384}}`,
		"content type":           `{"secret_props":{"contentType":"text/plain"}}`,
		"no name at all":         `{"x509_props":{}}`,
		"subject without a type": `{"x509_props":{"subject":"shop.example"}}`,
		"subject of no type":     `{"x509_props":{"subject":"XYZ=shop.example"}}`,
		"subject with a zero":    `{"x509_props":{"subject":"CN=a\\00b"}}`,
		"usage":                  `{"x509_props":{"subject":"CN=x","key_usage":["signing"]}}`,
		"extended usage":         `{"x509_props":{"subject":"CN=x","ekus":["serverAuth"]}}`,
		"negative validity":      `{"x509_props":{"subject":"CN=x","validity_months":-1}}`,
		"validity":               `{"x509_props":{"subject":"CN=x","validity_months":1201}}`,
		"path length without CA": `{"x509_props":{"subject":"CN=x","basic_constraints":{"ca":false,"path_len_constraint":1}}}`,
		"dns":                    `{"x509_props":{"sans":{"dns_names":["a b"]}}}`,
		"wildcard inside":        `{"x509_props":{"sans":{"dns_names":["a.*.example"]}}}`,
		"email":                  `{"x509_props":{"sans":{"emails":["bob"]}}}`,
		"uri":                    `{"x509_props":{"sans":{"uris":["/only/a/path"]}}}`,
		"ip":                     `{"x509_props":{"sans":{"ipAddresses":["1.2.3"]}}}`,
		"upn":                    `{"x509_props":{"sans":{"upns":["bob"]}}}`,
		"too many names":         `{"x509_props":{"sans":{"dns_names":[` + many + `]}}}`,
		"trigger of both":        `{"lifetime_actions":[{"trigger":{"lifetime_percentage":1,"days_before_expiry":1},"action":{"action_type":"AutoRenew"}}]}`,
		"trigger of neither":     `{"lifetime_actions":[{"trigger":{},"action":{"action_type":"AutoRenew"}}]}`,
		"percentage":             `{"lifetime_actions":[{"trigger":{"lifetime_percentage":100},"action":{"action_type":"AutoRenew"}}]}`,
		"days":                   `{"lifetime_actions":[{"trigger":{"days_before_expiry":676},"action":{"action_type":"AutoRenew"}}]}`,
		"action":                 `{"lifetime_actions":[{"trigger":{"lifetime_percentage":80},"action":{"action_type":"Explode"}}]}`,
		"action without trigger": `{"lifetime_actions":[{"action":{"action_type":"AutoRenew"}}]}`,
		"action twice":           `{"lifetime_actions":[{"trigger":{"lifetime_percentage":80},"action":{"action_type":"AutoRenew"}},{"trigger":{"lifetime_percentage":90},"action":{"action_type":"autorenew"}}]}`,
		"renewing Unknown":       `{"issuer":{"name":"unknown"},"lifetime_actions":[{"trigger":{"lifetime_percentage":80},"action":{"action_type":"AutoRenew"}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := parsePolicy(t, full).Merge(parsePolicy(t, change)).Complete()

			if err := p.Check(); !fault.Is(err, fault.Invalid) {
				t.Errorf("Check says %v", err)
			}
		})
	}
}

func TestUsageDecidesTheKeysOperations(t *testing.T) {
	for _, test := range []struct {
		policy string
		want   string
	}{
		{`{"key_props":{"kty":"RSA"},"x509_props":{"key_usage":["digitalSignature","keyEncipherment"]}}`, "sign verify wrapKey unwrapKey"},
		{`{"key_props":{"kty":"RSA-HSM"},"x509_props":{"key_usage":["dataEncipherment"]}}`, "encrypt decrypt"},
		{`{"key_props":{"kty":"RSA"},"x509_props":{"key_usage":["decipherOnly"]}}`, "decrypt"},
		{`{"key_props":{"kty":"RSA"},"x509_props":{"key_usage":["cRLSign","encipherOnly"]}}`, "encrypt sign verify"},
		{`{"key_props":{"kty":"RSA"},"x509_props":{"key_usage":[]}}`, "encrypt decrypt sign verify wrapKey unwrapKey"},
		{`{"key_props":{"kty":"EC"},"x509_props":{"key_usage":["digitalSignature","keyEncipherment"]}}`, "sign verify"},
		{`{"key_props":{"kty":"EC"},"x509_props":{"key_usage":["keyAgreement"]}}`, "sign verify"},
	} {
		if got := strings.Join(parsePolicy(t, test.policy).Operations(), " "); got != test.want {
			t.Errorf("%s allows %q, want %q", test.policy, got, test.want)
		}
	}
}

func testKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]crypto.Signer{"RSA": r}
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[c.Params().Name] = k
	}
	return keys
}

// openssl gives the program a PEM file of der and returns what it prints.
func openssl(t *testing.T, blockType string, der []byte, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed (apt-get install openssl)")
	}
	file := filepath.Join(t.TempDir(), "in.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, append(args, "-in", file)...).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// wantText is what OpenSSL must see in a request and in a certificate of the policy full.
var wantText = []string{
	`CN = shop.example`, `OU = "a, b"`, "C = DE",
	"Digital Signature, Certificate Sign, Decipher Only",
	"TLS Web Client Authentication, 1.2.3.4.5",
	"CA:TRUE, pathlen:0",
	"othername: UPN::bob@corp.example, email:a@example.com, DNS:shop.example, DNS:*.shop.example, URI:spiffe://example/x, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:1",
}

func TestOpensslReadsTheRequest(t *testing.T) {
	p := parsePolicy(t, full)
	for name, key := range testKeys(t) {
		t.Run(name, func(t *testing.T) {
			csr, err := p.Request(key)
			if err != nil {
				t.Fatal(err)
			}

			text := openssl(t, "CERTIFICATE REQUEST", csr, "req", "-verify", "-noout", "-text", "-nameopt", "oneline,utf8")

			if !strings.Contains(text, "verify OK") {
				t.Errorf("the signature is not right:\n%s", text)
			}
			for _, want := range wantText {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
		})
	}
}

func TestOpensslReadsTheSelfSignedCertificate(t *testing.T) {
	p := parsePolicy(t, full)
	now := time.Date(2026, 1, 31, 12, 0, 0, 5, time.UTC)
	for name, key := range testKeys(t) {
		t.Run(name, func(t *testing.T) {
			der, err := p.SelfSign(key, now)
			if err != nil {
				t.Fatal(err)
			}

			text := openssl(t, "CERTIFICATE", der, "x509", "-noout", "-text", "-nameopt", "oneline,utf8")

			for _, want := range append(wantText, "Not Before: Jan 31 11:50:00 2026 GMT", "Not After : Feb 29 12:00:00 2028 GMT") {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			c, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSelfSignedServerCertificateIsTrustedForItsNames(t *testing.T) {
	p := parsePolicy(t, `{"issuer":{"name":"Self"},"key_props":{"kty":"EC"},"x509_props":{"sans":{"dns_names":["shop.example"]}}}`).Complete()
	now := time.Now()
	der, err := p.SelfSign(testKeys(t)["P-256"], now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c)

	_, err = c.Verify(x509.VerifyOptions{DNSName: "shop.example", Roots: roots, CurrentTime: now})

	if err != nil {
		t.Error(err)
	}
	if c.IsCA || c.SerialNumber.BitLen() < 64 || c.NotAfter.Sub(c.NotBefore) < 364*24*time.Hour {
		t.Errorf("CA %v, serial of %d bits, valid %v", c.IsCA, c.SerialNumber.BitLen(), c.NotAfter.Sub(c.NotBefore))
	}
}

// TestExtensionsAreMinimalDER holds ours against those of the standard library, bit by bit.
func TestExtensionsAreMinimalDER(t *testing.T) {
	key := testKeys(t)["P-256"]
	for _, b := range usageBits() {
		ours := &X509Properties{Usage: []string{b.name}, BasicConstraints: &BasicConstraints{}, Names: &Names{DNS: []string{"a.example"}}}
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(1), KeyUsage: b.bit, BasicConstraintsValid: true, DNSNames: []string{"a.example"},
		}, &x509.Certificate{}, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}

		got, err := ours.extensions()

		if err != nil {
			t.Fatal(err)
		}
		byID := cmpopts.SortSlices(func(a, b pkix.Extension) bool { return a.Id.String() < b.Id.String() })
		if d := cmp.Diff(theirs.Extensions, got, byID); d != "" {
			t.Errorf("%s (-standard +ours):\n%s", b.name, d)
		}
	}
}

func TestImportedCertificateDescribesItself(t *testing.T) {
	p := parsePolicy(t, full)
	der, err := p.SelfSign(testKeys(t)["P-384"], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}

	got, err := Describe(c, PEM)

	if err != nil {
		t.Fatal(err)
	}
	want := render(t, p)
	want["issuer"] = map[string]any{"name": "Unknown"}
	want["key_props"] = map[string]any{"kty": "EC", "crv": "P-384", "key_size": 384.0, "exportable": true, "reuse_key": false}
	want["lifetime_actions"] = []any{map[string]any{"trigger": map[string]any{"lifetime_percentage": 80.0}, "action": map[string]any{"action_type": "EmailContacts"}}}
	x := want["x509_props"].(map[string]any)
	x["subject"] = `CN=shop.example, OU=a\, b, O=Exämple, C=DE`
	x["sans"].(map[string]any)["ipAddresses"] = []any{"192.0.2.7", "2001:db8::1"}
	if d := cmp.Diff(want, render(t, got)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if err := got.Key.Fits(c.PublicKey); err != nil {
		t.Error(err)
	}
	if err := p.Key.Fits(c.PublicKey); !fault.Is(err, fault.Invalid) {
		t.Errorf("an EC key fits a policy for RSA: %v", err)
	}
}

func TestNamesSurviveParsingAndFormatting(t *testing.T) {
	for in, want := range map[string]string{
		`CN=a`:                                  `CN=a`,
		`cn = a ;o="b;c" , S=d`:                 `CN=a, O=b\;c, ST=d`,
		`CN=a\,b, O=c\20, L=\C3\A4`:             `CN=a\,b, O=c\ , L=ä`,
		`CN="say ""hi""", E=a@b.example`:        `CN=say \"hi\", E=a@b.example`,
		`OU=x+UID=y, DC=example, DC=com`:        `OU=x+UID=y, DC=example, DC=com`,
		`OID.2.5.4.3=a, 1.2.3.4=#0C0162`:        `CN=a, 1.2.3.4=b`,
		`1.2.3.4=#300506032A0304`:               `1.2.3.4=#300506032a0304`,
		`SERIALNUMBER=1, C=DE`:                  `SERIALNUMBER=1, C=DE`,
		``:                                      ``,
		`CN=` + strings.Repeat("x", 100) + `\ `: `CN=` + strings.Repeat("x", 100) + `\ `,
	} {
		p := Policy{X509: &X509Properties{Subject: in}}
		der, err := p.subject()
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		got, err := FormatName(der)
		if err != nil || got != want {
			t.Errorf("%s became %s (%v), want %s", in, got, err, want)
		}
		again, err := ParseName(got)
		if err != nil {
			t.Errorf("%s: %v", got, err)
		}
		if n, err := ParseName(in); err != nil || len(n) != len(again) {
			t.Errorf("%s has %d parts, then %d (%v)", in, len(n), len(again), err)
		}
	}
	for _, in := range []string{`CN`, `CN=`, `=a`, `CN=a,`, `CN=a\`, `CN="a`, `CN="a"b`, `CN=#zz`, `CN=#0C01`, `C=Ä`, "CN=a\nb", `CN=a+`, `,`} {
		if n, err := ParseName(in); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q parsed as %v, %v", in, n, err)
		}
	}
}

func TestMonthsEndInTheirMonth(t *testing.T) {
	for _, test := range []struct {
		from   string
		months int
		want   string
	}{
		{"2026-11-23", 12, "2027-11-23"}, {"2026-01-31", 1, "2026-02-28"}, {"2028-01-31", 1, "2028-02-29"},
		{"2028-02-29", 12, "2029-02-28"}, {"2026-10-31", 1200, "2126-10-31"}, {"2026-12-31", 2, "2027-02-28"},
	} {
		from, err := time.Parse(time.DateOnly, test.from)
		if err != nil {
			t.Fatal(err)
		}
		if got := addMonths(from, test.months).Format(time.DateOnly); got != test.want {
			t.Errorf("%s and %d months is %s, want %s", test.from, test.months, got, test.want)
		}
	}
}

func FuzzParseName(f *testing.F) {
	f.Add(`CN=a, O="b, c"+OU=\C3\A4, 1.2.3=#0C0162`)
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		p := Policy{X509: &X509Properties{Subject: s}}
		der, err := p.subject()
		if err != nil {
			return // a value that its string type cannot hold, found while encoding
		}
		text, err := FormatName(der)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseName(text); err != nil || len(again) != len(n) {
			t.Fatalf("%q became %q: %d parts, then %d (%v)", s, text, len(n), len(again), err)
		}
	})
}
