package challenge_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/validation/challenge"
)

const token, authorization = "token-token-token-token", "token-token-token-token.thumbprint"

func proof(method, name string) challenge.Proof {
	return challenge.Proof{Method: method, Name: name, Token: token, Authorization: authorization}
}

// to dials one server, whatever is asked for, and remembers what was.
func to(t *testing.T, address string, asked *[]string) func(context.Context, string, string) (net.Conn, error) {
	t.Helper()
	return func(ctx context.Context, network, wanted string) (net.Conn, error) {
		if asked != nil {
			*asked = append(*asked, wanted)
		}
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
}

func kindOf(err error) challenge.Kind {
	var f *challenge.Failure
	if errors.As(err, &f) {
		return f.Kind
	}
	return ""
}

func TestHTTPChallengeTakesTheRightAnswerAlone(t *testing.T) {
	t.Parallel()
	text := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
	}
	for _, c := range []struct {
		why   string
		serve http.HandlerFunc
		want  challenge.Kind
	}{
		{"right", text(authorization), ""},
		{"with white space at its end", text(authorization + " \r\n\n"), ""},
		{"with white space without end", text(authorization + strings.Repeat("\n", 1024)), challenge.Unauthorized},
		{"with white space before", text(" " + authorization), challenge.Unauthorized},
		{"empty", text(""), challenge.Unauthorized},
		{"the token alone", text(token), challenge.Unauthorized},
		{"another account's", text(token + ".other"), challenge.Unauthorized},
		{"in capitals", text(strings.ToUpper(authorization)), challenge.Unauthorized},
		{"with more behind", text(authorization + "x"), challenge.Unauthorized},
		{"with more on the next line", text(authorization + "\nx"), challenge.Unauthorized},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			for range 1000 {
				if _, err := io.WriteString(w, strings.Repeat("x", 1000)); err != nil {
					return
				}
			}
		}, challenge.Unauthorized},
		{"status 404", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			_, _ = io.WriteString(w, authorization)
		}, challenge.Unauthorized},
		{"status 206", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(206)
			_, _ = io.WriteString(w, authorization)
		}, challenge.Unauthorized},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, authorization)
		}, challenge.Connection},
		{"headers without end", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 100_000))
			_, _ = io.WriteString(w, authorization)
		}, challenge.Connection},
	} {
		var path, host string
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			path, host = r.URL.Path, r.Host
			c.serve(w, r)
		}))
		var asked []string
		v := challenge.New(challenge.Config{Dial: to(t, s.Listener.Addr().String(), &asked)})

		err := v.Validate(t.Context(), proof("http-01", "www.example.com"))

		if kindOf(err) != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s: %v, want %q", c.why, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "xxxx") {
			t.Errorf("%s: the error repeats the answer: %v", c.why, err)
		}
		if path != "/.well-known/acme-challenge/"+token || host != "www.example.com" || asked[0] != "www.example.com:80" {
			t.Errorf("%s: asked %q at %q, path %q", c.why, host, asked, path)
		}
		s.Close()
	}
}

func TestRedirectsAreFollowedToWebServersAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		to   string
		want challenge.Kind
	}{
		{"http://other.example.com/there", ""},
		{"http://other.example.com:80/there", ""},
		{"https://other.example.com/there", challenge.Connection}, // the server here speaks no TLS
		{"http://other.example.com:8080/there", challenge.Connection},
		{"http://other.example.com:22/there", challenge.Connection},
		{"ftp://other.example.com/there", challenge.Connection},
		{"file:///etc/passwd", challenge.Connection},
		{"gopher://other.example.com/there", challenge.Connection},
		{"http://user@other.example.com/there", challenge.Connection},
		{"http://127.0.0.1/there", challenge.Connection},
		{"http://[::1]/there", challenge.Connection},
		{"http://169.254.169.254/there", challenge.Connection},
		{"http://2130706433/there", challenge.Connection},
		{"http://0x7f000001/there", challenge.Connection},
		{"http://0177.0.0.1/there", challenge.Connection},
		{"http://127.1/there", challenge.Connection},
		{"http:///there", challenge.Connection},
		{"/loop", challenge.Connection},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/there":
				_, _ = io.WriteString(w, authorization)
			case "/loop":
				http.Redirect(w, r, "/loop", http.StatusFound)
			default:
				w.Header().Set("Location", c.to)
				w.WriteHeader(http.StatusMovedPermanently)
			}
		}))
		var asked []string
		v := challenge.New(challenge.Config{Dial: to(t, s.Listener.Addr().String(), &asked)})

		err := v.Validate(t.Context(), proof("http-01", "www.example.com"))

		if kindOf(err) != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s: %v, want %q", c.to, err, c.want)
		}
		for _, a := range asked {
			if !strings.HasSuffix(a, ".example.com:80") && a != "other.example.com:443" {
				t.Errorf("%s: %s was dialled", c.to, a)
			}
		}
		if len(asked) > 11 {
			t.Errorf("%s: %d requests", c.to, len(asked))
		}
		s.Close()
	}
}

