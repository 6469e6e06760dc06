package console_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/serve/console/consoletest"
)

// csrText is a CSR in PEM.
func csrText(t *testing.T, names ...string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func text(a answer) string { return consoletest.Text(a.doc.All("main")[0]) }

// What a page says at a door is where the door is.
func TestAProfileShowsItsDoorsWithAddressesThatAnswer(t *testing.T) {
	p := apptest.Start(t)
	admin := administrator(t, p)
	shown := admin.reads("/profiles/tls-server", "Doors", "ACME", "EST", "certbot certonly --server", "New key", "New one-time password", `"name": "tls-server", "title"`)
	said := map[string][]string{}
	for _, x := range shown.doc.All("pre") {
		label := consoletest.Attr(x, "aria-label")
		said[label] = append(said[label], consoletest.Text(x))
	}
	for label, want := range map[string][]string{
		"Directory":                         {p.URL + "/acme/tls-server/directory"},
		"Address":                           {p.URL + "/.well-known/est/tls-server", p.StatusURL() + "/scep/tls-server"},
		"Address with a client certificate": {p.ESTURL() + "/.well-known/est/tls-server"},
		"Address with TLS":                  {p.URL + "/scep/tls-server"},
	} {
		if !slices.Equal(said[label], want) {
			t.Errorf("%s: %q, want %q", label, said[label], want)
		}
	}
	if a := admin.do(http.MethodGet, "/acme/tls-server/directory", nil); a.StatusCode != http.StatusOK || !strings.Contains(a.body, "newOrder") {
		t.Errorf("the directory: %d %s", a.StatusCode, a.body)
	}
	admin.reads("/profiles/code-signing", "No door is open")
	admin.reads("/acme-server/keys/new?profile=device", "Make a key")
}

func TestAOneTimePasswordIsShownOnceAndTakenBack(t *testing.T) {
	p := apptest.Start(t)
	admin := administrator(t, p)
	admin.reads("/enrolment", "No password yet", "From a CSR", "tls-server")
	admin.reads("/enrolment/passwords/new?profile=device&door=scep", "Make the password")

	made := admin.post("/enrolment/passwords/new", "profile", "tls-server", "door", "est", "names", "printer.example.com\n\n*.iot.example.com", "hours", "48", "comment", "hall 3")

	list, err := p.Enrolment.Passcodes.List(t.Context(), apptest.System, "", 10)
	if err != nil || len(list) != 1 || strings.Join(list[0].Names, " ") != "printer.example.com *.iot.example.com" || list[0].Expires.Sub(list[0].Created).Round(time.Hour) != 48*time.Hour {
		t.Fatalf("%+v, %v", list, err)
	}
	said := text(made)
	at := strings.Index(said, "che_")
	if made.StatusCode != http.StatusOK || at < 0 || !strings.Contains(said, "it is shown this once") {
		t.Fatalf("%d: %s", made.StatusCode, said)
	}
	secret, _, _ := strings.Cut(said[at:], " ")
	if page := admin.reads("/enrolment", "printer.example.com", "unused", "hall 3"); strings.Contains(page.body, secret) {
		t.Error("the list shows the password")
	}
	path := "/enrolment/passwords/" + list[0].ID + "/delete"
	admin.reads(path, "Take the password back")
	admin.reads(admin.post(path).Header.Get("Location"), "The password opens nothing any more", "No password yet")
	for why, form := range map[string][]string{
		"no hours":   {"profile", "tls-server", "door", "est", "names", "a.example.com", "hours", "x"},
		"no names":   {"profile", "tls-server", "door", "est", "hours", "1"},
		"no profile": {"profile", "absent", "door", "est", "names", "a.example.com", "hours", "1"},
		"no door":    {"profile", "tls-server", "door", "acme", "names", "a.example.com", "hours", "1"},
	} {
		if a := admin.post("/enrolment/passwords/new", form...); a.StatusCode/100 != 4 {
			t.Errorf("%s: %d", why, a.StatusCode)
		}
	}

	colleague(t, p, "Dora", "Requester").reads("/enrolment", "tls-server", "You have no role that shows one-time passwords")
	other := colleague(t, p, "Cleo", "Auditor")
	if a := other.post("/enrolment/passwords/new", "profile", "tls-server", "door", "est", "names", "*", "hours", "1"); a.StatusCode != http.StatusForbidden {
		t.Errorf("a password by an auditor: %d", a.StatusCode)
	}
	if a := other.post("/enrolment/passwords/x/delete"); a.StatusCode != http.StatusForbidden {
		t.Errorf("taken back by an auditor: %d", a.StatusCode)
	}
}

func TestACertificateIsFetchedWithACSR(t *testing.T) {
	p := apptest.Start(t)
	admin := administrator(t, p)
	admin.reads("/enrolment/profiles/tls-server/csr", "CSR, in PEM")

	made := admin.post("/enrolment/profiles/tls-server/csr", "csr", csrText(t, "www.example.com"), "days", "7", "owner", "shop")

	place := made.Header.Get("Location")
	shown := admin.reads(place, "The certificate of www.example.com", "issuing", "BEGIN CERTIFICATE")
	file := admin.do(http.MethodGet, place+"/chain.pem", nil)
	block, rest := pem.Decode([]byte(file.body))
	if block == nil || !strings.Contains(file.Header.Get("Content-Disposition"), `filename=www.example.com.pem`) || !strings.Contains(shown.body, strings.TrimSpace(file.body[30:90])) {
		t.Fatalf("%s %s", file.Header.Get("Content-Disposition"), file.body)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || leaf.DNSNames[0] != "www.example.com" || leaf.NotAfter.Sub(leaf.NotBefore).Hours() > 7*24+2 {
		t.Errorf("%+v, %v", leaf, err)
	}
	if above, _ := pem.Decode(rest); above == nil {
		t.Error("the chain is missing")
	}
	for why, form := range map[string][]string{
		"no CSR":         {"csr", "hello"},
		"two":            {"csr", csrText(t, "a.example.com") + csrText(t, "b.example.com")},
		"no names":       {"csr", csrText(t)},
		"no days":        {"csr", csrText(t, "a.example.com"), "days", "-1"},
		"too many days":  {"csr", csrText(t, "a.example.com"), "days", "9000"},
		"a certificate ": {"csr", file.body},
	} {
		if a := admin.post("/enrolment/profiles/tls-server/csr", form...); a.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", why, a.StatusCode)
		}
	}
	if a := admin.do(http.MethodGet, "/enrolment/profiles/absent/csr", nil); a.StatusCode/100 != 4 {
		t.Errorf("a profile that is not there: %d", a.StatusCode)
	}

	other := colleague(t, p, "Cleo", "Auditor")
	if a := other.post("/enrolment/profiles/tls-server/csr", "csr", csrText(t, "www.example.com")); a.StatusCode != http.StatusForbidden {
		t.Errorf("a certificate for an auditor: %d", a.StatusCode)
	}
}

// Where a person must agree, the form leads to the request, and the request to the
// certificate when somebody agreed.
func TestACSRThatNeedsAnApprovalWaitsForIt(t *testing.T) {
	p := apptest.Start(t)
	admin := administrator(t, p)
	if a := admin.post("/enrolment/profiles/code-signing/key", "names", "a.example.com", "key", "P-256", "format", "pem"); a.StatusCode/100 != 4 {
		t.Errorf("a key of which nobody could fetch the certificate: %d", a.StatusCode)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Release team", Organization: []string{"Example"}}}, key)
	if err != nil {
		t.Fatal(err)
	}

	made := admin.post("/enrolment/profiles/code-signing/csr", "csr", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})))

	place := made.Header.Get("Location")
	admin.reads(place, "The request is on its way")
	request, _, _ := strings.Cut(strings.TrimPrefix(place, "/requests/"), "?")
	if a := admin.do(http.MethodGet, "/requests/"+request+"/certificate", nil); a.Header.Get("Location") != "/requests/"+request {
		t.Errorf("too early: %d %s", a.StatusCode, a.Header.Get("Location"))
	}
	list, err := p.Requests.List(t.Context(), apptest.System, enrollment.Query{State: enrollment.Pending, Limit: 10})
	if err != nil || len(list) != 1 || list[0].ID != request {
		t.Errorf("%+v, %v", list, err)
	}
	approver := colleague(t, p, "Bea", "Approver")
	approver.reads("/requests?state=pending", "Release team")
	approver.sent(approver.post("/requests/" + request + "/approve"))
	if r := ended(t, p, request); r.State != enrollment.Completed {
		t.Fatalf("%s: %s", r.State, r.Problem)
	}
	admin.reads("/requests/"+request, "Take the certificate")
	admin.reads("/requests/"+request+"/certificate", "Release team", "BEGIN CERTIFICATE")
}

