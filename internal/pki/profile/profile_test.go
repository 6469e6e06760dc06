package profile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chatelaine.dev/internal/fault"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 987654321, time.UTC)

func builtin(t testing.TB, name string) Profile {
	t.Helper()
	s, err := BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ecKey(t testing.TB, c elliptic.Curve) crypto.PublicKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &k.PublicKey
}

func TestServerPlanHoldsWhatTheProfileSays(t *testing.T) {
	key := ecKey(t, elliptic.P256())

	plan, err := builtin(t, "tls-server").Plan(Ask{PublicKey: key, Names: Names{
		DNS: []string{"WWW.Example.com", "*.example.com", "www.example.com", "localhost"}, IP: []string{"::ffff:192.0.2.1", "2001:DB8:0::1"},
	}, Now: noon}, noon.AddDate(5, 0, 0))
	if err != nil {
		t.Fatal(err)
	}

	from := time.Date(2026, 9, 1, 11, 55, 0, 0, time.UTC)
	want := Plan{
		CommonName: "www.example.com",
		Names:      Names{DNS: []string{"www.example.com", "*.example.com", "localhost"}, IP: []string{"192.0.2.1", "2001:db8::1"}},
		NotBefore:  from, NotAfter: from.AddDate(0, 0, 90).Add(-time.Second),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtendedKeyUsage: []string{"1.3.6.1.5.5.7.3.1"},
	}
	if d := cmp.Diff(want, plan); d != "" {
		t.Error(d)
	}
}

