package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"chatelaine.dev/internal/app/acme"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/pki/validation/challenge"
)

// forbidden are ways to say "an address that a stranger must not have us reach".
func forbidden() []string {
	list := []string{
		"127.0.0.1", "127.0.0.3", "127.1.2.3", "127.255.255.254", "0.0.0.0", "0.0.0.1", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255",
		"169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "192.0.0.1", "192.0.2.1",
		"198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "100.100.100.200",
		"::", "::1", "fe80::1", "fe80::a9fe:a9fe", "fec0::1", "fc00::1", "fd00::1", "fd00:ec2::254", "ff02::1", "100::1", "2001:db8::1", "3fff::1", "5f00::1",
	}
	for _, v4 := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.0.1", "172.16.0.1"} {
		a := netip.MustParseAddr(v4).As4()
		list = append(list,
			fmt.Sprintf("::ffff:%s", v4),
			fmt.Sprintf("64:ff9b::%02x%02x:%02x%02x", a[0], a[1], a[2], a[3]), // NAT64, RFC 6052
			fmt.Sprintf("2002:%02x%02x:%02x%02x::1", a[0], a[1], a[2], a[3]),  // 6to4, RFC 3056
			fmt.Sprintf("::%02x%02x:%02x%02x", a[0], a[1], a[2], a[3]),        // IPv4-compatible, RFC 4291
		)
	}
	return list
}

// trap is where a forbidden connection would arrive: loopback, which stands for all.
type trap struct{ reached atomic.Int64 }

func (s *trap) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.reached.Add(1)
	_, _ = io.WriteString(w, "token.thumbprint")
}

// zone answers address questions from a table.
func zone(t *testing.T, records map[string]netip.Addr) string {
	t.Helper()
	var lc net.ListenConfig
	c, err := lc.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			out := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
			h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
			a, ok := records[strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")]
			switch {
			case ok && a.Is4() && q.Type == dnsmessage.TypeA:
				out.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: a.As4()}}}
			case ok && !a.Is4() && q.Type == dnsmessage.TypeAAAA:
				out.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}}}
			}
			if packed, err := out.Pack(); err == nil {
				_, _ = c.WriteTo(packed, from)
			}
		}
	}()
	return c.LocalAddr().String()
}

// W5 of the security bars: no encoding of a private address, by name, by identifier or by
// redirect, makes validation connect.
func TestValidationReachesNothingThatNobodyAllowed(t *testing.T) {
	t.Parallel()
	var caught trap
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	server := http.Server{Handler: &caught, ReadHeaderTimeout: dialTimeout}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })

	// A machine that validation may reach, and that sends it on.
	records := map[string]netip.Addr{"honest.example.com": netip.MustParseAddr("127.0.0.2")}
	next := make(map[string]string)
	gate, err := lc.Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.2:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	redirector := http.Server{ReadHeaderTimeout: dialTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		if next[token] == "" {
			_, _ = io.WriteString(w, "token.thumbprint")
			return
		}
		http.Redirect(w, r, next[token], http.StatusFound)
	})}
	go func() { _ = redirector.Serve(gate) }()
	t.Cleanup(func() { _ = redirector.Close() })

	for i, text := range forbidden() {
		records[fmt.Sprintf("n%d.example.com", i)] = netip.MustParseAddr(text)
		next[fmt.Sprintf("byname%d", i)] = fmt.Sprintf("http://n%d.example.com:%d/x", i, port)
		next[fmt.Sprintf("byaddress%d", i)] = "http://" + net.JoinHostPort(text, fmt.Sprint(port)) + "/x"
	}
	v, _, err := acme.Validation(acme.Config{
		Settings: config.ACME{Resolvers: []string{zone(t, records)}, Networks: []string{"127.0.0.2"}, HTTPPort: port, TLSPort: port},
		Permit:   permitACME, Dial: dialACME,
	})
	if err != nil {
		t.Fatal(err)
	}
	try := func(p challenge.Proof) error {
		t.Helper()
		p.Authorization = "token.thumbprint"
		if p.Method == "" {
			p.Method = challenge.HTTP01
		}
		return v.Validate(context.WithoutCancel(t.Context()), p)
	}

	if err := try(challenge.Proof{Name: "honest.example.com", Token: "token"}); err != nil {
		t.Fatalf("what the operator allowed: %v", err)
	}
	tried := 0
	for i, text := range forbidden() {
		a := netip.MustParseAddr(text).Unmap()
		name := fmt.Sprintf("n%d.example.com", i)
		for what, p := range map[string]challenge.Proof{
			"by name":                     {Name: name, Token: "token"},
			"by name, tls-alpn-01":        {Name: name, Method: challenge.TLSALPN01},
			"by address":                  {IP: a, Token: "token"},
			"by address, tls-alpn-01":     {IP: a, Method: challenge.TLSALPN01},
			"by a redirect to a name":     {Name: "honest.example.com", Token: fmt.Sprintf("byname%d", i)},
			"by a redirect to an address": {Name: "honest.example.com", Token: fmt.Sprintf("byaddress%d", i)},
		} {
			tried++
			err := try(p)
			var f *challenge.Failure
			if err == nil || !errors.As(err, &f) {
				t.Errorf("%s %s: %v", text, what, err)
			}
		}
	}
	if n := caught.reached.Load(); n != 0 || tried < 120 {
		t.Errorf("%d of %d tries arrived", n, tried)
	}
}
