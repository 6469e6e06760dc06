package bench

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
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

	"chatelaine.dev/internal/app"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/vault/keystore"
)

// BenchmarkIssue compares certificates by REST, on disk with their records before they
// are handed out, with the bare cryptography: the check of a CSR and
// x509.CreateCertificate. The keys of the CSRs are of P-256, those of the authorities of
// P-256 and of RSA 2048. Both are CPU, in turns of one run.
func BenchmarkIssue(b *testing.B) {
	product := start(b, "product", b.TempDir(), role+"_RSA=yes")
	product.URL = strings.Replace(product.URL, "://default.", "://", 1)
	product.settle(b)
	requests := csrs(b, 64)
	var n atomic.Int64
	by := func(profile string) func() *http.Request {
		return func() *http.Request {
			body, err := json.Marshal(map[string]string{"csr": string(requests[int(n.Add(1))%len(requests)].pem)})
			if err != nil {
				panic(err) // a map of strings
			}
			r := request(b, product, http.MethodPost, "/api/v1/profiles/"+profile+"/certificates", string(body))()
			r.Header.Set("Content-Type", "application/json")
			return r
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\nissue by REST\tconnections\tcert/s\tp50 µs\tp99 µs\tserver µs\tcert/CPU-s\tbare µs\tof bare\tat least\t")
	for _, authority := range []struct {
		name, profile string
		make          func() (crypto.Signer, error)
	}{
		{"P-256", "tls-server", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
		{"RSA 2048", "rsa", func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }},
	} {
		key, err := authority.make()
		if err != nil {
			b.Fatal(err)
		}
		for _, conns := range []int{1, 8, 64} {
			b.Run(fmt.Sprint(strings.ReplaceAll(authority.name, " ", "-"), "/", conns), func(b *testing.B) {
				var got result
				var bare, count float64
				for range rounds {
					used, made := create(b, key, requests, seconds()/rounds/2)
					bare, count = bare+used, count+made
					got = got.and(load(b, product, conns, seconds()/rounds, by(authority.profile)))
				}
				floor := bare / count
				b.ReportMetric(1/got.cpu(), "cert/CPU-s")
				b.ReportMetric(floor/got.cpu(), "of-bare")
				fmt.Fprintf(table, "%s\t%d\t%.0f\t%d\t%d\t%.1f\t%.0f\t%.1f\t%.0f %%\t60 %%\t\n", authority.name, conns, got.perSecond(), got.percentile(50).Microseconds(),
					got.percentile(99).Microseconds(), got.cpu()*1e6, 1/got.cpu(), floor*1e6, 100*floor/got.cpu())
			})
		}
	}
	_ = table.Flush()
}

// signByRSA makes an authority with a key of RSA 2048, and the profile "rsa" for it.
func signByRSA(ctx context.Context, a *app.App) error {
	_, err := a.Authorities.Create(ctx, apptest.System, authority.Spec{
		ID: "rsa", CommonName: "Bench RSA", Key: keystore.Spec{Type: keystore.RSA, Bits: 2048}, Validity: 10 * 365 * 24 * time.Hour,
	})
	if err != nil {
		return err
	}
	_, err = a.Profiles.Create(ctx, apptest.System, []byte(`{"name":"rsa","title":"By RSA","authorities":["rsa"],"keys":["P-256"],"keyUsage":["digitalSignature"],
		"extendedKeyUsage":["serverAuth"],"names":{"commonName":"first","min":1,"max":10,"dns":true},"validity":{"default":"90d","min":"1h","max":"398d","backdate":"5m"}}`))
	return err
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
func create(b *testing.B, key crypto.Signer, list []asked, most float64) (used, made float64) {
	b.Helper()
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
