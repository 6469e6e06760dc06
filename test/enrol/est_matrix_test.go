package enrol

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/serve/est"
)

// credential is what a client shows.
type credential struct {
	user, password string
	certificate    *tls.Certificate
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

func csrOf(t testing.TB, key *ecdsa.PrivateKey, names ...string) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names}, key)
	must(t, err)
	return der
}

// held is a certificate of ours with its key.
func (w *world) held(t testing.TB, profile string, key *ecdsa.PrivateKey, names ...string) *tls.Certificate {
	t.Helper()
	made, err := w.Requests.Enroll(t.Context(), apptest.System, enrollment.Ask{Door: "rest", Profile: profile, CSR: csrOf(t, key, names...)})
	must(t, err)
	return &tls.Certificate{Certificate: [][]byte{made.Certificate}, PrivateKey: key}
}

// foreign is a certificate of somebody else, who signs with parent, or nobody.
func foreign(t testing.TB, key *ecdsa.PrivateKey, name string, ca bool) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: ca, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (w *world) application(t testing.TB, roles ...string) (id, secret string) {
	t.Helper()
	who, err := w.Directory.CreateApplication(t.Context(), apptest.System, "app "+strings.Join(roles, ","))
	must(t, err)
	for _, r := range roles {
		_, err = w.Directory.Assign(t.Context(), apptest.System, who.ID, r, access.Root)
		must(t, err)
	}
	_, s, err := w.Directory.AddCredential(t.Context(), apptest.System, who.ID, directory.NewCredential{Kind: directory.ClientSecret})
	must(t, err)
	return who.ClientID, s.Reveal()
}

// ask sends a CSR to an operation of clients.
func (w *world) ask(t testing.TB, method, operation string, c credential, csr []byte) (int, http.Header, string) {
	t.Helper()
	config := &tls.Config{RootCAs: w.Roots, MinVersion: tls.VersionTLS12}
	if c.certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.certificate, nil }
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DialContext: apptest.Loopback, DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(t.Context(), method, w.ESTURL()+est.Prefix+operation, bytes.NewReader([]byte(base64.StdEncoding.EncodeToString(csr))))
	must(t, err)
	if c.user != "" {
		r.SetBasicAuth(c.user, c.password)
	}
	res, err := client.Do(r)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	return res.StatusCode, res.Header, string(text)
}

// Every operation in every state of authentication: what is not in the table is refused.
func TestESTOperationsInEveryStateOfAuthentication(t *testing.T) {
	t.Parallel()
	w := start(t)
	const name = "d.example.test"
	key := newKey(t)
	id, secret := w.application(t, "Operator")
	weakID, weakSecret := w.application(t, "Auditor")
	code := func(door, profile string, names ...string) string {
		return w.passcode(t, door, profile, names...).Reveal()
	}
	revoked := w.held(t, "clients", newKey(t), name)
	leaf, err := x509.ParseCertificate(revoked.Certificate[0])
	must(t, err)
	_, err = w.Revocation.Revoke(t.Context(), apptest.System, revocation.Request{Authority: "issuing", Serial: leaf.SerialNumber.Text(16)})
	must(t, err)
	ours := w.held(t, "clients", key, name)

	const yes, no, never = http.StatusOK, http.StatusUnauthorized, http.StatusForbidden
	// The columns: simpleenroll, simplereenroll, serverkeygen.
	states := map[string]struct {
		credential
		want [3]int
	}{
		"nothing":                              {credential{}, [3]int{no, no, no}},
		"application":                          {credential{user: id, password: secret}, [3]int{yes, no, yes}},
		"application, wrong secret":            {credential{user: id, password: secret + "x"}, [3]int{no, no, no}},
		"application, empty secret":            {credential{user: id}, [3]int{no, no, no}},
		"application, another's secret":        {credential{user: id, password: weakSecret}, [3]int{no, no, no}},
		"application without the right":        {credential{user: weakID, password: weakSecret}, [3]int{never, no, never}},
		"unknown application":                  {credential{user: "nobody", password: secret}, [3]int{no, no, no}},
		"one-time password":                    {credential{user: "x", password: "fresh"}, [3]int{yes, no, yes}},
		"one-time password of SCEP":            {credential{user: "x", password: code(passcode.SCEP, "clients", name)}, [3]int{no, no, no}},
		"one-time password of another profile": {credential{user: "x", password: code(passcode.EST, "tls-server", name)}, [3]int{no, no, no}},
		"one-time password for another name":   {credential{user: "x", password: code(passcode.EST, "clients", "e.example.test")}, [3]int{never, no, never}},
		"one-time password that never was":     {credential{user: "x", password: passcode.Prefix + "AAAA"}, [3]int{no, no, no}},
		"certificate":                          {credential{certificate: ours}, [3]int{yes, yes, yes}},
		"certificate for a server":             {credential{certificate: w.held(t, "tls-server", newKey(t), name)}, [3]int{never, never, never}},
		"certificate for another name":         {credential{certificate: w.held(t, "clients", newKey(t), "e.example.test")}, [3]int{never, never, never}},
		"revoked certificate":                  {credential{certificate: revoked}, [3]int{no, no, no}},
		"self-signed, the same name":           {credential{certificate: foreign(t, newKey(t), name, false)}, [3]int{no, no, no}},
		"self-signed, the same key":            {credential{certificate: foreign(t, key, name, false)}, [3]int{no, no, no}},
		"an authority's as a leaf":             {credential{certificate: foreign(t, newKey(t), name, true)}, [3]int{no, no, no}},
		"good password, bad certificate":       {credential{user: id, password: secret, certificate: foreign(t, newKey(t), name, false)}, [3]int{yes, no, yes}},
		"bad password, good certificate":       {credential{user: id, password: "x", certificate: ours}, [3]int{no, yes, no}},
	}
	for _, state := range slices.Sorted(maps.Keys(states)) {
		s := states[state]
		for i, operation := range []string{"simpleenroll", "simplereenroll", "serverkeygen"} {
			c := s.credential
			if c.password == "fresh" {
				c.password = code(passcode.EST, "clients", name)
			}
			status, header, text := w.ask(t, http.MethodPost, "clients/"+operation, c, csrOf(t, newKey(t), name))
			if status != s.want[i] {
				t.Errorf("%s with %s: %d %s, want %d", operation, state, status, text, s.want[i])
			}
			if challenge := header.Get("WWW-Authenticate"); (status == no) != strings.HasPrefix(challenge, "Basic ") {
				t.Errorf("%s with %s: %d with the challenge %q", operation, state, status, challenge)
			}
		}
	}
}

