package console_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/accesstest"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/serve/console"
	"chatelaine.dev/internal/serve/console/consoletest"
	"chatelaine.dev/internal/serve/web"
	"chatelaine.dev/internal/storage/inventorydb"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/vaulttest"
)

// house is the console on real services and a real database, served over TLS.
type house struct {
	t         testing.TB
	access    *accesstest.Floor
	vaults    *vaulttest.Floor
	inventory *inventory.Service
	secrets   *secrets.Service
	keys      *keys.Service
	server    *httptest.Server
}

func open(t testing.TB, adjust ...func(*house, *console.Deps)) *house {
	t.Helper()
	h := &house{t: t, access: accesstest.New(t, storagetest.SQLite(t)), vaults: vaulttest.New(t, storagetest.SQLite(t))}
	deps := h.vaults.Deps
	deps.Guard = h.access.Directory
	deps.Now = h.access.Time
	store := inventorydb.New(h.vaults.DB)
	h.inventory = inventory.New(inventory.Deps{
		Store: store, Reader: store, Judge: judge{}, Transact: deps.Transact, Audit: deps.Audit, Guard: deps.Guard, Events: deps.Events, Now: h.access.Time, Log: slog.New(slog.DiscardHandler),
	})
	h.secrets = secrets.New(deps)
	h.keys = keys.New(deps, keystore.NewSoftware())
	parts := console.Deps{
		Sessions: h.access.Sessions, Inventory: h.inventory, Vaults: vault.New(deps),
		Shelves:  console.Shelves{Keys: h.keys, Secrets: h.secrets, Certificates: certificates.New(deps, h.keys, h.secrets)},
		Audit:    access.AuditReader{Trail: h.access.Trail, Guard: h.access.Directory},
		VaultURL: func(name string) string { return "https://" + name + ".localhost:8443" },
		Now:      h.access.Time, Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range adjust {
		f(h, &parts)
	}
	door, err := console.New(parts)
	if err != nil {
		t.Fatal(err)
	}
	h.server = httptest.NewTLSServer(web.Wrap(web.Protect(door), web.Options{Log: slog.New(slog.DiscardHandler), Now: h.access.Time, MaxBody: 1 << 20}))
	t.Cleanup(h.server.Close)
	return h
}

// judge finds little; what it finds depends on the certificate alone.
type judge struct{}

func (judge) Judge(c inventory.Case) inventory.Verdict {
	v := inventory.Verdict{Trust: inventory.Public, Score: 95}
	if c.Certificate.SelfSigned {
		v.Trust, v.Score = inventory.SelfSigned, 40
		v.Findings = []inventory.Finding{{Rule: "self-signed", Severity: inventory.High, Message: "signed by its own key, as " + c.Certificate.Subject, WhatToDo: "renew it from an authority", Since: c.Certificate.NotBefore}}
	}
	return v
}

// browser keeps cookies and follows no redirect.
type browser struct {
	h *house
	c *http.Client
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &browser{h, &http.Client{
		Jar:           jar,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: h.server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is a response that was read.
type answer struct {
	*http.Response
	body string
	doc  *consoletest.Document
}

func (b *browser) do(method, path string, form url.Values, header ...string) answer {
	b.h.t.Helper()
	r, err := http.NewRequest(method, b.h.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.h.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := b.c.Do(r)
	if err != nil {
		b.h.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.h.t.Fatal(err)
	}
	doc, err := consoletest.Parse(body)
	if err != nil {
		b.h.t.Fatal(err)
	}
	return answer{res, string(body), doc}
}

func (b *browser) get(path string) answer {
	b.h.t.Helper()
	return b.do(http.MethodGet, path, nil)
}

func (b *browser) post(path string, pairs ...string) answer {
	b.h.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.do(http.MethodPost, path, form)
}

// page gets a page that must be there.
func (b *browser) page(path string) answer {
	b.h.t.Helper()
	a := b.get(path)
	if a.StatusCode != http.StatusOK {
		b.h.t.Fatalf("GET %s: %d\n%s", path, a.StatusCode, consoletest.Text(a.doc.All("body")[0]))
	}
	return a
}

// signedIn is a browser of the administrator.
func (h *house) signedIn() *browser { return h.signedInAs(h.access.Admin.ID) }

func (h *house) signedInAs(principal string) *browser {
	h.t.Helper()
	link, err := h.access.Sessions.CreateLink(h.t.Context(), h.access.Administrator(), principal)
	if err != nil {
		h.t.Fatal(err)
	}
	b := h.browser()
	if a := b.post("/sign-in", "token", link.Token.Reveal()); a.StatusCode != http.StatusSeeOther {
		h.t.Fatalf("sign in: %d", a.StatusCode)
	}
	return b
}

// sighting describes a certificate that a scan finds.
type sighting struct {
	name string
	days int // until it expires
	sign func(*x509.Certificate)
	host string // where it is; its name when empty
}

// find puts certificates into the inventory, as a scan does, and returns their fingerprints.
func (h *house) find(list ...sighting) []string {
	h.t.Helper()
	var seen []inventory.Observation
	var prints []string
	for _, s := range list {
		der := h.issue(s)
		host := s.host
		if host == "" {
			host = s.name
		}
		seen = append(seen, inventory.Observation{
			Place: inventory.Place{Source: inventory.Network, Host: host, IP: "192.0.2.7", Port: 443, SNI: host},
			State: inventory.Present, DER: der, At: h.access.Time(), Run: "run-1", Campaign: "dmz",
			TLS: &inventory.TLS{Version: "TLS 1.3", Versions: []string{"TLS 1.2", "TLS 1.3"}},
		})
		prints = append(prints, inventory.Parse(der).SHA256)
	}
	if _, err := h.inventory.Record(h.t.Context(), access.System("test"), seen); err != nil {
		h.t.Fatal(err)
	}
	return prints
}

func (h *house) issue(s sighting) []byte {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		h.t.Fatal(err)
	}
	now := h.access.Time()
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: s.name}, DNSNames: []string{s.name},
		NotBefore: now.AddDate(0, 0, s.days-90), NotAfter: now.AddDate(0, 0, s.days), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if s.sign != nil {
		s.sign(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		h.t.Fatal(err)
	}
	return der
}

// hour is a step of the clock.
const hour = time.Hour
