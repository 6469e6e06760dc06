package console_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/serve/console"
	"chatelaine.dev/internal/serve/console/consoletest"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/settings"
	"chatelaine.dev/internal/vault/vaulttest"
)

// furnished is a house with something on every page.
func furnished(t *testing.T) *house {
	t.Helper()
	h := open(t)
	prints := h.find(
		sighting{name: "pay.example.com", days: 4}, sighting{name: "vpn.corp.example", days: 9}, sighting{name: "api.example.com", days: 60},
		sighting{name: "old.example.com", days: -3}, sighting{name: "long.example.com", days: 400}, sighting{name: "ours.example.com", days: 12},
	)
	if err := h.inventory.SetLineage(t.Context(), prints[5], "lineage-1", "Platform"); err != nil {
		t.Fatal(err)
	}
	admin := h.access.Administrator()
	if _, err := h.secrets.Set(t.Context(), admin, object.Ref{Vault: vaulttest.Vault, Name: "Db-Password"}, secrets.SetRequest{
		Value: "hunter2-is-not-shown", ContentType: "text/plain", Attributes: object.Attributes{Tags: map[string]string{"team": "<b>pay</b>"}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.keys.Create(t.Context(), admin, object.Ref{Vault: vaulttest.Vault, Name: "signer"}, keys.CreateRequest{Type: "EC", Curve: "P-256"}); err != nil {
		t.Fatal(err)
	}
	return h
}

// walk opens every page that can be reached by links, and returns them. Of addresses
// that differ only in the values of their parameters it opens ten.
func walk(b *browser, start ...string) map[string]answer {
	b.h.t.Helper()
	pages, alike := map[string]answer{}, map[string]int{}
	for queue := start; len(queue) > 0; queue = queue[1:] {
		path, _, _ := strings.Cut(queue[0], "#")
		u, err := url.Parse(path)
		if err != nil {
			b.h.t.Fatal(err)
		}
		shape := u.Path + "?" + strings.Join(slices.Sorted(maps.Keys(u.Query())), "&")
		if _, done := pages[path]; done || alike[shape] == 10 {
			continue
		}
		alike[shape]++
		a := b.get(path)
		pages[path] = a
		if strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
			queue = append(queue, a.doc.Links()...)
		}
	}
	return pages
}

func TestNoLinkLeadsNowhere(t *testing.T) {
	b := furnished(t).signedIn()

	pages := walk(b, "/")

	for path, a := range pages {
		if a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	for _, must := range []string{"/certificates", "/endpoints", "/vaults", "/vaults/payroll", "/vaults/payroll?kind=keys", "/audit"} {
		if _, ok := pages[must]; !ok {
			t.Errorf("no link leads to %s", must)
		}
	}
}

func TestEveryPageIsSafeUsableAndSmall(t *testing.T) {
	b := furnished(t).signedIn()
	pages := walk(b, "/")
	for _, wrong := range []string{"/no-such-page", "/certificates/" + strings.Repeat("0", 64), "/vaults/none", "/certificates?q=expires+%3C", "/audit?before=x"} {
		pages[wrong] = b.get(wrong)
	}
	for path, a := range pages {
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"} {
			if a.Header.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, a.Header.Get(name))
			}
		}
		csp := a.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none';") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
			continue
		}
		for _, p := range a.doc.Problems() {
			t.Errorf("%s: %s", path, p)
		}
		if len(a.body) > 100_000 {
			t.Errorf("%s: %d bytes", path, len(a.body))
		}
	}
}

// TestNumbersAreTheirLists follows every number of the first screen to its list, which
// must say the same number.
func TestNumbersAreTheirLists(t *testing.T) {
	b := furnished(t).signedIn()
	first := b.page("/")
	number := regexp.MustCompile(`^([0-9,]+)( certificate| renew|$)`)
	followed := 0

	for _, a := range first.doc.All("a") {
		href := consoletest.Attr(a, "href")
		n := number.FindStringSubmatch(consoletest.Text(a))
		if n == nil || !strings.HasPrefix(href, "/certificates?") {
			continue
		}
		followed++
		if lead := consoletest.Text(b.page(href).doc.All("header")[0]); !strings.Contains(lead, "Certificates "+n[1]+" of ") {
			t.Errorf("%q leads to %q, which says %q", consoletest.Text(a), href, lead)
		}
	}

	// two in the sentence, the histogram's total, findings
	if followed < 4 {
		t.Errorf("%d numbers were followed", followed)
	}
	sentence := consoletest.Text(first.doc.All("header")[0])
	if want := "3 certificates need a person . 1 renews by itself ."; !strings.Contains(sentence, want) {
		t.Errorf("%q does not say %q", sentence, want)
	}
	// bars and the table beside them: the sum of the days is the total
	sum := 0
	for _, bar := range first.doc.All("title") {
		var n int
		if _, day, ok := strings.Cut(consoletest.Text(bar), ": "); ok {
			if _, err := fmt.Sscanf(day, "%d certificate", &n); err == nil {
				sum += n
			}
		}
	}
	if sum != 4 { // 4, 9, 12 and 60 days
		t.Errorf("the bars show %d certificates, want 4", sum)
	}
}