func TestKeyEnciphermentIsForRSAServersOnly(t *testing.T) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]x509.KeyUsage{
		"tls-server": x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		"tls-client": x509.KeyUsageDigitalSignature,
	} {
		plan, err := builtin(t, name).Plan(Ask{PublicKey: &k.PublicKey, Names: Names{DNS: []string{"a.example"}}, Now: noon}, noon.AddDate(5, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if plan.KeyUsage != want {
			t.Errorf("%s: key usage %b, want %b", name, plan.KeyUsage, want)
		}
	}
}

func TestBadNamesAreRefused(t *testing.T) {
	long := strings.Repeat("a", 64)
	server, client := builtin(t, "tls-server"), builtin(t, "tls-client")
	for _, c := range []struct {
		p    Profile
		n    Names
		code string
	}{
		{server, Names{DNS: []string{""}}, "BadName"},
		{server, Names{DNS: []string{"a..b"}}, "BadName"},
		{server, Names{DNS: []string{".example.com"}}, "BadName"},
		{server, Names{DNS: []string{"example.com."}}, "BadName"},
		{server, Names{DNS: []string{"a_b.example.com"}}, "BadName"},
		{server, Names{DNS: []string{"_acme.example.com"}}, "BadName"},
		{server, Names{DNS: []string{"-a.example.com"}}, "BadName"},
		{server, Names{DNS: []string{"a-.example.com"}}, "BadName"},
		{server, Names{DNS: []string{"ab--c.example.com"}}, "BadName"},
		{server, Names{DNS: []string{long + ".example.com"}}, "BadName"},
		{server, Names{DNS: []string{strings.Repeat("a.", 127) + "a"}}, "BadName"},
		{server, Names{DNS: []string{"exa mple.com"}}, "BadName"},
		{server, Names{DNS: []string{"example.com\x00.evil.example"}}, "BadName"},
		{server, Names{DNS: []string{"bücher.example"}}, "BadName"},
		{server, Names{DNS: []string{"bon\u212aey.example"}}, "BadName"}, // the Kelvin sign
		{server, Names{DNS: []string{"192.0.2.1"}}, "BadName"},
		{server, Names{DNS: []string{"*"}}, "BadName"},
		{server, Names{DNS: []string{"*.com"}}, "BadName"},
		{server, Names{DNS: []string{"a.*.example.com"}}, "BadName"},
		{server, Names{DNS: []string{"*a.example.com"}}, "BadName"},
		{server, Names{DNS: []string{"*.*.example.com"}}, "BadName"},
		{server, Names{IP: []string{"fe80::1%eth0"}}, "BadName"},
		{server, Names{IP: []string{"0.0.0.0"}}, "BadName"},
		{server, Names{IP: []string{"ff02::1"}}, "BadName"},
		{server, Names{IP: []string{"010.0.0.1"}}, "BadName"},
		{server, Names{IP: []string{"10.0.0.0/8"}}, "BadName"},
		{server, Names{Email: []string{"a@example.com"}}, "NameNotAllowed"},
		{server, Names{URI: []string{"spiffe://example.com/a"}}, "NameNotAllowed"},
		{server, Names{}, "TooFewNames"},
		{server, Names{DNS: make([]string, 101)}, "TooManyNames"},
		{client, Names{}, "TooFewNames"},
		{client, Names{DNS: []string{"*.example.com"}}, "BadName"},
		{client, Names{IP: []string{"192.0.2.1"}}, "NameNotAllowed"},
		{client, Names{Email: []string{"a@b@example.com"}}, "BadName"},
		{client, Names{Email: []string{"Someone <a@example.com>"}}, "BadName"},
		{client, Names{Email: []string{`"a b"@example.com`}}, "BadName"},
		{client, Names{Email: []string{"a@localhost"}}, "BadName"},
		{client, Names{URI: []string{"/relative"}}, "BadName"},
		{client, Names{URI: []string{"spiffe:opaque"}}, "BadName"},
		{client, Names{URI: []string{"spiffe://user@example.com/a"}}, "BadName"},
		{client, Names{URI: []string{"spiffe://example.com/a?b"}}, "BadName"},
		{client, Names{URI: []string{"spiffe://EXAMPLE.com/a"}}, "BadName"},
		{client, Names{URI: []string{"spiffe://example.com:80/a"}}, "BadName"},
	} {
		_, err := c.p.Plan(Ask{PublicKey: ecKey(t, elliptic.P256()), Names: c.n, Now: noon}, noon.AddDate(5, 0, 0))
		if !fault.Is(err, fault.Invalid) || !fault.HasCode(err, c.code) {
			t.Errorf("%s %+v: %v, want %s", c.p.Name, c.n, err, c.code)
		}
	}
}

func TestCommonNameFollowsTheRule(t *testing.T) {
	long := strings.Repeat("a", 60) + ".example.com"
	server, client := builtin(t, "tls-server"), builtin(t, "tls-client")
	none := server
	none.Names.CommonName = CommonNameNone
	for _, c := range []struct {
		p    Profile
		asks string
		dns  []string
		want string
		code string
	}{
		{server, "", []string{"a.example", "b.example"}, "a.example", ""},
		{server, "B.example", []string{"a.example", "b.example"}, "b.example", ""},
		{server, "c.example", []string{"a.example"}, "", "BadName"},
		{server, "", []string{long, "a.example"}, "a.example", ""},
		{server, "", []string{long}, "", ""},
		{server, long, []string{long}, "", "BadName"},
		{none, "", []string{"a.example"}, "", ""},
		{none, "a.example", []string{"a.example"}, "", "NameNotAllowed"},
		{client, "Zoë Ångström", nil, "Zoë Ångström", ""},
		{client, " padded", nil, "", "BadName"},
		{client, "tab\tbed", nil, "", "BadName"},
		{client, "evil\u202emoc", nil, "", "BadName"},
		{client, "bad\xff", nil, "", "BadName"},
		{client, strings.Repeat("é", 65), nil, "", "BadName"},
	} {
		plan, err := c.p.Plan(Ask{PublicKey: ecKey(t, elliptic.P256()), CommonName: c.asks, Names: Names{DNS: c.dns}, Now: noon}, noon.AddDate(5, 0, 0))
		if c.code != "" && !fault.HasCode(err, c.code) || c.code == "" && err != nil {
			t.Errorf("%s %q %q: %v, want %q", c.p.Name, c.asks, c.dns, err, c.code)
		}
		if plan.CommonName != c.want && err == nil {
			t.Errorf("%s %q %q: common name %q, want %q", c.p.Name, c.asks, c.dns, plan.CommonName, c.want)
		}
	}
}

func TestKeysOutsideTheProfileAreRefused(t *testing.T) {
	p := builtin(t, "tls-server")
	p.Keys = []string{"P-256", "RSA 2048"}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	// A modulus of the right size with the factor 751: 751·n where n is odd.
	n := new(big.Int).Lsh(big.NewInt(1), 2047)
	n.Add(n, big.NewInt(1))
	n.Sub(n, new(big.Int).Mod(n, big.NewInt(751)))
	n.Add(n, big.NewInt(751))
	if n.Bit(0) == 0 {
		n.Add(n, big.NewInt(751))
	}
	for _, c := range []struct {
		why  string
		key  crypto.PublicKey
		code string
	}{
		{"curve", ecKey(t, elliptic.P384()), "KeyNotAllowed"},
		{"old curve", ecKey(t, elliptic.P224()), "KeyNotAllowed"},
		{"type", ed, "KeyNotAllowed"},
		{"nothing", nil, "KeyNotAllowed"},
		{"size", &rsa.PublicKey{N: new(big.Int).Rsh(good.N, 1024), E: 65537}, "KeyNotAllowed"},
		{"odd size", &rsa.PublicKey{N: new(big.Int).Rsh(good.N, 1), E: 65537}, "KeyNotAllowed"},
		{"exponent", &rsa.PublicKey{N: good.N, E: 3}, "WeakKey"},
		{"even exponent", &rsa.PublicKey{N: good.N, E: 65538}, "WeakKey"},
		{"factor", &rsa.PublicKey{N: n, E: 65537}, "WeakKey"},
	} {
		_, err := p.Plan(Ask{PublicKey: c.key, Names: Names{DNS: []string{"a.example"}}, Now: noon}, noon.AddDate(5, 0, 0))
		if !fault.HasCode(err, c.code) {
			t.Errorf("%s: %v, want %s", c.why, err, c.code)
		}
	}
	if _, err := p.Plan(Ask{PublicKey: &good.PublicKey, Names: Names{DNS: []string{"a.example"}}, Now: noon}, noon.AddDate(5, 0, 0)); err != nil {
		t.Errorf("an honest key: %v", err)
	}
}

func TestValidityCountsBothEndsAndStaysWithinTheAuthority(t *testing.T) {
	p, key := builtin(t, "tls-server"), ecKey(t, elliptic.P256())
	ask := func(v time.Duration, limit time.Time) (Plan, error) {
		return p.Plan(Ask{PublicKey: key, Names: Names{DNS: []string{"a.example"}}, Validity: v, Now: noon}, limit)
	}

	plan, err := ask(398*day, noon.AddDate(5, 0, 0))
	if err != nil || plan.NotAfter.Sub(plan.NotBefore)+time.Second != 398*day {
		t.Errorf("398 days: %v to %v, %v", plan.NotBefore, plan.NotAfter, err)
	}
	soon := noon.AddDate(0, 0, 30).Truncate(time.Second)
	if plan, err = ask(0, soon); err != nil || !plan.NotAfter.Equal(soon) {
		t.Errorf("the default beyond the authority: until %v, %v; want %v", plan.NotAfter, err, soon)
	}
	for _, c := range []struct {
		v     time.Duration
		limit time.Time
	}{{398*day + time.Second, noon.AddDate(5, 0, 0)}, {time.Minute, noon.AddDate(5, 0, 0)}, {-day, noon.AddDate(5, 0, 0)}, {90 * day, soon}, {0, noon.Add(time.Minute)}, {0, noon.Add(-day)}} {
		if _, err := ask(c.v, c.limit); !fault.HasCode(err, "ValidityNotAllowed") {
			t.Errorf("%v until %v: %v, want ValidityNotAllowed", c.v, c.limit, err)
		}
	}
}

// A profile that would issue more than it says is refused when it is read.
func TestDangerousProfilesAreRefused(t *testing.T) {
	good := `[{"name":"a","authorities":["issuing"],"keys":["P-256"],"keyUsage":["digitalSignature"],"extendedKeyUsage":["serverAuth"],` +
		`"names":{"commonName":"first","min":1,"max":10,"dns":true},"validity":{"default":"90d","min":"1h","max":"100d","backdate":"5m"}}]`
	if _, err := Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{`"name":"a"`, `"name":"A/../b"`},
		{`["issuing"]`, `[]`},
		{`["issuing"]`, `["../root"]`},
		{`["P-256"]`, `[]`},
		{`["P-256"]`, `["P-224"]`},
		{`["P-256"]`, `["RSA 1024"]`},
		{`["digitalSignature"]`, `[]`},
		{`["digitalSignature"]`, `["keyCertSign"]`},
		{`["digitalSignature"]`, `["cRLSign"]`},
		{`["serverAuth"]`, `[]`},
		{`["serverAuth"]`, `["any"]`},
		{`["serverAuth"]`, `["certificateRequestAgent"]`},
		{`"min":1`, `"min":0`},
		{`"min":1`, `"min":11`},
		{`"max":10`, `"max":100000`},
		{`"first"`, `"anything"`},
		{`"max":"100d"`, `"max":"89d"`},
		{`"min":"1h"`, `"min":"1m"`},
		{`"max":"100d"`, `"max":"forever"`},
		{`"max":"100d"`, `"max":"-1d"`},
		{`"dns":true`, `"dns":true,"wildcards":false`},
		{`}]`, `}] []`},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if bad == good {
			t.Fatalf("%q is not in the profile", c[0])
		}
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", c[1])
		}
	}
	if _, err := Parse([]byte("[" + good[1:len(good)-1] + "," + good[1:])); err == nil {
		t.Error("the same name twice was accepted")
	}
}

