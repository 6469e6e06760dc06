package bench

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/crypto/ocsp"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/pkitest"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/pki/revocation/list"
	"chatelaine.dev/internal/storage/storagetest"
)

// serveBare is a plain HTTP server that reads a body and writes one as long as an answer
// of OCSP, with its headers.
func serveBare() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	body := bytes.Repeat([]byte{'x'}, 880)
	if err := json.NewEncoder(os.Stdout).Encode(greeting{URL: "http://" + l.Addr().String()}); err != nil {
		return err
	}
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h := w.Header()
		h.Set("Content-Type", "application/ocsp-response")
		h.Set("Cache-Control", "max-age=60, public, no-transform, must-revalidate")
		h.Set("Etag", `"0123456789abcdef0123456789abcdef"`)
		h.Set("Expires", "Tue, 01 Sep 2026 12:00:00 GMT")
		h.Set("Last-Modified", "Tue, 01 Sep 2026 12:00:00 GMT")
		_, _ = w.Write(body)
	}))
}

// BenchmarkOCSP compares answers that are kept with a bare handler, both over plain HTTP,
// by the CPU that a request costs the server.
func BenchmarkOCSP(b *testing.B) {
	product, bare := start(b, "product", b.TempDir()), start(b, "bare", b.TempDir())
	control := product
	control.URL = strings.Replace(product.URL, "://default.", "://", 1)
	body, err := json.Marshal(map[string]string{"csr": string(csrs(b, 1)[0].pem)})
	if err != nil {
		b.Fatal(err)
	}
	r := request(b, control, http.MethodPost, "/api/v1/profiles/tls-server/certificates", string(body))()
	r.Header.Set("Content-Type", "application/json")
	leaf, issuer := certificates(b, r)
	question, err := ocsp.CreateRequest(leaf, issuer, &ocsp.RequestOptions{Hash: crypto.SHA256})
	if err != nil {
		b.Fatal(err)
	}
	product.settle(b)
	ask := func(url string) func() *http.Request {
		return func() *http.Request {
			r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader(question))
			if err != nil {
				panic(err) // the address is ours
			}
			r.Header.Set("Content-Type", "application/ocsp-request")
			return r
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\nOCSP\tconnections\tanswers/s\tp99 µs\tserver µs\tbare µs\tof bare\tat least\t")
	for _, conns := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(conns), func(b *testing.B) {
			var got, floor result
			for range rounds {
				floor = floor.and(load(b, bare, conns, seconds()/rounds, ask(bare.URL)))
				got = got.and(load(b, product, conns, seconds()/rounds, ask(leaf.OCSPServer[0])))
			}
			b.ReportMetric(1/got.cpu(), "answers/CPU-s")
			b.ReportMetric(floor.cpu()/got.cpu(), "of-bare")
			fmt.Fprintf(table, "pre-signed\t%d\t%.0f\t%d\t%.1f\t%.1f\t%.0f %%\t70 %%\t\n", conns, got.perSecond(), got.percentile(99).Microseconds(),
				got.cpu()*1e6, floor.cpu()*1e6, 100*floor.cpu()/got.cpu())
		})
	}
	_ = table.Flush()
}

