package scan

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// chain is a leaf for *.example signed by a CA, and both as they are served.
func chain(t testing.TB) tls.Certificate {
	t.Helper()
	caKey, key := ecKey(t), ecKey(t)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"*.example"}}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: key}
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// allSuites are every suite of crypto/tls, the insecure ones too.
func allSuites() []uint16 {
	var ids []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ids = append(ids, s.ID)
	}
	return ids
}

// listen runs serve for every connection, and counts them.
func listen(t testing.TB, serve func(net.Conn)) (netip.AddrPort, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var count atomic.Int64
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			running.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort(), &count
}

// tlsServer serves handshakes with a configuration.
func tlsServer(t testing.TB, c *tls.Config) netip.AddrPort {
	t.Helper()
	at, _ := listen(t, func(conn net.Conn) {
		s := tls.Server(conn, c)
		if s.Handshake() == nil {
			io.Copy(io.Discard, s) // a client that only looks goes away first
		}
	})
	return at
}

// quick is a scanner for servers on this machine.
func quick(versions bool) *Scanner {
	return New(Config{Timeout: 5 * time.Second, Versions: versions, Resolve: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}})
}

// look probes one server under a name of this machine.
func look(t testing.TB, s *Scanner, at netip.AddrPort) Result {
	t.Helper()
	rs := s.Probe(t.Context(), Target{Name: "web.localhost", Port: at.Port(), loopback: true})
	if len(rs) != 1 {
		t.Fatalf("%d results", len(rs))
	}
	return rs[0]
}

// openssl runs a command of it.
func openssl(t testing.TB, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test needs openssl: install Debian's package openssl")
		}
		t.Skip("needs openssl: install Debian's package openssl")
	}
	if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// opensslServer runs s_server with a certificate and key in dir, and returns its
// address and the DER that it serves.
func opensslServer(t testing.TB, dir string, args ...string) (netip.AddrPort, []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a free port; openssl cannot choose one that we learn
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	args = append([]string{"s_server", "-accept", "127.0.0.1:" + strconv.Itoa(int(at.Port())), "-cert", filepath.Join(dir, "cert.pem"), "-key", filepath.Join(dir, "key.pem"), "-quiet"}, args...)
	cmd := exec.Command("openssl", args...)
	in, err := cmd.StdinPipe() // s_server ends with its input
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("openssl %s: %s", strings.Join(args, " "), said.String())
		}
	})
	for { // until it listens; the test's own deadline ends this
		c, err := net.Dial("tcp", at.String())
		if err == nil {
			c.Close()
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("openssl s_server does not listen")
		}
		time.Sleep(10 * time.Millisecond) // polls another process; no event tells
	}
	b, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	return at, block.Bytes
}

// certificateParts are what a test may exaggerate.
type certificateParts struct {
	names   []string
	modulus *big.Int
}

// served is a peer that shows a certificate with exaggerated parts, over TLS 1.2 by hand.
func served(t testing.TB, change func(*certificateParts)) func(net.Conn) {
	t.Helper()
	var x certificateParts
	change(&x)
	signer := ecKey(t)
	var public any = &signer.PublicKey
	if x.modulus != nil {
		public = &rsa.PublicKey{N: x.modulus, E: 65537}
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), DNSNames: x.names}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	return func(conn net.Conn) {
		io.ReadFull(conn, make([]byte, 64))
		conn.Write(serverHello())
		conn.Write(inRecords(certificateMessage(der)))
		conn.Write(record(22, message(14, 0, nil)))
		io.Copy(io.Discard, conn)
	}
}