// The token in the path says whose challenge it is.
func TestARedirectDoesNotTellWhereItCameFrom(t *testing.T) {
	t.Parallel()
	var referers []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		referers = append(referers, r.Referer())
		if r.URL.Path != "/there" {
			http.Redirect(w, r, "http://other.example.com/there", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, authorization)
	}))
	defer s.Close()
	v := challenge.New(challenge.Config{Dial: to(t, s.Listener.Addr().String(), nil)})

	if err := v.Validate(t.Context(), proof("http-01", "www.example.com")); err != nil {
		t.Fatal(err)
	}

	if len(referers) != 2 || referers[1] != "" {
		t.Errorf("referers %q", referers)
	}
}

func TestWhatTheDialerRefusesIsNotReached(t *testing.T) {
	t.Parallel()
	dial := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: fault.New(fault.Denied, "AddressForbidden", "not this address")}
	}
	v := challenge.New(challenge.Config{Dial: dial})
	for _, method := range []string{"http-01", "tls-alpn-01"} {
		if err := v.Validate(t.Context(), proof(method, "www.example.com")); kindOf(err) != challenge.Connection || !strings.Contains(err.Error(), "not this address") {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestDNSChallengeTakesTheRightRecordAlone(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte(authorization))
	right := base64.RawURLEncoding.EncodeToString(sum[:])
	for _, c := range []struct {
		why   string
		texts []string
		fail  error
		want  challenge.Kind
	}{
		{"right", []string{right}, nil, ""},
		{"right among others", []string{"v=spf1", "x", right}, nil, ""},
		{"none", nil, nil, challenge.Unauthorized},
		{"padded", []string{right + "="}, nil, challenge.Unauthorized},
		{"the authorization itself", []string{authorization}, nil, challenge.Unauthorized},
		{"in standard base64", []string{base64.StdEncoding.EncodeToString(sum[:])}, nil, challenge.Unauthorized},
		{"with space", []string{" " + right}, nil, challenge.Unauthorized},
		{"in quotes", []string{`"` + right + `"`}, nil, challenge.Unauthorized},
		{"no answer", nil, errors.New("SERVFAIL"), challenge.DNS},
	} {
		asked := ""
		v := challenge.New(challenge.Config{TXT: func(_ context.Context, name string) ([]string, error) {
			asked = name
			return c.texts, c.fail
		}})
		err := v.Validate(t.Context(), proof("dns-01", "example.com"))
		if kindOf(err) != c.want || (err == nil) != (c.want == "") || asked != "_acme-challenge.example.com" {
			t.Errorf("%s: %v at %s, want %q", c.why, err, asked, c.want)
		}
	}
	v := challenge.New(challenge.Config{})
	if err := v.Validate(t.Context(), challenge.Proof{Method: "dns-01", IP: netip.MustParseAddr("192.0.2.1")}); err == nil {
		t.Error("an address is shown by dns-01 (RFC 8738 section 7)")
	}
	if err := v.Validate(t.Context(), proof("tls-sni-01", "example.com")); err == nil {
		t.Error("a method that does not exist succeeds")
	}
}

// shape is a certificate for tls-alpn-01, right unless it is changed.
type shape struct {
	names      []string
	ips        []net.IP
	extensions []pkix.Extension
	signedBy   bool // by another
	protocols  []string
	max        uint16
}

func identifier(critical bool, digest any) pkix.Extension {
	b, err := asn1.Marshal(digest)
	if err != nil {
		panic(err) // the test is wrong
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}, Critical: critical, Value: b}
}

