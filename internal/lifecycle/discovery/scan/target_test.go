package scan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"chatelaine.dev/internal/fault"
)

// listed lists a plan as "name-or-address:port", skipped probes with a "-" before them.
func listed(t *testing.T, o PlanOptions) []string {
	t.Helper()
	p, err := NewPlan(o)
	if err != nil {
		t.Fatalf("%v: %v", o.Targets, err)
	}
	var all []string
	for i := range p.Total() {
		x := p.At(i)
		s := fmt.Sprintf("%s:%d", x.Name, x.Port)
		if x.Name == "" {
			s = netip.AddrPortFrom(x.Addr, x.Port).String()
		}
		if x.skip {
			s = "-" + s
		}
		all = append(all, s)
	}
	return all
}

func TestPlanExpandsTargets(t *testing.T) {
	for _, c := range []struct {
		targets, ports, exclude, want string
	}{
		{"web.example", "443", "", "web.example:443"},
		{"Web.Example.", "443", "", "web.example:443"},
		{"web.example:8443", "443", "", "web.example:8443"},
		{"https://web.example:8443/x?y", "1", "", "web.example:8443"},
		{"https://web.example/", "1", "", "web.example:443"},
		{"münchen.example", "443", "", "xn--mnchen-3ya.example:443"},
		{"my_host.example", "443", "", "my_host.example:443"},
		{"web.example:443,8443,9000-9002,443", "1", "", "web.example:443 web.example:8443 web.example:9000 web.example:9001 web.example:9002"},
		{"192.0.2.1", "443", "", "192.0.2.1:443"},
		{"192.0.2.1:1", "443", "", "192.0.2.1:1"},
		{"192.0.2.7/30", "1,2", "", "192.0.2.4:1 192.0.2.5:1 192.0.2.6:1 192.0.2.7:1 192.0.2.4:2 192.0.2.5:2 192.0.2.6:2 192.0.2.7:2"},
		{"192.0.2.254-192.0.3.1:5", "443", "", "192.0.2.254:5 192.0.2.255:5 192.0.3.0:5 192.0.3.1:5"},
		{"2001:db8::1", "443", "", "[2001:db8::1]:443"},
		{"[2001:db8::1]:9", "443", "", "[2001:db8::1]:9"},
		{"[2001:db8::/127]:9", "443", "", "[2001:db8::]:9 [2001:db8::1]:9"},
		{"::ffff:192.0.2.1", "443", "", "192.0.2.1:443"},
		{"a.example b.example", "443", "", "a.example:443 b.example:443"},
		{"192.0.2.0/29", "1", "192.0.2.2-192.0.2.6", "192.0.2.0:1 192.0.2.1:1 -192.0.2.2:1 -192.0.2.3:1 -192.0.2.4:1 -192.0.2.5:1 -192.0.2.6:1 192.0.2.7:1"},
		{"a.example b.example", "1", "a.example", "-a.example:1 b.example:1"},
		{"localhost", "1", "", "localhost:1"},
		{"127.0.0.1", "1", "", "127.0.0.1:1"},
		{"126.255.255.255-127.0.0.1", "1", "", "126.255.255.255:1 -127.0.0.0:1 -127.0.0.1:1"},
		{"169.253.255.255-169.254.0.0", "1", "", "169.253.255.255:1 -169.254.0.0:1"},
		{"223.255.255.255-224.0.0.0", "1", "", "223.255.255.255:1 -224.0.0.0:1"},
	} {
		o := PlanOptions{Targets: strings.Fields(c.targets), Ports: c.ports, Exclude: strings.Fields(c.exclude)}
		if got := strings.Join(listed(t, o), " "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.targets, got, c.want)
		}
	}
}

