// Package console_test walks through the console of the running product with a browser,
// as a person does: from the link that the server prints to a certificate that was found,
// adopted, renewed, installed, proved, replaced and revoked.
package console_test

import (
	"bytes"
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
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/serve/console/consoletest"
)

// shop is the name that the certificate of the story is for.
const shop = "shop.example.test"

// service is a TLS server whose certificate is in two files, which it reads anew for
// each connection, as a web server does after a reload.
type service struct {
	certificate, key string
	port             int
}

// open starts the service with a certificate that signed itself for ten years.
func open(t *testing.T) *service {
	t.Helper()
	dir := t.TempDir()
	s := &service{certificate: filepath.Join(dir, "fullchain.pem"), key: filepath.Join(dir, "key.pem")}
	selfSigned(t, s)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(s.certificate, s.key)
			return &c, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s.port = l.Addr().(*net.TCPAddr).Port
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = c.(*tls.Conn).Handshake() // scanners may go in the middle
				_ = c.Close()
			}()
		}
	}()
	return s
}

func selfSigned(t *testing.T, s *service) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(4711), Subject: pkix.Name{CommonName: shop}, DNSNames: []string{shop},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, b := range map[string]*pem.Block{s.certificate: {Type: "CERTIFICATE", Bytes: der}, s.key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// trusted reports whether a client that knows the product's root accepts the service.
func (s *service) trusted(roots *x509.CertPool) error {
	c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port), &tls.Config{ServerName: shop, RootCAs: roots, MinVersion: tls.VersionTLS12})
	if err != nil {
		return err
	}
	return c.Close()
}

// person is somebody at the browser.
type person struct {
	*consoletest.Browser
	t       *testing.T
	product *apptest.Product
	step    int
}

// look checks the page that is open: no refusal in the browser's console, and nothing
// that keeps it from being used without eyes or mouse.
func (p *person) look() {
	p.t.Helper()
	for _, said := range p.Said() {
		if !strings.Contains(said, "status of 422") { // a form that is refused says so to the browser too
			p.t.Errorf("%s: %s", p.address(), said)
		}
	}
	d, err := consoletest.Parse([]byte(consoletest.Eval[string](p.Browser, "document.documentElement.outerHTML")))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, problem := range d.Problems() {
		p.t.Errorf("%s: %s", p.address(), problem)
	}
	p.step++
	p.Picture(os.Getenv("CHATELAINE_PICTURES"), fmt.Sprintf("walk-%02d", p.step))
}

func (p *person) address() string { return consoletest.Eval[string](p.Browser, "location.pathname") }

// text is what the page says.
func (p *person) text() string {
	return strings.Join(strings.Fields(consoletest.Eval[string](p.Browser, "document.querySelector('main').innerText")), " ")
}

// reads fails unless the page says all of it.
func (p *person) reads(all ...string) {
	p.t.Helper()
	text := p.text()
	for _, want := range all {
		if !strings.Contains(text, want) {
			p.t.Fatalf("%s does not say %q:\n%s", p.address(), want, text)
		}
	}
}

// goes opens a page by its path.
func (p *person) goes(path string) {
	p.t.Helper()
	p.Visit(p.product.URL + path)
	p.look()
}

// follows clicks the link or button with the text, in the content or the navigation.
func (p *person) follows(text string) {
	p.t.Helper()
	found := consoletest.Eval[bool](p.Browser, fmt.Sprintf(`(() => {
		for (const e of document.querySelectorAll('[data-clicked]')) e.removeAttribute('data-clicked');
		const all = [...document.querySelectorAll('main a, main button, nav.side a')].filter((e) => e.offsetParent);
		const text = (e) => e.textContent.trim().replace(/\s+/g, ' ');
		const e = all.find((e) => text(e) === %[1]q) || all.find((e) => text(e).startsWith(%[1]q));
		if (e) e.setAttribute('data-clicked', '');
		return !!e;
	})()`, text))
	if !found {
		p.t.Fatalf("%s offers no %q:\n%s", p.address(), text, p.text())
	}
	p.Follow(chromedp.Click(chromedp.CSS("[data-clicked]")))
	p.look()
}

// writes fills a field of the form.
func (p *person) writes(name, value string) {
	p.t.Helper()
	selector := chromedp.CSS(fmt.Sprintf(`main form [name="%s"]`, name))
	p.Do(chromedp.SetValue(selector, value))
}

