package hostile

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"chatelaine.dev/internal/app/apptest"
)

// What refusing something may cost (reliability: W4, and §2 row 6). The client's share of it
// counts as well.
var (
	ofBombs = limit{200 * time.Millisecond, 32 << 20}
	ofJSON  = limit{100 * time.Millisecond, 64 << 20}
)

// limit bounds time and bytes.
type limit struct {
	cpu  time.Duration
	room uint64
}

// stranger has a token, and means no good.
type stranger struct {
	*apptest.Product
	bearer string
}

// cost is what this process has spent.
func cost(t *testing.T) (cpu time.Duration, room uint64) {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), m.TotalAlloc
}

// bomb is a request that nobody who means well sends.
type bomb struct {
	method, path string
	body         io.ReadSeeker
	size         int64
	harmless     bool // it may as well be accepted
}

func text(method, path, body string) bomb {
	return bomb{method: method, path: path, body: strings.NewReader(body), size: int64(len(body))}
}

// asJSON sends members, each a text, in an object.
func asJSON(method, path string, members map[string]any) bomb {
	b, err := json.Marshal(members)
	if err != nil {
		panic(err) // a mistake of this test
	}
	return text(method, path, string(b))
}

// endless is a body of zeros that costs nothing to make.
type endless struct{ left int64 }

func (e *endless) Read(b []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(b)), e.left)
	clear(b[:n])
	e.left -= n
	return int(n), nil
}

func (e *endless) Seek(int64, int) (int64, error) { return 0, nil }

// refuse sends a bomb, and wants it refused within the limits. What others do in this
// process meanwhile is no cost of it, so the cheapest of a few tries counts.
func (s stranger) refuse(t *testing.T, b bomb, most limit) {
	t.Helper()
	if pace > 1 { // the race detector keeps books of its own
		most.room *= 2
	}
	const tries = 4
	cheapest, least := time.Duration(math.MaxInt64), uint64(math.MaxUint64)
	for range tries {
		if _, err := b.body.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if e, ok := b.body.(*endless); ok {
			e.left = b.size
		}
		url := s.VaultURL("default") + b.path + "?api-version=7.6"
		if strings.HasPrefix(b.path, "/api/") {
			url = s.URL + b.path
		}
		r, err := http.NewRequestWithContext(t.Context(), b.method, url, io.NopCloser(b.body))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = b.size
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+s.bearer)
		cpu, room := cost(t)
		res, err := s.Client.Do(r)
		if err == nil {
			answer, _ := io.ReadAll(res.Body) // an answer that breaks off is shorter
			_ = res.Body.Close()
			if (res.StatusCode < 400 && !b.harmless) || res.StatusCode >= 500 || res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden || res.StatusCode == http.StatusNotFound {
				t.Fatalf("answered %d %.300s", res.StatusCode, answer)
			}
			if len(answer) > 16<<10 && !b.harmless {
				t.Errorf("the refusal has %d bytes: %.200s", len(answer), answer)
			}
		} else if _, cut := b.body.(*endless); !cut { // of what is never ending the server may hang up
			t.Fatal(err)
		}
		spent, used := cost(t)
		cheapest, least = min(cheapest, spent-cpu), min(least, used-room)
		if cheapest <= most.cpu*pace && least <= most.room {
			return
		}
	}
	t.Errorf("refused for %v and %d KiB, want at most %v and %d KiB", cheapest, least>>10, most.cpu*pace, most.room>>10)
}

func importPFX(content []byte) bomb {
	return asJSON("POST", "/certificates/bomb/import", map[string]any{"value": base64Of(content), "pwd": "x"})
}

func importPEM(content string) bomb {
	return asJSON("POST", "/certificates/bomb/import", map[string]any{"value": content, "pwd": "x"})
}

func importKey(jwk map[string]any) bomb {
	return asJSON("PUT", "/keys/bomb", map[string]any{"key": jwk})
}

func issue(csr []byte) bomb {
	return asJSON("POST", "/api/v1/profiles/tls-server/certificates", map[string]any{"csr": block("CERTIFICATE REQUEST", csr)})
}

func merge(certificates ...string) bomb {
	return asJSON("POST", "/certificates/waiting/pending/merge", map[string]any{"x5c": certificates})
}

func repeat(n int, s string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = s
	}
	return list
}