func TestFilterPointsAtTheColumnThatIsWrong(t *testing.T) {
	b := furnished(t).signedIn()

	a := b.get("/certificates?" + url.Values{"q": {`grade < B and <script>`}}.Encode())

	if a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("%d", a.StatusCode)
	}
	text := a.doc.ByID("wrong")
	if text == nil || !strings.Contains(consoletest.Text(text), "Column 15:") {
		t.Fatalf("%q", consoletest.Text(text))
	}
	pre := a.doc.All("pre")[0].FirstChild.Data
	if want := "grade < B and <script>\n" + strings.Repeat(" ", 14) + "^"; pre != want {
		t.Errorf("%q, want %q", pre, want)
	}
	in := a.doc.ByID("q")
	if consoletest.Attr(in, "aria-invalid") != "true" || consoletest.Attr(in, "value") != `grade < B and <script>` {
		t.Error("the box does not keep what was written, marked as wrong")
	}
}

func TestPagesHoldEveryCertificateOnce(t *testing.T) {
	h := open(t)
	var list []sighting
	for i := range 120 {
		list = append(list, sighting{name: fmt.Sprintf("host-%03d.example.com", i), days: 10 + i%7})
	}
	h.find(list...)
	b := h.signedIn()

	for _, sort := range []string{"", "name", "-name", "-expires", "keysize"} {
		seen := map[string]int{}
		pages := 0
		for path := "/certificates?" + (url.Values{"q": {"name ~ host"}, "sort": {sort}}).Encode(); path != ""; pages++ {
			a := b.page(path)
			path = ""
			for _, link := range a.doc.All("a") {
				switch {
				case consoletest.Attr(link, "data-row") == "" && consoletest.Attr(link, "rel") == "next":
					path = consoletest.Attr(link, "href")
				case strings.HasPrefix(consoletest.Text(link), "host-"):
					seen[consoletest.Text(link)]++
				}
			}
		}
		if len(seen) != 120 || pages != 3 {
			t.Errorf("sorted by %q: %d certificates on %d pages", sort, len(seen), pages)
		}
		for name, n := range seen {
			if n != 1 {
				t.Errorf("sorted by %q: %s is there %d times", sort, name, n)
			}
		}
	}
}

func TestSearchFindsNamesHostsSerialsAndFingerprints(t *testing.T) {
	h := open(t)
	prints := h.find(sighting{name: "needle.example.com", days: 30, host: "rack-7.example.com"}, sighting{name: "hay.example.com", days: 30})
	d, err := h.inventory.Get(t.Context(), h.access.Administrator(), prints[0])
	if err != nil {
		t.Fatal(err)
	}
	b := h.signedIn()
	for _, words := range []string{"needle", "NEEDLE.example", "rack-7", d.Serial, prints[0][:10]} {
		a := b.get("/search?" + (url.Values{"words": {words}}).Encode())
		list := b.page(a.Header.Get("Location"))
		text := consoletest.Text(list.doc.All("main")[0])
		if !strings.Contains(text, "needle.example.com") || strings.Contains(text, "hay.example.com") {
			t.Errorf("%q found %s", words, text)
		}
	}
	if a := b.get("/search?words=" + prints[0]); a.Header.Get("Location") != "/certificates/"+prints[0] {
		t.Errorf("a fingerprint leads to %q", a.Header.Get("Location"))
	}
	if a := b.get("/search?" + (url.Values{"words": {`" or name ~ "`}}).Encode()); b.get(a.Header.Get("Location")).StatusCode != http.StatusOK {
		t.Error("a quote breaks out of the search")
	}
}

// corpus are texts that strangers put into certificates to harm whoever reads them.
func corpus() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'><svg/onload=alert(1)>`, `javascript:alert(1)`, `{{constructor.constructor('alert(1)')()}}`,
		`</title><script>alert(1)</script>`, `" autofocus onfocus=alert(1) x="`, `--><script>alert(1)</script>`, "${alert(1)}", "\u202egnp.exe", "zero\u200bwidth", "new\nline\rreturn",
		`<a href="https://evil.example">click</a>`, `hx-get=/sign-out`, `<form action=//evil.example>`, strings.Repeat("A", 5000), "ÿþ\x00\x01", "&lt;script&gt;",
	}
}

