package app

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/fault"
)

// sink is a service that nobody may reach. It listens on loopback of both families and on
// every other address of the machine, and counts who comes.
type sink struct {
	port  string
	count atomic.Int32
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{}
	first := s.listen(t, "0.0.0.0:0")
	_, s.port, _ = net.SplitHostPort(first)
	s.listen(t, "[::]:"+s.port)
	return s
}

func (s *sink) listen(t *testing.T, address string) string {
	t.Helper()
	network := "tcp4"
	if strings.HasPrefix(address, "[") {
		network = "tcp6"
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), network, address)
	if err != nil {
		t.Skipf("needs %s: %v", address, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.count.Add(1)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nWebHook-Allowed-Origin: *\r\n\r\n")
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// names is a resolver that says of every name what answer says.
func names(answer func(name string) []netip.Addr) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go serveDNS(theirs, answer)
		return ours, nil
	}}
}

// serveDNS answers one question after another, as over TCP (RFC 1035 §4.2.2).
func serveDNS(c net.Conn, answer func(name string) []netip.Addr) {
	defer c.Close()
	for {
		var size uint16
		if binary.Read(c, binary.BigEndian, &size) != nil {
			return
		}
		q := make([]byte, size)
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		var labels []string
		end := 12
		for q[end] != 0 {
			labels = append(labels, string(q[end+1:end+1+int(q[end])]))
			end += 1 + int(q[end])
		}
		end += 5
		kind := binary.BigEndian.Uint16(q[end-4:])
		var records bytes.Buffer
		n := 0
		for _, a := range answer(strings.ToLower(strings.Join(labels, "."))) {
			if want := map[bool]uint16{true: 1, false: 28}[a.Is4()]; kind == want {
				records.Write([]byte{0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(a.AsSlice()))})
				records.Write(a.AsSlice())
				n++
			}
		}
		r := append([]byte{}, q[:end]...)
		r[2], r[3] = 0x81, 0x80
		binary.BigEndian.PutUint16(r[6:], uint16(n))
		binary.BigEndian.PutUint16(r[8:], 0)
		binary.BigEndian.PutUint16(r[10:], 0)
		r = append(r, records.Bytes()...)
		_ = binary.Write(c, binary.BigEndian, uint16(len(r)))
		if _, err := c.Write(r); err != nil {
			return
		}
	}
}

// hostile are ways to write an address that a webhook must not reach (W5). Names are
// resolved by a resolver in the attacker's hand: each of them is 127.0.0.1 and ::1.
func hostile() []string {
	list := strings.Fields(`
		127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.254 127.1 127.0.1 0 0.0.0.0 0.0 0.0.0 0.1.2.3
		2130706433 017700000001 0x7f000001 0x7F.0.0.1 0x7f.1 0177.0.0.1 0177.0.0.01 00177.0.0.1 127.0.0.01 127.000.000.001 0x7f.0x0.0x0.0x1
		0x7f000001. 2130706433. 127.0.0.1. 4294967297 18446744071562067969 127.0.0.0x1 0177.0x0.0.1 %31%32%37.0.0.1 127%2e0%2e0%2e1
		[::1] [::] [0:0:0:0:0:0:0:1] [0000::0001] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:127.0.0.1] [::127.0.0.1] [::7f00:1]
		[::ffff:0.0.0.0] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::127.0.0.1] [64:ff9b::10.0.0.1] [64:ff9b::169.254.169.254] [2002:7f00:1::] [2002:7f00:1::1]
		[2002:a00:1::] [2002:c0a8:101::] [2002:a9fe:a9fe::] [2001::7f00:1] [2001:0:7f00:1::] [::1%25lo] [fe80::1%25lo] [fe80::1] [febf::1] [fec0::1]
		[fc00::1] [fd00::1] [fd12:3456:789a::1] [fdff:ffff::1] [100::1] [2001:db8::1] [2001:10::1] [2001:20::1] [3fff::1] [5f00::1] [ff02::1] [ff05::1:3] [ff0e::1]
		[::ffff:10.0.0.1] [::ffff:192.168.1.1] [::ffff:172.16.0.1] [::ffff:169.254.169.254] [::ffff:a9fe:a9fe] [::ffff:100.64.0.1] [::10.0.0.1] [::169.254.169.254]
		169.254.169.254 169.254.0.1 169.254.170.2 169.254.255.254 169.254.43518 2852039166 0xa9fea9fe 0251.0376.0251.0376 169.254.169.254.
		[fd00:ec2::254] [fd20:ce::254] 100.100.100.200 168.63.129.16 192.0.0.192 metadata metadata.google.internal instance-data
		10.0.0.1 10.255.255.255 10.1 172.16.0.1 172.31.255.254 192.168.0.1 192.168.255.255 100.64.0.1 100.127.255.254 192.0.0.1 192.0.2.1 192.88.99.1
		198.18.0.1 198.19.255.254 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
		localhost LOCALHOST localhost. localhost.localdomain a.localhost a.localhost. ip6-localhost lvh.me localtest.me 127.0.0.1.nip.io www.rebind.example
		xn--nxasmq6b.example host.docker.internal kubernetes.default.svc vault.service.consul _gateway`)
	return append(list, "１２７.０.０.１", "127。0。0。1", "①②⑦.0.0.1", "ｌｏｃａｌｈｏｓｔ", "loc\u00adalhost")
}

