package lifecycletest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/lifecycle/connection"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/vault/vaulttest"
)

// Program is a TLS server as operators know it: it reads certificate and key from files
// when it starts and when its reload command is run, and serves the ones that it has read.
// It begins with a self-signed certificate that is good for ten years.
type Program struct {
	Dir        string
	Host       string
	Port       int
	First      []byte // the certificate that it began with, DER
	Connection connection.Connection
}

// NewProgram starts a program that is named by host, and makes a connection to its files.
func (w *World) NewProgram(t testing.TB, host string) *Program {
	t.Helper()
	p := &Program{Dir: t.TempDir(), Host: host}
	for _, dir := range []string{"etc", "read"} {
		must(t, os.Mkdir(filepath.Join(p.Dir, dir), 0o755))
	}
	p.selfSign(t)
	check := p.script(t, "check", `[ ! -e `+p.Dir+`/broken ] || { echo "broken configuration"; exit 1; }`)
	reload := p.script(t, "reload", `[ ! -e `+p.Dir+`/jammed ] || { echo "jammed"; exit 1; }
[ ! -e `+p.Dir+`/stubborn ] || exit 0
cp `+p.Dir+`/etc/* `+p.Dir+`/read/`)
	p.start(t)
	settings := encode(t, map[string]any{"roots": []string{p.Dir + "/etc"}, "check": []string{check}, "reload": []string{reload}})
	made, err := w.Connections.Create(t.Context(), w.Caller, connection.Draft{Name: host, Connector: "files", Settings: connector.Settings(settings)})
	must(t, err)
	p.Connection = made
	return p
}

func (p *Program) script(t testing.TB, name, body string) string {
	t.Helper()
	path := filepath.Join(p.Dir, name)
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755))
	return path
}

// Touch makes a file that changes how the program behaves: "broken" makes its check
// fail, "jammed" its reload, "stubborn" makes its reload do nothing and say that it did.
func (p *Program) Touch(t testing.TB, name string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(p.Dir, name), nil, 0o600))
}

// Mend takes back Touch.
func (p *Program) Mend(t testing.TB, name string) {
	t.Helper()
	must(t, os.Remove(filepath.Join(p.Dir, name)))
}

func (p *Program) selfSign(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: p.Host}, // no alternative name, as once was common
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	p.First, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for _, dir := range []string{"etc", "read"} {
		must(t, os.WriteFile(filepath.Join(p.Dir, dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.First}), 0o600))
		must(t, os.WriteFile(filepath.Join(p.Dir, dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	}
}

func (p *Program) start(t testing.TB) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(p.Dir+"/read/cert.pem", p.Dir+"/read/key.pem")
			return &c, err
		},
	})
	must(t, err)
	p.Port = l.Addr().(*net.TCPAddr).Port
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.(*tls.Conn).HandshakeContext(context.Background())
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
}

// Endpoint is where it listens.
func (p *Program) Endpoint() lineage.Endpoint {
	return lineage.Endpoint{Host: p.Host, IP: "127.0.0.1", Port: p.Port, SNI: p.Host}
}

// Target is its files, with or without its endpoint.
func (p *Program) Target(endpoints ...lineage.Endpoint) lineage.Target {
	return lineage.Target{Connection: p.Connection.ID, Endpoints: endpoints, Place: map[string]any{
		"fullchain": p.Dir + "/etc/cert.pem", "key": p.Dir + "/etc/key.pem",
	}}
}

// Serves returns the SHA-256 of the certificate that a handshake shows.
func (p *Program) Serves(t testing.TB) string {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{ServerName: p.Host, InsecureSkipVerify: true}} //nolint:gosec // to look, not to trust
	c, err := d.DialContext(t.Context(), "tcp", p.Endpoint().Address())
	must(t, err)
	defer c.Close()
	return SHA256(c.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw)
}

// Left lists the files in its configuration folder.
func (p *Program) Left(t testing.TB) []string {
	t.Helper()
	entries, err := os.ReadDir(p.Dir + "/etc")
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Discover records in the inventory what the program serves now.
func (w *World) Discover(t testing.TB, p *Program) string {
	t.Helper()
	_, err := w.Inventory.Record(t.Context(), w.Caller, []inventory.Observation{{Place: p.Endpoint().Place(), State: inventory.Present, DER: p.First}})
	must(t, err)
	return SHA256(p.First)
}

// Adopt discovers what a program serves and adopts it, with the program's files as the target.
func (w *World) Adopt(t testing.TB, p *Program, change ...func(*lineage.Adoption)) lineage.Lineage {
	t.Helper()
	a := lineage.Adoption{
		SHA256: w.Discover(t, p), Targets: []lineage.Target{p.Target()},
		Wanted: lineage.Wanted{Profile: "tls-server", Owner: "shop", Keep: lineage.Keep{Vault: vaulttest.Vault, Name: strings.ReplaceAll(p.Host, ".", "-")}},
	}
	for _, f := range change {
		f(&a)
	}
	l, err := w.Lineages.Adopt(t.Context(), w.Caller, a)
	must(t, err)
	return l
}

// SHA256 is the fingerprint of a certificate.
func SHA256(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