func TestPlanRefusesWhatMakesNoSense(t *testing.T) {
	for _, target := range []string{
		"", " ", "web.example:0", "web.example:65536", "web.example:9-8", "web.example:x", "web..example", "-", "192.0.2.0/33", "192.0.2.0/x",
		"10.0.0.0/8", "2001:db8::/64", "192.0.2.9-192.0.2.1", "192.0.2.1-2001:db8::1", "10.0.0.0-10.255.255.255", "fe80::1%eth0",
		"127.1", "0x7f000001", "0x7f.0.0.1", "2130706433", "017700000001", "0177.0.0.1", "1.2.3", "1.2.3.4.5", "300.1.1.1", "host.0x1", "example.123",
		"web.example:1-60000", "ev il.example", "a\x00b", "*.example", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 200) + "example", "10.0.0.0/11:1-5",
	} {
		if _, err := NewPlan(PlanOptions{Targets: []string{target}, Ports: "443"}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", target, err)
		}
	}
	if _, err := NewPlan(PlanOptions{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("no target: %v", err)
	}
	if _, err := NewPlan(PlanOptions{Targets: make([]string, maxTargets+1)}); !fault.Is(err, fault.Invalid) {
		t.Errorf("too many targets: %v", err)
	}
}

func TestForbiddenAddressesAreRefusedInEverySpelling(t *testing.T) {
	for _, target := range []string{
		"0.0.0.0", "0.1.2.3", "::", "169.254.169.254", "169.254.0.1", "fe80::1", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192",
		"224.0.0.1", "239.255.255.255", "ff02::1", "255.255.255.255", "240.0.0.1",
		"::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "0:0:0:0:0:ffff:a9fe:a9fe", "::169.254.169.254", "64:ff9b::169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
		"64:ff9b:1::a9fe:a9fe", "64:ff9b::127.0.0.1", "2002:7f00:1::", "::127.0.0.1",
	} {
		if _, err := NewPlan(PlanOptions{Targets: []string{target}, Ports: "80"}); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestThisMachineIsScannedWhenItIsNamed(t *testing.T) {
	g := newGuard()
	for address, named := range map[string]bool{
		"127.0.0.1": true, "127.8.9.1": true, "::1": true, "::ffff:127.0.0.1": true,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "169.254.169.254": false, "0.0.0.0": false, // not even then
	} {
		a := netip.MustParseAddr(address)
		if err := g.permit(a, false); !fault.Is(err, fault.Denied) {
			t.Errorf("%s, not named: %v", address, err)
		}
		if err := g.permit(a, true); (err == nil) != named {
			t.Errorf("%s, named: %v", address, err)
		}
	}
	for _, address := range []string{"10.0.0.1", "192.168.1.1", "172.16.0.1", "fd12:3456::1", "2001:db8::1", "8.8.8.8", "64:ff9b::808:808"} {
		if err := g.permit(netip.MustParseAddr(address), false); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestPrefixesCoverARangeExactly(t *testing.T) {
	for _, c := range []struct {
		first string
		count int
	}{{"10.0.0.0", 1}, {"10.0.0.1", 7}, {"10.0.0.0", 256}, {"10.0.0.255", 258}, {"2001:db8::3", 1000}, {"255.255.255.250", 6}} {
		first := netip.MustParseAddr(c.first)
		var covered []netip.Addr
		for _, n := range prefixes(first, c.count) {
			for a := n.Addr(); n.Contains(a); a = a.Next() {
				covered = append(covered, a)
			}
		}
		var want []netip.Addr
		for i := range c.count {
			want = append(want, add(first, i))
		}
		if !slices.Equal(covered, want) {
			t.Errorf("%s+%d: %d addresses covered", c.first, c.count, len(covered))
		}
	}
}

func FuzzPlan(f *testing.F) {
	for _, s := range []string{"web.example:443", "10.0.0.0/24", "[2001:db8::/120]:9-10", "1.1.1.1-1.1.1.3", "https://x:1/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := NewPlan(PlanOptions{Targets: []string{s}, Ports: "443"})
		if err != nil {
			if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Denied) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		for _, i := range []int{0, p.Total() / 2, p.Total() - 1} {
			if x := p.At(i); x.Port == 0 || x.Name == "" && !x.Addr.IsValid() {
				t.Errorf("%q: probe %d is %+v", s, i, x)
			}
		}
	})
}
