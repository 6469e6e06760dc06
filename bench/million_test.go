package bench

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/crypto/ocsp"

	"chatelaine.dev/internal/app"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/storage"
)

// BenchmarkMillion compares a server that has issued a million certificates with one that
// has issued a thousand: every line is the same request to both, in turns of one run.
// CHATELAINE_BENCH_CERTIFICATES is another number. With CHATELAINE_BENCH_FOLDER the filled
// folders stay there and are used again; a million take 14 GB.
func BenchmarkMillion(b *testing.B) {
	many := 1_000_000
	if n, err := strconv.Atoi(os.Getenv("CHATELAINE_BENCH_CERTIFICATES")); err == nil {
		many = n
	}
	few := issued(b, 1000)
	lot := issued(b, many)
	defer few.stop()
	defer lot.stop()
	t := &sides{b: b, few: few, lot: lot, table: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)}
	fmt.Fprintf(t.table, "\nwhat\t1,000: p50 µs\tCPU µs\t%d: p50 µs\tCPU µs\t× CPU\t\n", many)
	t.numbers("ready, ms", few.Ready.Seconds()*1e3, lot.Ready.Seconds()*1e3)
	few.settle(b)
	lot.settle(b)
	t.numbers("idle, MiB", few.memory(b), lot.memory(b))
	for _, q := range lists() {
		t.compare(q.name, q.next)
	}
	t.doors()
	t.console()
	t.numbers("after the load, MiB", few.memory(b), lot.memory(b))
	t.quiet()
	t.numbers("at rest again, MiB", few.memory(b), lot.memory(b))
	t.audit()
	_ = t.table.Flush()
}

// host is a server that has issued many certificates.
type host struct {
	server
	count  int
	status string // its address
	issuer *x509.Certificate
	cookie string // of a session of the console
}

// issued starts a server on a folder with so many certificates, and makes the folder if
// need be.
func issued(b *testing.B, count int) *host {
	b.Helper()
	folder := b.TempDir()
	if kept := os.Getenv("CHATELAINE_BENCH_FOLDER"); kept != "" {
		folder = filepath.Join(kept, strconv.Itoa(count))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			b.Fatal(err)
		}
	}
	whole := filepath.Join(folder, "filled")
	if _, err := os.Stat(whole); err != nil {
		start(b, "fill", folder, fmt.Sprintf("%s_CERTIFICATES=%d", role, count)).stop()
		if err := os.WriteFile(whole, nil, 0o600); err != nil {
			b.Fatal(err)
		}
	} else {
		forget(b, filepath.Join(folder, "data"))
	}
	h := &host{server: start(b, "product", folder), count: count}
	h.URL = strings.Replace(h.URL, "://default.", "://", 1)
	r := request(b, h.server, http.MethodPost, "/api/v1/profiles/tls-server/certificates", encoded(map[string]string{"csr": string(csrs(b, 1)[0].pem)}))()
	r.Header.Set("Content-Type", "application/json")
	leaf, issuer := certificates(b, r)
	h.issuer, h.status = issuer, strings.TrimSuffix(leaf.OCSPServer[0], "/ocsp/"+fillIssuer)
	h.signIn(b)
	return h
}

// forget ends the issuance audit that an earlier run has left half done: it would go on at
// the start and be measured too.
func forget(b *testing.B, data string) {
	b.Helper()
	db, err := storage.Open(b.Context(), storage.Config{Dir: data})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(b.Context(), `UPDATE pki_reviews SET state = 'failed' WHERE state IN ('queued', 'running')`); err != nil {
		b.Fatal(err)
	}
}

// linkOf is the address at which the operator signs in to the console.
func linkOf(ctx context.Context, a *app.App) string {
	var said strings.Builder
	a.Greet(ctx, &said)
	return regexp.MustCompile(`https://\S+/sign-in\?token=\S+`).FindString(said.String())
}

func (h *host) signIn(b *testing.B) {
	b.Helper()
	link, err := url.Parse(h.Link)
	if err != nil {
		b.Fatal(err)
	}
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, h.URL+"/sign-in", strings.NewReader(url.Values{"token": {link.Query().Get("token")}}.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", h.URL)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	c := client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := c.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	_ = res.Body.Close()
	for _, k := range res.Cookies() {
		if k.Name == "__Host-session" {
			h.cookie = k.Name + "=" + k.Value
		}
	}
	if h.cookie == "" {
		b.Fatalf("sign in: %s", res.Status)
	}
}

// some is the number of one of its certificates.
func (h *host) some() int { return rand.IntN(h.count) }

func encoded(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // of strings
	}
	return string(text)
}

