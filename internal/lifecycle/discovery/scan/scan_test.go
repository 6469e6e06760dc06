package scan

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/inventory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sameChain(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

func TestEveryVersionIsSeen(t *testing.T) {
	cert := chain(t)
	for _, v := range []uint16{tls10, tls11, tls12, tls13} {
		t.Run(versionName(v), func(t *testing.T) {
			var sni atomic.Value
			at := tlsServer(t, &tls.Config{MinVersion: v, MaxVersion: v, CipherSuites: allSuites(), GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
				sni.Store(h.ServerName)
				return &cert, nil
			}})

			r := look(t, quick(true), at)

			if r.Outcome != Found || r.Version != versionName(v) || !slices.Equal(r.Versions, []string{versionName(v)}) || r.Cipher == "" || r.Group == "" {
				t.Errorf("%+v", r)
			}
			if !sameChain(r.Chain, cert.Certificate) || r.Incomplete || sni.Load() != "web.localhost" {
				t.Errorf("chain of %d, SNI %v", len(r.Chain), sni.Load())
			}
		})
	}
}

func TestAllAcceptedVersionsAreListed(t *testing.T) {
	at := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{chain(t)}, MinVersion: tls10, CipherSuites: allSuites()})

	r := look(t, quick(true), at)

	if !slices.Equal(r.Versions, []string{"TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"}) || r.Version != "TLS 1.3" || r.Group != "X25519MLKEM768" {
		t.Errorf("%+v", r)
	}
	if r := look(t, quick(false), at); r.Versions != nil {
		t.Errorf("not asked for: %v", r.Versions)
	}
}

// A certificate that crypto/x509 refuses ends its handshake; the scanner has it anyway.
func TestCertificatesThatNobodyParsesAreFound(t *testing.T) {
	good := chain(t)
	for name, served := range map[string][][]byte{
		"garbage":                       {[]byte("this is no certificate at all")},
		"garbage before a CA":           {{0x30, 0x03, 0x02, 0x01, 0x00}, good.Certificate[1]},
		"a signature that does not fit": {bytes.Replace(good.Certificate[0], []byte("leaf"), []byte("LEAF"), 1)},
	} {
		for _, v := range []uint16{tls10, tls12, tls13} {
			t.Run(name+" "+versionName(v), func(t *testing.T) {
				at := tlsServer(t, &tls.Config{MinVersion: v, MaxVersion: v, CipherSuites: allSuites(), Certificates: []tls.Certificate{{Certificate: served, PrivateKey: good.PrivateKey}}})

				r := look(t, quick(true), at)

				if r.Outcome != Found || !sameChain(r.Chain, served) || r.Version != versionName(v) || !slices.Equal(r.Versions, []string{versionName(v)}) {
					t.Errorf("%s (%s), chain of %d, %s %v", r.Outcome, r.Problem, len(r.Chain), r.Version, r.Versions)
				}
			})
		}
	}
}