func TestHostileCertificatesStayText(t *testing.T) {
	h := open(t)
	var list []sighting
	for i, x := range corpus() {
		list = append(list, sighting{name: fmt.Sprintf("victim-%d.example.com", i), days: 20, sign: func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: x, Organization: []string{x}, OrganizationalUnit: []string{x}, Country: []string{x}, SerialNumber: x}
			c.DNSNames, c.EmailAddresses = []string{ascii(x), fmt.Sprintf("victim-%d.example.com", i)}, []string{ascii(x)}
			c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, byte(i))}
			c.URIs = []*url.URL{{Scheme: "javascript", Opaque: url.QueryEscape(x)}}
			c.CRLDistributionPoints, c.OCSPServer, c.IssuingCertificateURL = []string{ascii(x)}, []string{ascii(x)}, []string{ascii(x)}
		}})
	}
	prints := h.find(list...)
	if err := h.inventory.SetLineage(t.Context(), prints[0], "", corpus()[1]); err != nil {
		t.Fatal(err)
	}
	b := h.signedIn()

	pages := walk(b, "/", "/certificates/"+prints[0])

	for path, a := range pages {
		if a.StatusCode != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
			continue
		}
		for _, p := range a.doc.Problems() {
			t.Errorf("%s: %s", path, p)
		}
		if n := len(a.doc.All("script")); n != 2 {
			t.Errorf("%s: %d scripts", path, n)
		}
		for _, element := range []string{"img", "iframe"} {
			if n := len(a.doc.All(element)); n != 0 {
				t.Errorf("%s: %d elements %s", path, n, element)
			}
		}
		for _, link := range a.doc.All("a") {
			if href := consoletest.Attr(link, "href"); !strings.HasPrefix(href, "/") && !strings.HasPrefix(href, "#") {
				t.Errorf("%s: a link to %q", path, href)
			}
		}
		if i := strings.IndexAny(a.body, "\u202e\u200b\x00\x01"); i >= 0 {
			t.Errorf("%s: a character that hides or turns text, at %q", path, a.body[max(0, i-20):i+20])
		}
		if len(a.body) > 100_000 {
			t.Errorf("%s: %d bytes", path, len(a.body))
		}
	}
	if len(pages) < len(list) {
		t.Errorf("only %d pages were read", len(pages))
	}
}

// ascii makes an IA5String of a text.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 126 {
			return '?'
		}
		return r
	}, s)
}

func TestWhatMayNotBeSeenSaysWhoCanHelp(t *testing.T) {
	h := furnished(t)
	requester := h.access.Application(t, "requester", "Requester", access.Root)
	b := h.signedInAs(requester.Principal)

	b.page("/certificates") // a requester may
	for _, path := range []string{"/audit", "/vaults", "/vaults/payroll"} {
		a := b.get(path)
		text := consoletest.Text(a.doc.All("main")[0])
		if a.StatusCode != http.StatusForbidden || !strings.Contains(text, "Who can help") || !strings.Contains(text, "Chatelaine/") {
			t.Errorf("%s: %d %s", path, a.StatusCode, text)
		}
	}
}

func TestVaultPagesShowNoValues(t *testing.T) {
	h := furnished(t)
	b := h.signedIn()

	for path, a := range walk(b, "/vaults") {
		if strings.Contains(a.body, "hunter2") {
			t.Errorf("%s shows a secret", path)
		}
	}
	text := consoletest.Text(b.page("/vaults/payroll?kind=secrets").doc.All("tbody")[0])
	if !strings.Contains(text, "Db-Password") || !strings.Contains(text, "team=<b>pay</b>") {
		t.Errorf("%q", text)
	}
	if slices.Contains(h.vaults.Operations(t), "SecretGet") {
		t.Error("a page revealed a secret")
	}
}

func TestTheTypeOfEveryKeyIsShown(t *testing.T) {
	h := furnished(t)
	admin := h.access.Administrator()
	for name, q := range map[string]keys.CreateRequest{
		"aes": {Type: "oct-HSM", Bits: 192}, "pq": {Type: "AKP", Algorithm: "ML-DSA-65"}, "coin": {Type: "EC", Curve: "P-256K"}, "rsa": {Type: "RSA-HSM"},
	} {
		if _, err := h.keys.Create(t.Context(), admin, object.Ref{Vault: vaulttest.Vault, Name: name}, q); err != nil {
			t.Fatal(err)
		}
	}

	text := consoletest.Text(h.signedIn().page("/vaults/payroll?kind=keys").doc.All("tbody")[0])

	for _, want := range []string{"oct-HSM 192", "ML-DSA-65", "P-256K", "RSA-HSM 2048"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q: %s", want, text)
		}
	}
}

