package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// BenchmarkIssue compares certificates by REST, on disk with their records before they
// are handed out, with the bare cryptography: the check of a CSR and
// x509.CreateCertificate, both with P-256. Both are CPU, in turns of one run.
func BenchmarkIssue(b *testing.B) {
	product := start(b, "product", b.TempDir())
	product.URL = strings.Replace(product.URL, "://default.", "://", 1)
	product.settle(b)
	requests := csrs(b, 64)
	var n atomic.Int64
	next := func() *http.Request {
		body, err := json.Marshal(map[string]string{"csr": string(requests[int(n.Add(1))%len(requests)].pem)})
		if err != nil {
			panic(err) // a map of strings
		}
		r := request(b, product, http.MethodPost, "/api/v1/profiles/tls-server/certificates", string(body))()
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\nissue by REST\tconnections\tcert/s\tp50 µs\tp99 µs\tserver µs\tcert/CPU-s\tbare µs\tof bare\tat least\t")
	for _, conns := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(conns), func(b *testing.B) {
			var got result
			var bare, count float64
			for range rounds {
				used, made := create(b, requests, seconds()/rounds/2)
				bare, count = bare+used, count+made
				got = got.and(load(b, product, conns, seconds()/rounds, next))
			}
			floor := bare / count
			b.ReportMetric(1/got.cpu(), "cert/CPU-s")
			b.ReportMetric(floor/got.cpu(), "of-bare")
			fmt.Fprintf(table, "P-256\t%d\t%.0f\t%d\t%d\t%.1f\t%.0f\t%.1f\t%.0f %%\t60 %%\t\n", conns, got.perSecond(), got.percentile(50).Microseconds(),
				got.percentile(99).Microseconds(), got.cpu()*1e6, 1/got.cpu(), floor*1e6, 100*floor/got.cpu())
		})
	}
	_ = table.Flush()
}

// asked is a CSR in both forms.
type asked struct{ der, pem []byte }

func csrs(b *testing.B, count int) (list []asked) {
	b.Helper()
	for i := range count {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		name := fmt.Sprintf("host%04d.bench.example.com", i)
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, key)
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, asked{der, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})})
	}
	return list
}

// create does the bare work for some seconds, and returns the CPU used and the number of
// certificates made.
func create(b *testing.B, list []asked, most float64) (used, made float64) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	from := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Bench"}, NotBefore: from, NotAfter: from.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, SubjectKeyId: make([]byte, 20),
	}
	before := self(b)
	for begun := time.Now(); time.Since(begun).Seconds() < most; made++ {
		csr, err := x509.ParseCertificateRequest(list[int(made)%len(list)].der)
		if err != nil {
			b.Fatal(err)
		}
		if err := csr.CheckSignature(); err != nil {
			b.Fatal(err)
		}
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
		if err != nil {
			b.Fatal(err)
		}
		_, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: serial, Subject: csr.Subject, NotBefore: from, NotAfter: from.AddDate(0, 0, 90), DNSNames: csr.DNSNames,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		}, ca, csr.PublicKey, key)
		if err != nil {
			b.Fatal(err)
		}
	}
	return self(b) - before, made
}

// self is the CPU that this process has used, in seconds.
func self(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