func TestWeakPeersOfOpenSSLAreFound(t *testing.T) {
	rsa := func(bits string, more ...string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			openssl(t, append([]string{"req", "-x509", "-newkey", "rsa:" + bits, "-nodes", "-days", "3650", "-sha1", "-subj", "/CN=weak.example",
				"-keyout", filepath.Join(dir, "key.pem"), "-out", filepath.Join(dir, "cert.pem")}, more...)...)
		}
	}
	dsa := func(t *testing.T, dir string) {
		openssl(t, "dsaparam", "-genkey", "-out", filepath.Join(dir, "key.pem"), "1024")
		openssl(t, "req", "-x509", "-new", "-key", filepath.Join(dir, "key.pem"), "-days", "3650", "-sha1", "-subj", "/CN=weak.example", "-out", filepath.Join(dir, "cert.pem"))
	}
	weak := []string{"-cipher", "ALL:@SECLEVEL=0"}
	for _, c := range []struct {
		name    string
		make    func(t *testing.T, dir string)
		args    []string
		version string
		key     string
		size    int
		parser  inventory.Parser
	}{
		{"RSA-1024 with SHA-1 for ten years", rsa("1024"), weak, "TLS 1.3", "RSA", 1024, inventory.Standard},
		{"the same over TLS 1.0", rsa("1024"), append([]string{"-tls1"}, weak...), "TLS 1.0", "RSA", 1024, inventory.Standard},
		{"RSA-512", rsa("512"), append([]string{"-tls1_2"}, weak...), "TLS 1.2", "RSA", 512, inventory.Standard},
		{"only integer Diffie-Hellman", rsa("2048"), []string{"-tls1_2", "-cipher", "DHE-RSA-AES128-SHA:@SECLEVEL=0"}, "TLS 1.2", "RSA", 2048, inventory.Standard},
		{"only Camellia", rsa("2048"), []string{"-tls1_2", "-cipher", "CAMELLIA256-SHA:@SECLEVEL=0"}, "TLS 1.2", "RSA", 2048, inventory.Standard},
		{"DSA", dsa, append([]string{"-tls1_2"}, weak...), "TLS 1.2", "DSA", 1024, inventory.Standard},
		{"a negative serial, AES-128", rsa("2048", "-set_serial", "-5"), []string{"-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"}, "TLS 1.3", "RSA", 2048, inventory.Lenient},
		{"a negative serial, AES-256", rsa("2048", "-set_serial", "-5"), []string{"-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"}, "TLS 1.3", "RSA", 2048, inventory.Lenient},
		{"a negative serial, ChaCha20", rsa("2048", "-set_serial", "-5"), []string{"-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"}, "TLS 1.3", "RSA", 2048, inventory.Lenient},
		{"a negative serial, another group first", rsa("2048", "-set_serial", "-5"), []string{"-tls1_3", "-groups", "P-521"}, "TLS 1.3", "RSA", 2048, inventory.Lenient},
		{"a negative serial, TLS 1.2", rsa("2048", "-set_serial", "-5"), []string{"-tls1_2"}, "TLS 1.2", "RSA", 2048, inventory.Lenient},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			c.make(t, dir)
			at, der := opensslServer(t, dir, c.args...)

			r := look(t, quick(true), at)

			if r.Outcome != Found || r.Version != c.version || len(r.Chain) != 1 || !bytes.Equal(r.Chain[0], der) || !slices.Contains(r.Versions, c.version) || r.Cipher == "" {
				t.Fatalf("%+v", r)
			}
			x := inventory.Parse(r.Chain[0])
			if x.Key.Algorithm != c.key || x.Key.Size != c.size || x.Parser != c.parser || x.Signature.Hash != "SHA-1" && c.key == "RSA" || x.Lifetime() < 3650*24*time.Hour {
				t.Errorf("%+v", x)
			}
			if !x.SelfSigned {
				t.Errorf("not seen as self-signed: %+v", x)
			}
		})
	}
}

func TestAServerThatAsksForAClientCertificateIsFound(t *testing.T) {
	for _, v := range []uint16{tls12, tls13} {
		cert := chain(t)
		at := tlsServer(t, &tls.Config{MinVersion: v, MaxVersion: v, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert})

		if r := look(t, quick(false), at); r.Outcome != Found || !r.ClientAuth || !sameChain(r.Chain, cert.Certificate) {
			t.Errorf("%s: %+v", versionName(v), r)
		}
	}
}

func TestWhatIsNoTLSIsToldApart(t *testing.T) {
	http, _ := listen(t, func(c net.Conn) {
		c.Read(make([]byte, 1024))
		c.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
	})
	smtp, _ := listen(t, func(c net.Conn) {
		c.Write([]byte("220 mail.example ESMTP\r\n"))
		c.Read(make([]byte, 1024))
	})
	hangsUp, _ := listen(t, func(net.Conn) {})
	refuses := tlsServer(t, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("no certificate for you") }})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()

	for _, c := range []struct {
		name    string
		at      netip.AddrPort
		outcome Outcome
		problem string
	}{
		{"HTTP", http, NotTLS, "answers, but not in TLS"},
		{"SMTP", smtp, NotTLS, "answers, but not in TLS"},
		{"hangs up", hangsUp, Unreachable, ""},
		{"refuses", refuses, Unreachable, ""},
		{"closed port", closed, Unreachable, "connection refused"},
	} {
		r := look(t, quick(true), c.at)

		if r.Outcome != c.outcome || r.Problem == "" || c.problem != "" && r.Problem != c.problem || r.Versions != nil {
			t.Errorf("%s: %s, %q, %v", c.name, r.Outcome, r.Problem, r.Versions)
		}
	}
}