// TestBombsAreRefusedCheaply does not run beside others: it measures the process.
func TestBombsAreRefusedCheaply(t *testing.T) {
	p := apptest.Start(t)
	s := stranger{p, p.Application(t, "stranger", "/", "Key Vault Administrator", "Administrator")}
	s.wait(t)
	leaf := certificateOf(t, nil, 1)
	for _, bombs := range []map[string]bomb{filesThatAreBombs(t, leaf), textsThatAreBombs(t, leaf), requestsThatAreBombs(t, leaf), bodiesThatAreBombs()} {
		for name, b := range bombs {
			t.Run(name, func(t *testing.T) { s.refuse(t, b, ofBombs) })
		}
	}
	t.Run("a signature of a megabyte", func(t *testing.T) { // is a wrong one
		b := asJSON("POST", "/keys/there/verify", map[string]any{"alg": "RS256", "digest": urlBase64Of(make([]byte, 32)), "value": urlBase64Of(make([]byte, 1<<20))})
		b.harmless = true
		s.refuse(t, b, ofBombs)
	})
	for name, generate := range generators {
		for label, size := range map[string]int{"64 KiB": 64 << 10, "1 MiB": 1 << 20} {
			t.Run(name+", "+label, func(t *testing.T) {
				toVault := text("PUT", "/secrets/bomb", generate(size))
				toVault.harmless = true // a long text is JSON too
				s.refuse(t, toVault, ofJSON)
				s.refuse(t, text("POST", "/api/v1/applications", generate(size)), ofJSON)
			})
		}
	}
}

const most = math.MaxInt32 // 2^31 - 1

// filesThatAreBombs are PKCS #12.
func filesThatAreBombs(t *testing.T, leaf []byte) map[string]bomb {
	t.Helper()
	return map[string]bomb{
		"iterations of the MAC":              importPFX(file(macData(most), plainSafe(certBag(leaf)))),
		"more iterations than a number has":  importPFX(file(macData(math.MaxInt64), plainSafe(certBag(leaf)))),
		"less than no iterations":            importPFX(file(macData(-1), plainSafe(certBag(leaf)))),
		"iterations of PBMAC1":               importPFX(file(pbmac1(pbkdf2(most, 32, 8)), plainSafe(certBag(leaf)))),
		"a key of PBMAC1 of 2 GiB":           importPFX(file(pbmac1(pbkdf2(1, most, 8)), plainSafe(certBag(leaf)))),
		"iterations of an old encryption":    importPFX(file(nil, encryptedSafe(pbe(most)))),
		"iterations of PBKDF2":               importPFX(file(nil, encryptedSafe(pbes2(pbkdf2(most, 32, 8))))),
		"a key of PBKDF2 of 2 GiB":           importPFX(file(nil, encryptedSafe(pbes2(pbkdf2(1, most, 8))))),
		"a salt of half a megabyte":          importPFX(file(nil, encryptedSafe(pbes2(pbkdf2(500_000, 32, 500_000))))),
		"scrypt over 64 GiB":                 importPFX(file(nil, encryptedSafe(pbes2(scrypt(1<<30, 64, 1))))),
		"scrypt in many lanes":               importPFX(file(nil, encryptedSafe(pbes2(scrypt(2, 1, most))))),
		"iterations in many parts":           importPFX(file(nil, bytes.Join(times(100, encryptedSafe(pbe(600_000))), nil))),
		"iterations of a shrouded key":       importPFX(file(nil, plainSafe(bag(2, der(sequence, pbe(most), der(octets, make([]byte, 64))))))),
		"10,000 bags":                        importPFX(file(nil, plainSafe(times(10_000, bag(3, der(sequence, oid(1, 2, 840, 113549, 1, 9, 22, 1), der(explicit0, der(octets)))))...))),
		"1,000 certificates":                 importPFX(file(nil, plainSafe(times(1000, certBag(leaf))...))),
		"100,000 empty bags":                 importPFX(file(nil, plainSafe(times(100_000, der(sequence))...))),
		"10,000 parts":                       importPFX(file(nil, times(10_000, plainSafe())...)),
		"10,000 encrypted parts":             importPFX(file(nil, times(5_000, encryptedSafe(pbe(1)))...)),
		"bags in bags, 1,000 deep":           importPFX(file(nil, plainSafe(bagsInBags(1000)))),
		"sequences in sequences":             importPFX(file(nil, plainSafe(bag(6, nested(sequence, 1000, nil))))),
		"sequences in sequences, as a file":  importPFX(nested(sequence, 100_000, nil)),
		"octets in octets":                   importPFX(file(nil, der(sequence, pkcs7(1), der(explicit0, nested(octets, 50_000, nil))))),
		"constructed octets without an end":  importPFX(append(bytes.Repeat([]byte{0x24, 0x80}, 300_000), 0)),
		"sequences without an end":           importPFX(bytes.Repeat([]byte{0x30, 0x80}, 300_000)),
		"a length of 2 GiB":                  importPFX([]byte{sequence, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02, 0x01, 0x03}),
		"a length of 2^64":                   importPFX([]byte{sequence, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}),
		"100,000 attributes of a bag":        importPFX(file(nil, plainSafe(der(sequence, bagID(3), der(explicit0, der(sequence)), der(set, times(100_000, der(sequence))...))))),
		"a key of a million bits":            importPFX(file(nil, plainSafe(bag(1, pkcs8(rsaOID(), hugeRSA(1<<20))), certBag(leaf)))),
		"a key of 32,768 bits":               importPFX(file(nil, plainSafe(bag(1, pkcs8(rsaOID(), hugeRSA(1<<15))), certBag(leaf)))),
		"a certificate with 40,000 names":    importPFX(file(nil, plainSafe(certBag(certificateOf(t, nil, 40_000))))),
		"a certificate with a vast key":      importPFX(file(nil, plainSafe(certBag(certificateOf(t, hugePublic(1<<22, 17), 1))))),
		"no PKCS #12 at all":                 importPFX(make([]byte, 700_000)),
		"base64 of nothing but line breaks":  importPEM(strings.Repeat("\r\n", 500_000)),
		"a password of a megabyte":           asJSON("POST", "/certificates/bomb/import", map[string]any{"value": base64Of(file(macData(1000), plainSafe(certBag(leaf)))), "pwd": strings.Repeat("x", 1<<20)}),
		"a password that is no text to hash": asJSON("POST", "/certificates/bomb/import", map[string]any{"value": base64Of(file(macData(1000), plainSafe(certBag(leaf)))), "pwd": strings.Repeat("\U0001F511", 100_000)}),
	}
}