func TestWebhooksReachNoForbiddenAddress(t *testing.T) {
	s := newSink(t)
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:"+s.port)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:"+s.port)
	transport, err := webhookTransport(config.Webhooks{}, names(func(string) []netip.Addr {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	}))
	if err != nil {
		t.Fatal(err)
	}
	hosts := hostile()
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			hosts = append(hosts, map[bool]string{true: p.Addr().String(), false: "[" + p.Addr().String() + "]"}[p.Addr().Is4()])
		}
	}
	if len(hosts) < 120 {
		t.Fatalf("only %d addresses", len(hosts))
	}
	c := &http.Client{Transport: transport, Timeout: 5 * time.Second}

	for _, host := range hosts {
		for _, scheme := range []string{"https", "http"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, scheme+"://"+host+":"+s.port+"/", nil)
			if err != nil {
				continue // no address at all
			}
			res, err := c.Do(r)
			if err == nil {
				_ = res.Body.Close()
				t.Errorf("%s://%s was reached", scheme, host)
			} else if literal(host) && !fault.HasCode(err, "AddressForbidden") {
				t.Errorf("%s was not refused: %v", host, err) // it only happened not to answer
			}
		}
	}
	if n := s.count.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// literal reports whether the host is an address that net/http dials as it stands.
func literal(host string) bool {
	_, err := netip.ParseAddr(strings.ReplaceAll(strings.Trim(host, "[]"), "%25", "%"))
	return err == nil
}

// The name led to an address that is allowed when the endpoint agreed, and leads
// elsewhere when an event is sent.
func TestNameThatIsRebindedLeadsNowhere(t *testing.T) {
	s := newSink(t)
	good := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.3:0")
	if err != nil {
		t.Skipf("needs 127.0.0.3: %v", err)
	}
	good.Listener = l
	good.Start()
	defer good.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var forbidden atomic.Bool
	transport, err := webhookTransport(config.Webhooks{Allow: []string{"127.0.0.3"}}, names(func(string) []netip.Addr {
		if forbidden.Load() {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.3")}
	}))
	if err != nil {
		t.Fatal(err)
	}
	call := func(port string) error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://hooks.example:"+port+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{Transport: transport}).Do(r)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}

	if err := call(port); err != nil {
		t.Fatalf("what is allowed is not reached: %v", err)
	}
	forbidden.Store(true)
	if err := call(s.port); !fault.HasCode(err, "AddressForbidden") {
		t.Errorf("after the name changed: %v", err)
	}
	if n := s.count.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestOperatorAllowsNetworksButNeverMetadataServices(t *testing.T) {
	networks, err := config.Webhooks{Allow: []string{"10.1.0.0/16", "127.0.0.1", "::1", "fd00::/8", "0.0.0.0/0", "::/0"}}.Networks()
	if err != nil {
		t.Fatal(err)
	}
	for address, allowed := range map[string]bool{
		"10.1.2.3": true, "127.0.0.1": true, "::1": true, "fd12::1": true, "192.168.3.4": true, "1.2.3.4": true, "::ffff:10.1.2.3": true,
		"169.254.169.254": false, "::ffff:169.254.169.254": false, "64:ff9b::a9fe:a9fe": false, "2002:a9fe:a9fe::": false, "fe80::1": false, "0.0.0.0": false,
		"::": false, "fd00:ec2::254": false, "100.100.100.200": false, "168.63.129.16": false, "224.0.0.1": false, "255.255.255.255": false,
	} {
		if err := (reach{networks}).permit(netip.MustParseAddr(address), false); (err == nil) != allowed {
			t.Errorf("%s: %v, allowed must be %v", address, err, allowed)
		}
	}
	for address, allowed := range map[string]bool{
		"10.1.2.3": true, "10.2.0.1": false, "10.1.0.0": true, "127.0.0.1": false, "1.2.3.4": true, "2606:4700::1": true, "64:ff9b::1.2.3.4": true, "64:ff9b::10.1.2.3": false,
	} {
		if err := (reach{networks[:1]}).permit(netip.MustParseAddr(address), false); (err == nil) != allowed {
			t.Errorf("%s where 10.1.0.0/16 is allowed: %v, allowed must be %v", address, err, allowed)
		}
	}
	for _, wrong := range []string{"", "10.1.0.0/33", "example.com", "10.1", "10.1.0.0-10.2.0.0"} {
		if _, err := (config.Webhooks{Allow: []string{wrong}}).Networks(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", wrong)) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