// question is one kind of request.
type question struct {
	name string
	next func(b *testing.B, h *host) func() *http.Request
}

// api asks the control plane for a path, which path makes anew each time.
func api(name string, path func(h *host) string) question {
	return question{name, func(b *testing.B, h *host) func() *http.Request {
		return func() *http.Request { return request(b, h.server, http.MethodGet, "/api/v1"+path(h), "")() }
	}}
}

func fixed(name, path string) question { return api(name, func(*host) string { return path }) }

func inventoryList(name string, filter func(h *host) string) question {
	return api("inventory: "+name, func(h *host) string { return "/certificates?limit=50&filter=" + url.QueryEscape(filter(h)) })
}

// lists are what people and programs read.
func lists() []question {
	text := func(s string) func(*host) string { return func(*host) string { return s } }
	return []question{
		fixed("inventory: first page", "/certificates?limit=50"),
		fixed("inventory: newest first", "/certificates?limit=50&sort=-issued"),
		fixed("inventory: by grade", "/certificates?limit=50&sort=grade"),
		inventoryList("expires < 30d", text("expires < 30d")),
		inventoryList("expires < 30d, not managed", text("expires < 30d and stage != managed")),
		inventoryList("status = expiring", text("status = expiring")),
		inventoryList("status = revoked", text("status = revoked")),
		inventoryList("owner", text(`owner = "team 07"`)),
		inventoryList("san = name", func(h *host) string { return "san = " + fillName(h.some()) }),
		inventoryList("host = name", func(h *host) string { return "host = " + fillName(h.some()/5*5) }),
		inventoryList("serial", func(h *host) string { return "serial = " + issuance.FormatSerial(fillSerial(h.some())) }),
		inventoryList("name ~ part", func(h *host) string { return "name ~ " + fillName(h.some())[3:14] }),
		inventoryList("nothing matches", text("stage = managed and keysize = 1024")),
		fixed("count: all", "/certificates/count"),
		fixed("count: expiring", "/certificates/count?filter="+url.QueryEscape("status = expiring")),
		{"inventory: one certificate", detail},
		fixed("requests: first page", "/requests?limit=50"),
		fixed("requests: failed", "/requests?limit=50&state=failed"),
		fixed("requests: revocations", "/requests?limit=50&kind=revoke"),
		fixed("lineages: first page", "/lineages?limit=50"),
		fixed("lineages: of an owner", "/lineages?limit=50&owner=team+07"),
		fixed("issued: first page", "/authorities/issuing/certificates?limit=50"),
		fixed("issued: failed", "/authorities/issuing/certificates?limit=50&state=failed"),
		fixed("issued: revoked", "/authorities/issuing/certificates?limit=50&state=revoked"),
		fixed("issued: another profile", "/authorities/issuing/certificates?limit=50&profile=tls-client"),
		fixed("endpoints: first page", "/endpoints?limit=50"),
		fixed("audit: newest", "/audit?limit=50"),
		api("audit: of a certificate", func(h *host) string {
			return "/audit?limit=50&target=" + url.QueryEscape("/authorities/issuing/certificates/"+issuance.FormatSerial(fillSerial(h.some())))
		}),
		{"preview: everything of a key", preview(`{"keySHA256":"` + strings.Repeat("ab", 32) + `"}`)},
		{"preview: everything of an owner", preview(`{"owner":"team 07"}`)},
	}
}

func preview(body string) func(b *testing.B, h *host) func() *http.Request {
	return func(b *testing.B, h *host) func() *http.Request {
		return func() *http.Request {
			r := request(b, h.server, http.MethodPost, "/api/v1/revocations/preview", body)()
			r.Header.Set("Content-Type", "application/json")
			return r
		}
	}
}

// detail gets certificates of the inventory from a few of its pages.
func detail(b *testing.B, h *host) func() *http.Request {
	var sums []string
	for _, sort := range []string{"name", "-issued", "expires"} {
		var page struct{ Items []struct{ SHA256 string } }
		h.read(b, "/api/v1/certificates?limit=500&sort="+sort, &page)
		for _, x := range page.Items {
			sums = append(sums, x.SHA256)
		}
	}
	return func() *http.Request {
		return request(b, h.server, http.MethodGet, "/api/v1/certificates/"+sums[rand.IntN(len(sums))], "")()
	}
}