// textsThatAreBombs are PEM.
func textsThatAreBombs(t *testing.T, leaf []byte) map[string]bomb {
	t.Helper()
	return map[string]bomb{
		"beginnings":                           importPEM(repeated("-----BEGIN CERTIFICATE-----\n", 1<<20)),
		"beginnings and ends":                  importPEM(repeated("-----BEGIN A-----\n-----END A-----\n", 1<<20)),
		"ends":                                 importPEM("-----BEGIN A-----\n" + repeated("-----END B-----\n", 1<<20-100)),
		"beginnings that go wrong":             importPEM(repeated("-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE----\n", 1<<20)),
		"dashes":                               importPEM("-----BEGIN " + strings.Repeat("-", 1<<20-100)),
		"headers":                              importPEM("-----BEGIN CERTIFICATE-----\n" + repeated("a: b\n", 1<<20-100)),
		"a header":                             importPEM("-----BEGIN CERTIFICATE-----\na: " + strings.Repeat("b", 1<<20-100)),
		"10,000 certificates":                  importPEM(repeated(block("CERTIFICATE", []byte{0x30, 0}), 1<<20)),
		"2,000 certificates that are good":     importPEM(strings.Repeat(block("CERTIFICATE", leaf), 2000)),
		"10,000 keys":                          importPEM(repeated(block("PRIVATE KEY", []byte{0x30, 0}), 1<<20)),
		"iterations of a key":                  importPEM(block("ENCRYPTED PRIVATE KEY", der(sequence, pbes2(pbkdf2(most, 32, 8)), der(octets, make([]byte, 64)))) + block("CERTIFICATE", leaf)),
		"scrypt of a key":                      importPEM(block("ENCRYPTED PRIVATE KEY", der(sequence, pbes2(scrypt(1<<30, 64, 1)), der(octets, make([]byte, 64)))) + block("CERTIFICATE", leaf)),
		"an RSA key of a million bits":         importPEM(block("RSA PRIVATE KEY", hugeRSA(1<<20)) + block("CERTIFICATE", leaf)),
		"a PKCS #8 key of a million bits":      importPEM(block("PRIVATE KEY", pkcs8(rsaOID(), hugeRSA(1<<20))) + block("CERTIFICATE", leaf)),
		"sequences in a certificate":           importPEM(block("CERTIFICATE", nested(sequence, 100_000, nil))),
		"a certificate in PEM with a vast key": importPEM(block("CERTIFICATE", certificateOf(t, hugePublic(1<<22, 17), 1))),
	}
}