// certificates sends an issuance and reads the certificate and its issuer.
func certificates(b *testing.B, r *http.Request) (leaf, issuer *x509.Certificate) {
	b.Helper()
	res, err := client().Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var made struct{ Certificate, Chain string }
	if err := json.NewDecoder(res.Body).Decode(&made); err != nil {
		b.Fatal(err)
	}
	read := func(text string) *x509.Certificate {
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			b.Fatalf("%s: no certificate", res.Status)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	return read(made.Certificate), read(made.Chain)
}

// BenchmarkCRL rebuilds lists of 100,000 and 1,000,000 entries after one change, beside
// x509.CreateRevocationList, which encodes all of them.
func BenchmarkCRL(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		b.Fatal(err)
	}
	issuer, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\nCRL\tentries\tMB\trebuild ms\tkept MB\tpeak MB\tx509 ms\tof x509\tat most\t")
	for _, n := range []int{100_000, 1_000_000} {
		var built list.Builder
		std := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.AddDate(0, 0, 7)}
		for i := range n {
			serial := make([]byte, 16)
			big.NewInt(int64(i)).FillBytes(serial[8:])
			serial[0] = 0x40
			if err := built.Add(list.Entry{Serial: serial, RevokedAt: now, Reason: 4}); err != nil {
				b.Fatal(err)
			}
			std.RevokedCertificateEntries = append(std.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: new(big.Int).SetBytes(serial), RevocationTime: now, ReasonCode: 4})
		}
		entries := built.Entries()
		rebuild := func() (int, error) {
			next, err := entries.With([]list.Change{{Entry: list.Entry{Serial: []byte{0x40, 1}, RevokedAt: now}}})
			if err != nil {
				return 0, err
			}
			out, err := list.List{Number: 2, ThisUpdate: now, NextUpdate: now.AddDate(0, 0, 7), Entries: next}.Sign(issuer, key)
			return len(out), err
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			size, err := rebuild()
			runtime.ReadMemStats(&after)
			if err != nil {
				b.Fatal(err)
			}
			begun, times := time.Now(), 0
			for time.Since(begun).Seconds() < seconds() {
				if _, err := rebuild(); err != nil {
					b.Fatal(err)
				}
				times++
			}
			ours := time.Since(begun).Seconds() / float64(times)
			begun = time.Now()
			if _, err := x509.CreateRevocationList(rand.Reader, std, issuer, key); err != nil {
				b.Fatal(err)
			}
			theirs := time.Since(begun).Seconds()
			b.ReportMetric(ours*1e3, "ms/rebuild")
			b.ReportMetric(ours/theirs, "of-x509")
			fmt.Fprintf(table, "one change\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.1f %%\t10 %%\t\n", n, float64(size)/1e6, ours*1e3,
				float64(entries.Size())/1e6, float64(after.TotalAlloc-before.TotalAlloc+uint64(entries.Size()))/1e6, theirs*1e3, 100*ours/theirs)
		})
	}
	_ = table.Flush()
}

// BenchmarkRevoke is a whole revocation at an authority with that many revoked
// certificates, on disk: from the call until the whole list and the delta are published.
func BenchmarkRevoke(b *testing.B) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\nrevoke\tentries\tfirst list s\tone more ms\theap MB\t")
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			db := storagetest.SQLite(b)
			f := pkitest.New(b, db, pkitest.Config{StatusURL: "http://127.0.0.1"})
			f.Rebuild(b)
			for _, q := range []string{
				`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
				INSERT INTO pki_certificates (serial, authority, profile, subject, names, key_sha256, state, not_before, not_after, created_at, issued_at, requester, failure, revoked_at, reason, revocation)
				SELECT printf('40%030x', i), 'issuing', 'tls-server', '', '{}', '', 'revoked', 0, $2, 0, 0, '', '', 1000000, 'superseded', i FROM n`,
				`UPDATE pki_authorities SET revocations = $1 WHERE id = 'issuing' AND $2 > 0`,
			} {
				if _, err := db.Exec(b.Context(), q, n, f.Clock().AddDate(1, 0, 0).UnixMicro()); err != nil {
					b.Fatal(err)
				}
			}
			begun := time.Now()
			f.Rebuild(b)
			first := time.Since(begun)
			const times = 5
			var took time.Duration
			for range times {
				key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
				if err != nil {
					b.Fatal(err)
				}
				made, err := f.Issuance.Issue(b.Context(), access.System("bench"), issuance.Request{Profile: "tls-server", PublicKey: &key.PublicKey, Names: profile.Names{DNS: []string{"a.example.com"}}})
				if err != nil {
					b.Fatal(err)
				}
				begun = time.Now()
				if _, err := f.Revocation.Revoke(b.Context(), access.System("bench"), revocation.Request{SHA256: made.SHA256}); err != nil {
					b.Fatal(err)
				}
				took += time.Since(begun)
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(took.Seconds()*1e3/times, "ms/revocation")
			fmt.Fprintf(table, "on disk\t%d\t%.2f\t%.0f\t%.0f\t\n", n, first.Seconds(), took.Seconds()*1e3/times, float64(m.HeapSys)/1e6)
		})
	}
	_ = table.Flush()
}