func (h *host) read(b *testing.B, path string, into any) {
	b.Helper()
	res, err := client().Do(request(b, h.server, http.MethodGet, path, "")())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		b.Fatalf("%s: %s %v", path, res.Status, err)
	}
}

// sides are the two servers, and the table that compares them.
type sides struct {
	b        *testing.B
	few, lot *host
	table    *tabwriter.Writer
}

func (t *sides) numbers(name string, few, lot float64) {
	fmt.Fprintf(t.table, "%s\t%.1f\t\t%.1f\t\t%.2f\t\n", name, few, lot, lot/few)
}

func (t *sides) line(name string, few, lot result) {
	fmt.Fprintf(t.table, "%s\t%d\t%.0f\t%d\t%.0f\t%.2f\t\n", name, few.percentile(50).Microseconds(), few.cpu()*1e6,
		lot.percentile(50).Microseconds(), lot.cpu()*1e6, lot.cpu()/few.cpu())
}

func (t *sides) compare(name string, next func(b *testing.B, h *host) func() *http.Request) {
	t.b.Helper()
	t.load(name, 1, next)
}

func (t *sides) load(name string, conns int, next func(b *testing.B, h *host) func() *http.Request) {
	t.b.Helper()
	var few, lot result
	nextFew, nextLot := next(t.b, t.few), next(t.b, t.lot)
	for range rounds {
		few = few.and(load(t.b, t.few.server, conns, seconds()/rounds, nextFew))
		lot = lot.and(load(t.b, t.lot.server, conns, seconds()/rounds, nextLot))
	}
	t.line(name, few, lot)
}

// doors are what the authority does for its clients.
func (t *sides) doors() {
	t.load("issue by REST, 8 connections", 8, func(b *testing.B, h *host) func() *http.Request {
		requests := csrs(b, 16)
		return func() *http.Request {
			body := encoded(map[string]string{"csr": string(requests[rand.IntN(len(requests))].pem)})
			r := request(b, h.server, http.MethodPost, "/api/v1/profiles/tls-server/certificates", body)()
			r.Header.Set("Content-Type", "application/json")
			return r
		}
	})
	t.compare("OCSP of any serial", func(b *testing.B, h *host) func() *http.Request {
		return func() *http.Request { return h.question(b, fillSerialOf(h)) }
	})
	t.revoke()
	t.compare("the CRL", func(b *testing.B, h *host) func() *http.Request {
		return func() *http.Request { return h.list(b) }
	})
}

// fillSerialOf is a certificate of the fill that is not revoked: its serial alone counts.
func fillSerialOf(h *host) *x509.Certificate {
	for {
		if i := h.some(); i%revokedEvery != revokedEvery/2 {
			return &x509.Certificate{SerialNumber: fillSerial(i)}
		}
	}
}

// revoke has certificates made, and takes the time from the call until OCSP and the CRL
// say that they are revoked.
func (t *sides) revoke() {
	const times = 20
	var first, took [2]float64
	for i, h := range []*host{t.few, t.lot} {
		body := encoded(map[string]string{"csr": string(csrs(t.b, 1)[0].pem)})
		for n := range 1 + times {
			r := request(t.b, h.server, http.MethodPost, "/api/v1/profiles/tls-server/certificates", body)()
			r.Header.Set("Content-Type", "application/json")
			leaf, _ := certificates(t.b, r)
			before := h.cpu(t.b)
			path := "/api/v1/authorities/issuing/certificates/" + issuance.FormatSerial(leaf.SerialNumber) + "/revoke"
			if err := send(client(), request(t.b, h.server, http.MethodPost, path, "")()); err != nil {
				t.b.Fatal(err)
			}
			h.wait(t.b, leaf)
			if used := h.cpu(t.b) - before; n == 0 {
				first[i] = used
			} else {
				took[i] += used
			}
		}
	}
	t.numbers("revoke the first since the start, ms of CPU", first[0]*1e3, first[1]*1e3)
	t.numbers("revoke one, until OCSP and the CRL say so, ms of CPU", took[0]*1e3/times, took[1]*1e3/times)
}