// Whatever is asked, a plan never leaves the bounds of its profile, and planning its own
// result again changes nothing.
func TestPlansStayWithinTheirProfile(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	profiles := []Profile{builtin(t, "tls-server"), builtin(t, "tls-client")}
	text := rapid.OneOf(rapid.StringMatching(`(\*\.)?[a-zA-Z0-9-]{0,5}(\.[a-zA-Z0-9_-]{0,5}){0,3}`), rapid.String(), rapid.SampledFrom([]string{"192.0.2.7", "::1", "a@b.example", "spiffe://a.example/x"}))
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(profiles).Draw(t, "profile")
		list := rapid.SliceOfN(text, 0, 3)
		a := Ask{PublicKey: key, Now: noon, Names: Names{DNS: list.Draw(t, "dns"), IP: list.Draw(t, "ip"), Email: list.Draw(t, "email"), URI: list.Draw(t, "uri")},
			CommonName: rapid.OneOf(rapid.Just(""), text).Draw(t, "cn"), Validity: time.Duration(rapid.Int64Range(0, int64(500*day)).Draw(t, "validity"))}
		limit := noon.Add(time.Duration(rapid.Int64Range(0, int64(500*day)).Draw(t, "limit")))

		plan, err := p.Plan(a, limit)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("kind of %v", err)
			}
			return
		}

		life := plan.NotAfter.Sub(plan.NotBefore) + time.Second
		if life > time.Duration(p.Validity.Max) || plan.NotAfter.After(limit) || plan.NotAfter.Before(noon) {
			t.Fatalf("valid %v to %v", plan.NotBefore, plan.NotAfter)
		}
		for _, n := range plan.Names.DNS {
			if n != strings.ToLower(n) || strings.ContainsAny(n, "_ \x00") || !p.Names.Wildcard && strings.Contains(n, "*") {
				t.Fatalf("DNS name %q", n)
			}
		}
		for _, n := range plan.Names.IP {
			if a, err := netip.ParseAddr(n); err != nil || a.String() != n || !p.Names.IP {
				t.Fatalf("IP %q", n)
			}
		}
		if plan.Names.Count() == 0 && plan.CommonName == "" || len(plan.Names.Email) > 0 && !p.Names.Email || len(plan.Names.URI) > 0 && !p.Names.URI {
			t.Fatalf("names %+v", plan)
		}
		again, err := p.Plan(Ask{PublicKey: key, Now: noon, CommonName: plan.CommonName, Names: plan.Names, Validity: a.Validity}, limit)
		if err != nil || cmp.Diff(plan, again) != "" {
			t.Fatalf("planned again: %v %s", err, cmp.Diff(plan, again))
		}
	})
}