// requestsThatAreBombs are CSRs, certificates and keys.
func requestsThatAreBombs(t *testing.T, leaf []byte) map[string]bomb {
	t.Helper()
	return map[string]bomb{
		"a CSR with a vast key":             issue(request(name(1), hugePublic(1<<20, 17), nil, 256)),
		"a CSR with a key as large as fits": issue(request(name(1), hugePublic(160_000, 17), nil, 20_000)),
		"a CSR with a key of 32,768 bits":   issue(request(name(1), hugePublic(32_768, 17), nil, 4096)),
		"a CSR with as many names as fit":   issue(sanRequest(3500, "a.example")),
		"a CSR with as many parts as fit":   issue(request(name(3000), publicKey(), nil, 256)),
		"a CSR with a vast exponent":        issue(request(name(1), hugePublic(16384, 16384), nil, 2048)),
		"a CSR with a vast signature":       issue(request(name(1), hugePublic(2048, 17), nil, 700_000)),
		"a CSR with 50,000 names":           issue(sanRequest(50_000, "a.example")),
		"a CSR with one vast name":          issue(sanRequest(1, strings.Repeat("a.", 300_000))),
		"a CSR with 50,000 parts":           issue(request(name(50_000), hugePublic(2048, 17), nil, 256)),
		"a CSR with 100,000 attributes":     issue(request(name(1), hugePublic(2048, 17), bytes.Repeat(der(sequence), 100_000), 256)),
		"sequences in a CSR":                issue(nested(sequence, 100_000, nil)),
		"10,000 CSRs":                       asJSON("POST", "/api/v1/profiles/tls-server/certificates", map[string]any{"csr": repeated(block("CERTIFICATE REQUEST", []byte{0x30, 0}), 500_000)}),

		// what a CA is said to have issued
		"10,000 certificates to merge":           merge(repeat(10_000, base64Of([]byte{0x30, 0}))...),
		"1,000 good certificates to merge":       merge(repeat(1000, base64Of(leaf))...),
		"a certificate with a vast key to merge": merge(base64Of(certificateOf(t, hugePublic(1<<22, 17), 1))),
		"a certificate of a megabyte":            merge(base64Of(make([]byte, 1<<20))),

		// a key
		"a modulus of 4 million bits":         importKey(map[string]any{"kty": "RSA", "n": urlBase64Of(odd(1 << 22)), "e": "AQAB"}),
		"a modulus of 65,536 bits":            importKey(map[string]any{"kty": "RSA", "n": urlBase64Of(odd(1 << 16)), "e": "AQAB"}),
		"an exponent of 4 million bits":       importKey(map[string]any{"kty": "RSA", "n": urlBase64Of(odd(2048)), "e": urlBase64Of(odd(1 << 22))}),
		"primes that are none":                importKey(map[string]any{"kty": "RSA", "n": urlBase64Of(odd(4096)), "e": "AQAB", "d": urlBase64Of(odd(4096)), "p": urlBase64Of(odd(2048)), "q": urlBase64Of(odd(2048)), "dp": urlBase64Of(odd(2048)), "dq": urlBase64Of(odd(2048)), "qi": urlBase64Of(odd(2048))}),
		"primes of a million bits":            importKey(map[string]any{"kty": "RSA", "n": urlBase64Of(odd(2048)), "e": "AQAB", "d": urlBase64Of(odd(2048)), "p": urlBase64Of(odd(1 << 20)), "q": urlBase64Of(odd(1 << 20)), "dp": "AQAB", "dq": "AQAB", "qi": "AQAB"}),
		"a coordinate of a megabyte":          importKey(map[string]any{"kty": "EC", "crv": "P-256", "x": urlBase64Of(odd(1 << 23)), "y": "AA", "d": "AA"}),
		"a symmetric key of a megabyte":       importKey(map[string]any{"kty": "oct", "k": urlBase64Of(odd(1 << 23))}),
		"100,000 operations of a key":         importKey(map[string]any{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA", "key_ops": repeat(100_000, "sign")}),
		"a transfer blob of a megabyte":       importKey(map[string]any{"kty": "RSA-HSM", "key_hsm": urlBase64Of([]byte(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`))}),
		"a transfer blob, 10,000 deep":        importKey(map[string]any{"kty": "RSA-HSM", "key_hsm": urlBase64Of([]byte(strings.Repeat(`{"a":`, 10_000)))}),
		"a release policy, 10,000 deep":       asJSON("POST", "/keys/bomb/create", map[string]any{"kty": "RSA-HSM", "attributes": map[string]any{"exportable": true}, "release_policy": map[string]any{"data": urlBase64Of([]byte(repeated(`{"anyOf":[`, 500_000)))}}),
		"a release policy with 50,000 claims": asJSON("POST", "/keys/bomb/create", map[string]any{"kty": "RSA-HSM", "attributes": map[string]any{"exportable": true}, "release_policy": map[string]any{"data": urlBase64Of([]byte(`{"version":"1.0.0","anyOf":[{"authority":"https://a.example","allOf":[` + list(500_000, func(int) string { return `{"claim":"a","equals":"b"}` }) + `]}]}`))}}),
	}
}

// bodiesThatAreBombs have more of something than anybody needs.
func bodiesThatAreBombs() map[string]bomb {
	return map[string]bomb{
		"100 MB":                       {"POST", "/certificates/bomb/import", &endless{}, 100 << 20, false},
		"100 MB of a secret":           {"PUT", "/secrets/bomb", &endless{}, 100 << 20, false},
		"100 MB to our own API":        {"POST", "/api/v1/applications", &endless{}, 100 << 20, false},
		"a policy with 50,000 names":   asJSON("POST", "/certificates/bomb/create", map[string]any{"policy": map[string]any{"issuer": map[string]any{"name": "Self"}, "x509_props": map[string]any{"subject": "CN=a", "sans": map[string]any{"dns_names": repeat(50_000, "a.example")}}}}),
		"a policy with a vast subject": asJSON("POST", "/certificates/bomb/create", map[string]any{"policy": map[string]any{"issuer": map[string]any{"name": "Self"}, "x509_props": map[string]any{"subject": repeated("CN=a,", 1<<20)}}}),
		"a policy with 50,000 usages":  asJSON("POST", "/certificates/bomb/create", map[string]any{"policy": map[string]any{"issuer": map[string]any{"name": "Self"}, "x509_props": map[string]any{"subject": "CN=a", "ekus": repeat(50_000, "1.3.6.1.5.5.7.3.1")}}}),
		"a usage of a million numbers": asJSON("POST", "/certificates/bomb/create", map[string]any{"policy": map[string]any{"issuer": map[string]any{"name": "Self"}, "x509_props": map[string]any{"subject": "CN=a", "ekus": []string{"1.3" + strings.Repeat(".1", 500_000)}}}}),
		"50,000 contacts":              asJSON("PUT", "/certificates/contacts", map[string]any{"contacts": times(50_000, map[string]any{"email": "a@example.com"})}),
		"a backup of a megabyte":       asJSON("POST", "/secrets/restore", map[string]any{"value": urlBase64Of(append([]byte("CHB1\xff\xff"), make([]byte, 1<<20)...))}),
		"a ciphertext of a megabyte":   asJSON("POST", "/keys/there/decrypt", map[string]any{"alg": "RSA-OAEP-256", "value": urlBase64Of(make([]byte, 1<<20))}),
		"a message of a megabyte":      asJSON("POST", "/keys/there/encrypt", map[string]any{"alg": "RSA-OAEP-256", "value": urlBase64Of(make([]byte, 1<<20))}),
		"a value of a megabyte":        asJSON("PUT", "/secrets/bomb", map[string]any{"value": strings.Repeat("x", 1<<20)}),
	}
}

func times[T any](n int, v T) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = v
	}
	return list
}

// bagsInBags nests SafeContents in bags.
func bagsInBags(n int) []byte {
	content := der(sequence)
	for range n {
		content = der(sequence, bag(6, content))
	}
	return bag(6, content)
}

// wait makes what some bombs need: a certificate whose request waits, and a key.
func (s stranger) wait(t *testing.T) {
	t.Helper()
	for path, body := range map[string]string{
		"/certificates/waiting/create": `{"policy":{"issuer":{"name":"Unknown"},"x509_props":{"subject":"CN=a"},"key_props":{"kty":"EC","crv":"P-256"}}}`,
		"/keys/there/create":           `{"kty":"RSA"}`,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.VaultURL("default")+path+"?api-version=7.6", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.bearer)
		res, err := s.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode >= 300 {
			t.Fatalf("%s: %s", path, res.Status)
		}
	}
}