// wait returns when a certificate is revoked for everybody.
func (h *host) wait(b *testing.B, leaf *x509.Certificate) {
	b.Helper()
	for begun := time.Now(); time.Since(begun) < minute; time.Sleep(5 * time.Millisecond) {
		answer, err := ocsp.ParseResponse(h.fetch(b, h.question(b, leaf)), h.issuer)
		if err != nil {
			b.Fatal(err)
		}
		list, err := x509.ParseRevocationList(h.fetch(b, h.list(b)))
		if err != nil {
			b.Fatal(err)
		}
		listed := slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(leaf.SerialNumber) == 0 })
		if answer.Status == ocsp.Revoked && listed {
			return
		}
	}
	b.Fatal("a revocation is not published after a minute")
}

func (h *host) fetch(b *testing.B, r *http.Request) []byte {
	b.Helper()
	res, err := client().Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	return body
}

// list asks for the CRL.
func (h *host) list(b *testing.B) *http.Request {
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, h.status+"/crl/"+fillIssuer+".crl", nil)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// question asks for the status of a certificate.
func (h *host) question(b *testing.B, c *x509.Certificate) *http.Request {
	body, err := ocsp.CreateRequest(c, h.issuer, &ocsp.RequestOptions{Hash: crypto.SHA256})
	if err != nil {
		b.Fatal(err)
	}
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, h.status+"/ocsp/"+fillIssuer, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/ocsp-request")
	return r
}

// visit makes the requests of a browser for a page.
func (h *host) visit(b *testing.B, path string) func() *http.Request {
	return func() *http.Request {
		r := request(b, h.server, http.MethodGet, path, "")()
		r.Header.Del("Authorization")
		r.Header.Set("Cookie", h.cookie)
		return r
	}
}

// console are the pages of a browser.
func (t *sides) console() {
	var first [2]float64
	for i, h := range []*host{t.few, t.lot} { // later it is kept for a while
		begun := time.Now()
		if err := send(client(), h.visit(t.b, "/")()); err != nil {
			t.b.Fatal(err)
		}
		first[i] = time.Since(begun).Seconds() * 1e3
	}
	t.numbers("console /, counted anew, ms", first[0], first[1])
	for _, path := range []string{
		"/", "/certificates", "/certificates?q=" + url.QueryEscape("status = expiring"), "/certificates?q=" + url.QueryEscape("name ~ host0000777"),
		"/requests", "/lineages", "/endpoints", "/audit",
	} {
		t.compare("console "+path, func(b *testing.B, h *host) func() *http.Request {
			return h.visit(b, path)
		})
	}
}

// quiet measures what both use when nobody asks for anything, over a minute, in which
// every job has its turn.
func (t *sides) quiet() {
	before := [2]float64{t.few.cpu(t.b), t.lot.cpu(t.b)}
	time.Sleep(minute)
	few, lot := t.few.cpu(t.b)-before[0], t.lot.cpu(t.b)-before[1]
	t.numbers("a minute with nothing to do, ms of CPU", few*1e3, lot*1e3)
}

// minute is a minute and a bit.
const minute = 65 * time.Second

// audit measures how fast the issuance audit goes, over its first seconds.
func (t *sides) audit() {
	rate := func(h *host) float64 {
		r := request(t.b, h.server, http.MethodPost, "/api/v1/issuance-audits", "")()
		res, err := client().Do(r)
		if err != nil {
			t.b.Fatal(err)
		}
		var made struct{ ID string }
		err = json.NewDecoder(res.Body).Decode(&made)
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if err != nil || made.ID == "" {
			t.b.Fatalf("issuance audit: %s %v", res.Status, err)
		}
		for begun := time.Now(); ; time.Sleep(200 * time.Millisecond) {
			var x struct {
				State             string
				Checked           int64
				Started, Finished time.Time
			}
			h.read(t.b, "/api/v1/issuance-audits/"+made.ID, &x)
			if x.State == "completed" {
				return float64(x.Checked) / x.Finished.Sub(x.Started).Seconds()
			}
			if took := time.Since(begun); took > 20*time.Second {
				return float64(x.Checked) / time.Since(x.Started).Seconds()
			}
		}
	}
	t.numbers("issuance audit, certificates/s", rate(t.few), rate(t.lot))
}