// A name that leads home, or to the metadata service, opens no connection.
func TestNamesDoNotLeadToForbiddenAddresses(t *testing.T) {
	at, connections := listen(t, func(net.Conn) {})
	for _, address := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "64:ff9b::7f00:1", "0.0.0.0", "::"} {
		s := New(Config{Versions: true, Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr(address)}, nil
		}})
		target, err := ParseTarget("rebound.example")
		if err != nil {
			t.Fatal(err)
		}
		target.Port = at.Port()

		for _, r := range s.Probe(t.Context(), target) {
			if r.Outcome != Forbidden || r.Problem == "" {
				t.Errorf("%s: %+v", address, r)
			}
		}
		// The dialer holds by itself, whatever the code before it forgets.
		if c, err := s.guard.dial(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(address), at.Port()), false, time.Second); !fault.Is(err, fault.Denied) {
			t.Errorf("dial %s: %v, %v", address, c, err)
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestEveryAddressOfANameIsProbed(t *testing.T) {
	s := New(Config{Timeout: time.Second, Resolve: func(context.Context, string) ([]netip.Addr, error) {
		var as []netip.Addr
		for i := range 20 {
			as = append(as, netip.AddrFrom4([4]byte{127, 0, 0, byte(20 - i)}), netip.AddrFrom4([4]byte{127, 0, 0, byte(20 - i)}))
		}
		return as, nil
	}})

	rs := s.Probe(t.Context(), Target{Name: "many.localhost", Port: 1, loopback: true})

	if len(rs) != maxAddresses || rs[0].IP != netip.MustParseAddr("127.0.0.1") || rs[7].IP != netip.MustParseAddr("127.0.0.8") {
		t.Errorf("%d results: %+v", len(rs), rs)
	}
}

func TestRunReportsEveryProbeOnceAndCanGoOn(t *testing.T) {
	at := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{chain(t)}})
	p, err := NewPlan(PlanOptions{Targets: []string{"127.0.0.1-127.0.0.40"}, Ports: "1," + at.String()[len("127.0.0.1:"):], Exclude: []string{"127.0.0.7"}})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Concurrency: 8, Timeout: 5 * time.Second})
	seen, last, found := map[Target]int{}, Progress{}, 0
	stop := errors.New("enough for today")

	err = s.Run(t.Context(), p, 0, func(g Progress, _ int, rs []Result) error {
		for _, r := range rs {
			seen[r.Target]++
		}
		last = g
		if g.Done == 30 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || last.Done != 30 || last.Position > 30 {
		t.Fatalf("%v, %+v", err, last)
	}
	err = s.Run(t.Context(), p, last.Position, func(g Progress, _ int, rs []Result) error {
		for _, r := range rs {
			seen[r.Target]++
			if r.Outcome == Found {
				found++
			}
		}
		last = g
		return nil
	})

	if err != nil || last.Done != 80 || last.Position != 80 || last.Total != 80 || last.Found != found {
		t.Errorf("%v, %+v, %d found", err, last, found)
	}
	if len(seen) != 78 { // 127.0.0.7 is excluded on both ports
		t.Errorf("%d targets seen", len(seen))
	}
}

func TestRunStopsWithItsContext(t *testing.T) {
	at, _ := listen(t, func(c net.Conn) { c.Read(make([]byte, 1<<20)); c.Read(make([]byte, 1)) })
	p, err := NewPlan(PlanOptions{Targets: []string{"127.0.0.1"}, Ports: at.String()[len("127.0.0.1:"):]})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := New(Config{Timeout: time.Hour})
	time.AfterFunc(50*time.Millisecond, cancel)

	err = s.Run(ctx, p, 0, func(Progress, int, []Result) error { t.Error("an interrupted probe is no result"); return nil })

	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