func TestAKeyIsMadeAndSavedAsAFile(t *testing.T) {
	p := apptest.Start(t)
	admin := administrator(t, p)
	admin.reads("/enrolment/profiles/tls-server/key", "Password of the file")

	made := admin.post("/enrolment/profiles/tls-server/key", "names", "www.example.com\n10.1.2.3", "key", "P-384", "format", "pfx", "password", "correct horse")

	if made.StatusCode != http.StatusOK || made.Header.Get("Content-Disposition") != "attachment; filename=www.example.com.pfx" || made.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", made.StatusCode, made.Header)
	}
	key, leaf, chain, err := pkcs12.DecodeChain([]byte(made.body), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := key.(*ecdsa.PrivateKey); !ok || !k.PublicKey.Equal(leaf.PublicKey) || k.Curve != elliptic.P384() || len(chain) != 1 || leaf.DNSNames[0] != "www.example.com" || leaf.IPAddresses[0].String() != "10.1.2.3" {
		t.Errorf("%T, %+v", key, leaf)
	}
	bare := admin.post("/enrolment/profiles/tls-server/key", "names", "www.example.com", "key", "P-256", "format", "pem")
	if !bytes.Contains([]byte(bare.body), []byte("PRIVATE KEY")) || !strings.HasSuffix(bare.Header.Get("Content-Disposition"), ".pem") {
		t.Errorf("%d %v", bare.StatusCode, bare.Header)
	}
	wrong := admin.post("/enrolment/profiles/tls-server/key", "names", "www.example.com", "key", "P-256", "format", "pfx", "password", "short pw")
	if wrong.StatusCode != http.StatusOK {
		t.Errorf("eight characters: %d", wrong.StatusCode)
	}
	wrong = admin.post("/enrolment/profiles/tls-server/key", "names", "www.example.com", "key", "P-256", "format", "pfx", "password", "short")
	if wrong.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text(wrong), "8 characters") || strings.Contains(wrong.body, `value="short"`) {
		t.Errorf("a short password: %d", wrong.StatusCode)
	}
	other := colleague(t, p, "Cleo", "Auditor")
	if a := other.post("/enrolment/profiles/tls-server/key", "names", "www.example.com", "key", "P-256", "format", "pem"); a.StatusCode != http.StatusForbidden {
		t.Errorf("a key for an auditor: %d", a.StatusCode)
	}
}