func TestVaultPageSaysWhoIsLetIn(t *testing.T) {
	h := furnished(t)
	b := h.signedIn()
	page := func() string { return consoletest.Text(b.page("/vaults/payroll?kind=secrets").doc.All("main")[0]) }
	if text := page(); !strings.Contains(text, "roles decide") || !strings.Contains(text, "all addresses") {
		t.Errorf("as it was made: %s", text)
	}
	if err := h.vaults.DB.Transact(t.Context(), func(ctx context.Context) error {
		_, err := h.vaults.Vaults.Edit(ctx, "payroll", func(s *object.Settings) error {
			s.Network = settings.Network{DefaultAction: settings.DenyAction, IPRules: []string{"127.0.0.0/8", "192.0.2.0/24", "::1"}}
			s.Tags = map[string]string{"team": "<i>pay</i>"}
			return nil
		})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if text := page(); !strings.Contains(text, "only 127.0.0.0/8, 192.0.2.0/24, ::1/128") || !strings.Contains(text, "team=<i>pay</i>") {
		t.Errorf("after a change: %s", text)
	}
}

func TestVerifyTellsOfAnAlteredTrail(t *testing.T) {
	h := furnished(t)
	b := h.signedIn()
	if text := consoletest.Text(b.post("/audit/verify").doc.All("main")[0]); !strings.Contains(text, "The trail is whole.") {
		t.Fatalf("%s", text)
	}
	if _, err := h.access.DB.Exec(t.Context(), `UPDATE trail SET body = replace(body, 'success', 'failure')`); err != nil {
		t.Fatal(err)
	}

	text := consoletest.Text(b.post("/audit/verify").doc.All("main")[0])

	if !strings.Contains(text, "The trail was altered.") {
		t.Errorf("%s", text)
	}
}

func TestCertificateTellsItsStory(t *testing.T) {
	h := furnished(t)
	list, err := h.inventory.List(t.Context(), h.access.Administrator(), inventory.ListOptions{Filter: "name = pay.example.com"})
	if err != nil || len(list.Certificates) != 1 {
		t.Fatal(err, len(list.Certificates))
	}

	text := consoletest.Text(h.signedIn().page("/certificates/" + list.Certificates[0].SHA256).doc.All("main")[0])

	for _, want := range []string{
		"pay.example.com", "expiring", "in 4 days", "nobody renews it", "CN=pay.example.com", "P-256", "this certificate, self-signed",
		"Served on the network", "pay.example.com:443", "TLS 1.2, TLS 1.3", "Self-signed", "renew it from an authority", "It expires", "Seen at pay.example.com:443", "-----BEGIN CERTIFICATE-----",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	a := h.signedIn().page("/certificates/" + list.Certificates[0].SHA256 + "/pem")
	if !strings.HasPrefix(a.body, "-----BEGIN CERTIFICATE-----") || !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("PEM: %q %.40q", a.Header.Get("Content-Disposition"), a.body)
	}
}

func TestEmptyHouseSaysHowToFillIt(t *testing.T) {
	b := open(t).signedIn()
	for path, want := range map[string]string{
		"/": "The inventory is empty.", "/certificates": "The inventory is empty.", "/endpoints": "No endpoint was seen yet.", "/vaults/payroll?kind=keys": "No keys here.",
	} {
		if text := consoletest.Text(b.page(path).doc.All("main")[0]); !strings.Contains(text, want) {
			t.Errorf("%s: %s", path, text)
		}
	}
}

// slow is an inventory that takes its time over counting.
type slow struct {
	console.Inventory
	h     *house
	asked int
}

func (s *slow) Count(ctx context.Context, c access.Caller, filter string) (int64, error) {
	if filter != "" {
		s.asked++
		s.h.access.Advance(50 * time.Millisecond)
	}
	return s.Inventory.Count(ctx, c, filter)
}

func TestSlowNumbersAreKeptAndSayOfWhen(t *testing.T) {
	var inner *slow
	h := open(t, func(h *house, d *console.Deps) {
		inner = &slow{Inventory: d.Inventory, h: h}
		d.Inventory = inner
	})
	h.find(sighting{name: "pay.example.com", days: 4})
	b := h.signedIn()
	lead := func() string { return consoletest.Text(b.page("/").doc.All("header")[0]) }

	if text := lead(); !strings.Contains(text, "1 certificate needs a person") || strings.Contains(text, "As of") {
		t.Fatalf("%s", text)
	}
	counted := inner.asked
	h.find(sighting{name: "vpn.example.com", days: 5})
	h.access.Advance(6 * time.Second)
	if text := lead(); inner.asked != counted || !strings.Contains(text, "1 certificate needs a person") || !strings.Contains(text, "As of ") {
		t.Errorf("asked %d times more: %s", inner.asked-counted, text)
	}
	h.access.Advance(5 * time.Minute)
	if text := lead(); inner.asked == counted || !strings.Contains(text, "2 certificates need a person") {
		t.Errorf("the numbers are never renewed: %s", text)
	}
}