// waits until the page, which asks for news by itself, shows the word as a state and
// asks no more.
func (p *person) waits(word string) {
	p.t.Helper()
	p.Wait(fmt.Sprintf(`document.readyState === 'complete' && !document.querySelector('main [hx-get]') &&
		[...document.querySelectorAll('[role=status] .chip')].some((c) => c.textContent === %q)`, word))
	p.look()
}

func TestPersonWalksFromALinkToARevokedCertificate(t *testing.T) {
	shopfront := open(t)
	product := apptest.Start(t)
	p := &person{Browser: consoletest.Open(t), t: t, product: product}
	p.Size(1280, 900, false)

	// In, by the link that the server prints; the same link again is refused.
	var greeting bytes.Buffer
	product.Greet(t.Context(), &greeting)
	link := regexp.MustCompile(`https://\S+/sign-in\?token=\S+`).FindString(greeting.String())
	if link == "" {
		t.Fatalf("the server printed no link:\n%s", greeting.String())
	}
	p.Visit(link)
	p.look()
	p.follows("Continue")
	p.reads("What breaks next")

	// Found by a scan that reports while it runs.
	p.follows("Discovery")
	p.writes("name", "shop front")
	p.writes("targets", fmt.Sprintf("localhost:%d", shopfront.port))
	p.follows("Start the scan")
	p.waits("completed")
	p.follows("1 certificate")
	p.follows(shop)
	p.reads("self-signed", "Self-signed", fmt.Sprintf("localhost:%d", shopfront.port), "Nobody renews it")
	old := p.address()

	// A place to install to.
	p.follows("Connections")
	p.follows("Connect Files")
	p.writes("name", "shop-files")
	p.writes("setting-roots", filepath.Dir(shopfront.certificate))
	p.writes("setting-reload", "/bin/true")
	p.follows("Connect")
	p.follows("Test now")
	p.reads("The connection works.")

	// Adopted, renewed, installed and proved.
	p.goes(old)
	p.follows("Adopt…")
	p.follows("shop-files")
	p.writes("owner", "Shop")
	p.writes("profile", "tls-server")
	p.writes("setting-fullchain", shopfront.certificate)
	p.writes("setting-key", shopfront.key)
	p.follows("Adopt")
	p.reads("Adopted.", shop, "shop-files")
	lineage := p.address()
	if err := shopfront.trusted(product.Roots); err == nil {
		t.Fatal("the bad certificate is trusted before it was replaced")
	}
	p.follows("Renew now…")
	p.writes("comment", "the old one signed itself")
	p.follows("Renew now")
	p.waits("completed")
	if err := shopfront.trusted(product.Roots); err != nil {
		t.Fatalf("after the renewal: %v", err)
	}
	p.follows("Show the new certificate")
	p.reads(shop, "Served on the network", "renews itself", "Show its lineage")
	second := p.address()
	p.goes(old)
	p.reads("Replaced at")

	// A second round, and the end of the first one's trust.
	p.goes(lineage)
	p.follows("Renew now…")
	p.follows("Renew now")
	p.waits("completed")
	p.goes(second)
	p.follows("Revoke…")
	p.writes("confirm", "not its name")
	p.follows("Revoke")
	p.reads("Nothing was changed.", "Type exactly: "+shop)
	p.writes("reason", "superseded")
	p.writes("confirm", shop)
	p.follows("Revoke")
	p.waits("completed")
	p.goes(second)
	p.reads("revoked", "It was revoked", "superseded")

	// What it left behind: the vault, the lineage, the trail.
	p.goes("/vaults/default?kind=certificates")
	p.reads("shop-example-test", "enabled")
	p.goes(lineage)
	p.reads("served", "A certificate was adopted")
	p.goes("/audit?operation=LineageAdopt")
	p.reads("LineageAdopt", "success")
	p.follows("Verify the trail")
	p.reads("The trail is whole.")
	p.goes("/")
	p.reads("What breaks next", "Just now")

	// Out, for good.
	p.Follow(chromedp.Click(chromedp.CSS(`form[action="/sign-out"] button`)))
	p.Visit(product.URL + "/audit")
	p.reads("Sign in")
}