func TestAnAuthorityRollsOverOnItsPage(t *testing.T) {
	p := apptest.Start(t)
	admin := administrator(t, p)
	admin.reads("/authorities", "Roll over")
	form := admin.reads("/authorities/issuing/succeed", "Roll issuing over", "as it is now")
	if strings.Contains(form.body, "SLH-DSA") || !strings.Contains(admin.reads("/authorities/root/succeed").body, "SLH-DSA-SHA2-128s") {
		t.Error("keys for roots are not for roots alone")
	}
	for why, fields := range map[string][]string{
		"no name":     {"id", "issuing-2"},
		"no days":     {"id", "issuing-2", "name", "Issuing 2", "days", "x"},
		"a used id":   {"id", "root", "name", "Issuing 2"},
		"a slow key ": {"id", "issuing-2", "name", "Issuing 2", "key", "SLH-DSA-SHA2-128s"},
		"no key":      {"id", "issuing-2", "name", "Issuing 2", "key", "P-1"},
	} {
		if a := admin.post("/authorities/issuing/succeed", fields...); a.StatusCode/100 != 4 {
			t.Errorf("%s: %d", why, a.StatusCode)
		}
	}

	done := admin.post("/authorities/issuing/succeed", "id", "issuing-2", "name", "Issuing 2", "key", "P-384", "days", "400")

	admin.reads(done.Header.Get("Location"), "The successor issues from now on", "followed by issuing-2")
	a, err := p.Authorities.Get(t.Context(), apptest.System, "issuing-2")
	if err != nil || a.State != authority.Active || a.Parent != "root" || a.NotAfter.Sub(a.NotBefore).Hours() < 399*24 {
		t.Errorf("%+v, %v", a, err)
	}
	made := admin.post("/enrolment/profiles/tls-server/csr", "csr", csrText(t, "www.example.com"))
	admin.reads(made.Header.Get("Location"), "issuing-2")
	if a := admin.do(http.MethodGet, "/authorities/absent/succeed", nil); a.StatusCode != http.StatusNotFound {
		t.Errorf("an authority that is not there: %d", a.StatusCode)
	}
	other := colleague(t, p, "Cleo", "Auditor")
	if a := other.post("/authorities/root/succeed", "id", "root-2", "name", "Root 2"); a.StatusCode != http.StatusForbidden {
		t.Errorf("a rollover by an auditor: %d", a.StatusCode)
	}
}