func (s shape) config(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "challenge"}, DNSNames: s.names, IPAddresses: s.ips, ExtraExtensions: s.extensions}
	parent, signer := c, key
	if s.signedBy {
		if signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
		parent = &x509.Certificate{Subject: pkix.Name{CommonName: "another"}}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: s.max, NextProtos: s.protocols, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// Let's Encrypt took handshakes of TLS below 1.2 and an old OID (2022).
func TestTLSChallengeTakesTheRightCertificateAlone(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte(authorization))
	other := sha256.Sum256([]byte("x"))
	right := func() shape {
		return shape{names: []string{"www.example.com"}, extensions: []pkix.Extension{identifier(true, sum[:])}, protocols: []string{"acme-tls/1"}}
	}
	for _, c := range []struct {
		why    string
		change func(*shape)
		want   challenge.Kind
	}{
		{"right", func(*shape) {}, ""},
		{"right by TLS 1.2", func(s *shape) { s.max = tls.VersionTLS12 }, ""},
		{"in capitals", func(s *shape) { s.names = []string{"WWW.example.com"} }, ""},
		{"by TLS 1.1", func(s *shape) { s.max = tls.VersionTLS11 }, challenge.TLS},
		{"no protocol", func(s *shape) { s.protocols = nil }, challenge.Unauthorized},
		{"another protocol", func(s *shape) { s.protocols = []string{"h2"} }, challenge.TLS},
		{"another name", func(s *shape) { s.names = []string{"example.com"} }, challenge.Unauthorized},
		{"a wildcard", func(s *shape) { s.names = []string{"*.example.com"} }, challenge.Unauthorized},
		{"two names", func(s *shape) { s.names = append(s.names, "b.example.com") }, challenge.Unauthorized},
		{"the same name twice", func(s *shape) { s.names = append(s.names, "www.example.com") }, challenge.Unauthorized},
		{"a name and an address", func(s *shape) { s.ips = []net.IP{{192, 0, 2, 1}} }, challenge.Unauthorized},
		{"no name", func(s *shape) { s.names = nil }, challenge.Unauthorized},
		{"not critical", func(s *shape) { s.extensions = []pkix.Extension{identifier(false, sum[:])} }, challenge.Unauthorized},
		{"no extension", func(s *shape) { s.extensions = nil }, challenge.Unauthorized},
		{"another digest", func(s *shape) { s.extensions = []pkix.Extension{identifier(true, other[:])} }, challenge.Unauthorized},
		{"half a digest", func(s *shape) { s.extensions = []pkix.Extension{identifier(true, sum[:16])} }, challenge.Unauthorized},
		{"the authorization itself", func(s *shape) { s.extensions = []pkix.Extension{identifier(true, []byte(authorization))} }, challenge.Unauthorized},
		{"a text, no octets", func(s *shape) { s.extensions = []pkix.Extension{identifier(true, authorization)} }, challenge.Unauthorized},
		{"more behind the digest", func(s *shape) {
			e := identifier(true, sum[:])
			e.Value = append(e.Value, 5, 0)
			s.extensions = []pkix.Extension{e}
		}, challenge.Unauthorized},
		{"the OID of a draft", func(s *shape) {
			e := identifier(true, sum[:])
			e.Id = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 30, 1}
			s.extensions = []pkix.Extension{e}
		}, challenge.Unauthorized},
		{"signed by another", func(s *shape) { s.signedBy = true }, challenge.Unauthorized},
	} {
		s := right()
		c.change(&s)
		l, err := tls.Listen("tcp", "127.0.0.1:0", s.config(t))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if x, err := l.Accept(); err == nil {
				_ = x.(*tls.Conn).HandshakeContext(t.Context())
				_, _ = io.Copy(io.Discard, x)
				_ = x.Close()
			}
		}()
		v := challenge.New(challenge.Config{Dial: to(t, l.Addr().String(), nil)})

		err = v.Validate(t.Context(), proof("tls-alpn-01", "www.example.com"))

		if kindOf(err) != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s: %v, want %q", c.why, err, c.want)
		}
		_ = l.Close()
	}
}

func TestAddressesAreAskedForByTheirReverseNames(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte(authorization))
	for address, name := range map[string]string{
		"192.0.2.7":   "7.2.0.192.in-addr.arpa",
		"2001:db8::1": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		a := netip.MustParseAddr(address)
		s := shape{ips: []net.IP{a.AsSlice()}, extensions: []pkix.Extension{identifier(true, sum[:])}, protocols: []string{"acme-tls/1"}}
		config, asked := s.config(t), ""
		made := config.Certificates[0]
		config.Certificates = nil
		config.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			asked = h.ServerName
			return &made, nil
		}
		l, err := tls.Listen("tcp", "127.0.0.1:0", config)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if x, err := l.Accept(); err == nil {
				_ = x.(*tls.Conn).HandshakeContext(t.Context())
				_, _ = io.Copy(io.Discard, x)
				_ = x.Close()
			}
		}()
		var dialled []string
		v := challenge.New(challenge.Config{Dial: to(t, l.Addr().String(), &dialled)})
		if err := v.Validate(t.Context(), challenge.Proof{Method: "tls-alpn-01", IP: a, Token: token, Authorization: authorization}); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		_ = l.Close()
		<-done
		if asked != name || dialled[0] != net.JoinHostPort(address, "443") {
			t.Errorf("%s: asked for %q at %q", address, asked, dialled)
		}
	}
}

func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{"http://a.example/", "http://127.0.0.1/", "//x", "http://[::ffff:127.0.0.1]/", "http://0300.0250.1.1", "https://a:443/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.Parse(target)
		if err != nil || strings.ContainsAny(target, "\r\n") {
			return
		}
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", u.String())
			w.WriteHeader(http.StatusFound)
		}))
		defer s.Close()
		v := challenge.New(challenge.Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if n, _ := strconv.Atoi(port); err != nil || n != 80 && n != 443 {
				t.Errorf("%q leads to %s", target, address)
			}
			if _, err := netip.ParseAddr(host); err == nil {
				t.Errorf("%q leads to the address %s", target, address)
			}
			if host == "www.example.com" && port == "80" {
				var d net.Dialer
				return d.DialContext(ctx, network, s.Listener.Addr().String())
			}
			return nil, fmt.Errorf("not here")
		}})
		if err := v.Validate(t.Context(), proof("http-01", "www.example.com")); err == nil {
			t.Errorf("%q is taken for a proof", target)
		}
	})
}
