package console_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"software.sslmate.com/src/go-pkcs12"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/serve/console/consoletest"
)

// enters signs the person in with the link that the server prints.
func (p *person) enters() {
	p.t.Helper()
	var greeting strings.Builder
	p.product.Greet(p.t.Context(), &greeting)
	link := regexp.MustCompile(`https://\S+token=\S+`).FindString(greeting.String())
	if link == "" {
		p.t.Fatalf("the server prints no link:\n%s", greeting.String())
	}
	p.Visit(link)
	p.look()
	p.follows("Continue")
}

// arrived waits for a file that the browser saves: it has its name when it is whole.
func arrived(t *testing.T, path string) []byte {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-tick.C {
		if file, err := os.ReadFile(path); err == nil {
			return file
		}
	}
	t.Fatalf("%s was not saved", path)
	return nil
}

// Somebody lets a machine in, has a certificate made for a CSR, and gives the issuing
// authority a successor, with the mouse alone.
func TestPersonLetsMachinesInAndFetchesACertificate(t *testing.T) {
	p := &person{Browser: consoletest.Open(t), t: t, product: apptest.Start(t)}
	p.Size(1280, 900, false)
	p.enters()

	p.follows("Enrolment")
	p.reads("No password yet", "tls-server")
	p.follows("ACME, EST, SCEP")
	p.reads(p.product.URL+"/acme/tls-server/directory", "certbot certonly")
	p.Do(chromedp.Click(chromedp.CSS(`button[aria-label="Copy Directory"]`)))
	p.Wait(`document.querySelector('button[aria-label="Copy Directory"]').textContent === 'Copied'`)

	p.follows("New one-time password")
	p.writes("names", "printer.lan")
	p.follows("Make the password")
	p.reads("che_", "printer.lan", "it is shown this once")
	p.goes("/enrolment")
	p.reads("printer.lan", "unused")

	p.goes("/enrolment/profiles/tls-server/csr")
	p.writes("csr", "hello")
	p.follows("Ask for the certificate")
	p.reads("Nothing was changed", "not one CSR in PEM")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{shop}}, key)
	if err != nil {
		t.Fatal(err)
	}
	p.writes("csr", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})))
	p.follows("Ask for the certificate")
	p.reads("The certificate of "+shop, "issuing")

	// A file is saved, and the page stays and can be used again.
	p.goes("/enrolment/profiles/tls-server/key")
	p.writes("names", shop)
	p.writes("password", "correct horse battery staple")
	saved := t.TempDir()
	p.Downloads(saved)
	p.Do(chromedp.Click(chromedp.CSS("main form button.primary")))
	file := arrived(t, filepath.Join(saved, shop+".pfx"))
	p.Wait(`!document.querySelector('main form button.primary').disabled`)
	if _, leaf, _, err := pkcs12.DecodeChain(file, "correct horse battery staple"); err != nil || leaf.DNSNames[0] != shop {
		t.Errorf("%d bytes, %v", len(file), err)
	}
	p.goes("/authorities")
	p.reads("Roll over")
	p.goes("/authorities/issuing/succeed")
	p.writes("name", "Issuing CA, the next")
	p.follows("Make the successor")
	p.reads("The successor issues from now on", "followed by issuing-")
	p.Size(360, 800, false)
	for _, path := range []string{"/enrolment", "/profiles/tls-server", "/authorities"} {
		p.goes(path)
		if over := consoletest.Eval[int](p.Browser, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
			t.Errorf("%s: %d pixels wider than the window", path, over)
		}
	}
}