// What anybody may see, and nothing else: the list of operations is the protocol's.
func TestESTAnswersAnybodyOnlyWhatIsPublic(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, o := range est.Operations() {
		status, _, text := w.ask(t, o.Method, "tls-server/"+o.Name, credential{}, csrOf(t, newKey(t), "a.example.test"))
		if (status == http.StatusUnauthorized) == o.Open {
			t.Errorf("%s: %d %s", o.Name, status, text)
		}
	}
	for _, path := range []string{"none/cacerts", "none/simpleenroll", "tls-server/other", "tls-server", "other", "../api/v1/profiles"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if status, _, text := w.ask(t, method, path, credential{}, nil); status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d %s", method, path, status, text)
			}
		}
	}
}

func TestESTReenrolmentKeepsSubjectAndNames(t *testing.T) {
	t.Parallel()
	w := start(t)
	mine := credential{certificate: w.held(t, "clients", newKey(t), "d.example.test", "e.example.test")}
	for state, csr := range map[string][]byte{
		"fewer names":   csrOf(t, newKey(t), "d.example.test"),
		"more names":    csrOf(t, newKey(t), "d.example.test", "e.example.test", "f.example.test"),
		"other subject": csrOf(t, newKey(t), "e.example.test", "d.example.test"),
	} {
		if status, _, text := w.ask(t, http.MethodPost, "clients/simplereenroll", mine, csr); status != http.StatusForbidden {
			t.Errorf("%s: %d %s", state, status, text)
		}
	}
	if status, _, text := w.ask(t, http.MethodPost, "clients/simplereenroll", mine, csrOf(t, newKey(t), "d.example.test", "e.example.test")); status != http.StatusOK {
		t.Errorf("the same: %d %s", status, text)
	}
	if status, _, text := w.ask(t, http.MethodPost, "tls-server/simplereenroll", mine, csrOf(t, newKey(t), "d.example.test", "e.example.test")); status != http.StatusForbidden {
		t.Errorf("by another profile: %d %s", status, text)
	}
}

func TestESTRefusesWhatIsNoCSRAndWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	w := start(t)
	me := credential{user: w.client, password: w.secret.Reveal()}
	bad := csrOf(t, newKey(t), "a.example.test")
	bad[len(bad)-4] ^= 1
	for name, c := range map[string]struct {
		body   []byte
		status int
	}{
		"nothing": {nil, 400}, "text": {[]byte("CSR"), 400}, "of another key": {bad, 400}, "large": {make([]byte, 200<<10), 413},
		"no names": {csrWithout(t), 400},
	} {
		if status, _, text := w.ask(t, http.MethodPost, "tls-server/simpleenroll", me, c.body); status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, text, c.status)
		}
	}
}

func csrWithout(t testing.TB) []byte {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, newKey(t))
	must(t, err)
	return der
}

func TestOneTimePasswordIsTakenAgainForTheSameCSROnly(t *testing.T) {
	t.Parallel()
	w := start(t)
	c := credential{user: "x", password: w.passcode(t, passcode.EST, "tls-server", "a.example.test").Reveal()}
	refused := csrOf(t, newKey(t), "a.example.test")
	refused[len(refused)-4] ^= 1
	if status, _, text := w.ask(t, http.MethodPost, "tls-server/simpleenroll", c, refused); status != http.StatusBadRequest {
		t.Fatalf("a CSR that is refused: %d %s", status, text)
	}
	csr := csrOf(t, newKey(t), "a.example.test")

	status, _, first := w.ask(t, http.MethodPost, "tls-server/simpleenroll", c, csr)
	_, _, again := w.ask(t, http.MethodPost, "tls-server/simpleenroll", c, csr)

	if status != http.StatusOK || first != again {
		t.Errorf("%d: the same CSR brought another answer", status)
	}
	if status, _, text := w.ask(t, http.MethodPost, "tls-server/simpleenroll", c, csrOf(t, newKey(t), "a.example.test")); status != http.StatusUnauthorized {
		t.Errorf("another CSR: %d %s", status, text)
	}
}
