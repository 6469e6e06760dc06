package profile

import (
	"crypto/elliptic"
	"crypto/x509/pkix"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/fault"
)

// changed is a built-in profile with fields of another, which must be valid.
func changed(t *testing.T, base, change string) Profile {
	t.Helper()
	p, err := shape(t, base, change)
	if err != nil {
		t.Fatalf("%s: %v", change, err)
	}
	return p
}

func TestASubjectHasWhatTheProfileSaysAndNothingElse(t *testing.T) {
	p := changed(t, "tls-server", `{"subject":{
		"O":{"fixed":["Example Ltd"]}, "C":{"required":true}, "OU":{"pattern":"[A-Z][a-z]+","max":2}, "serialNumber":{}}}`)
	key := ecKey(t, elliptic.P256())
	for _, c := range []struct {
		asked Subject
		want  Subject
		code  string
	}{
		{Subject{"C": {"DE"}}, Subject{"O": {"Example Ltd"}, "C": {"DE"}}, ""},
		{Subject{"C": {"DE"}, "O": {"Evil Corp"}, "L": {"Berlin"}}, Subject{"O": {"Example Ltd"}, "C": {"DE"}}, ""},
		{Subject{"C": {"DE"}, "OU": {"Shop", "Web"}, "serialNumber": {"7"}}, Subject{"O": {"Example Ltd"}, "C": {"DE"}, "OU": {"Shop", "Web"}, "serialNumber": {"7"}}, ""},
		{nil, nil, "BadSubject"},
		{Subject{"C": {"de"}}, nil, "BadSubject"},
		{Subject{"C": {"DE", "FR"}}, nil, "BadSubject"},
		{Subject{"C": {"DE"}, "OU": {"shop"}}, nil, "BadSubject"},
		{Subject{"C": {"DE"}, "OU": {"Shop evil"}}, nil, "BadSubject"}, // the pattern is for the whole value
		{Subject{"C": {"DE"}, "OU": {"evil\nShop"}}, nil, "BadSubject"},
		{Subject{"C": {"DE"}, "OU": {"A", "B", "C"}}, nil, "BadSubject"},
		{Subject{"C": {"DE"}, "serialNumber": {strings.Repeat("9", 65)}}, nil, "BadSubject"},
		{Subject{"C": {"DE"}, "serialNumber": {"evil\u202emoc"}}, nil, "BadSubject"},
		{Subject{"C": {"DE"}, "serialNumber": {""}}, nil, "BadSubject"},
	} {
		plan, err := p.Plan(Ask{PublicKey: key, Subject: c.asked, Names: Names{DNS: []string{"a.example"}}, Now: noon}, noon.AddDate(5, 0, 0))
		if c.code != "" && !fault.HasCode(err, c.code) || c.code == "" && err != nil {
			t.Errorf("%v: %v, want %q", c.asked, err, c.code)
			continue
		}
		if d := cmp.Diff(c.want, plan.Subject); err == nil && d != "" {
			t.Errorf("%v: %s", c.asked, d)
		}
	}
	name := Subject{"O": {"Example Ltd"}, "C": {"DE"}}.Name("a.example")
	var read pkix.Name
	rdns := name.ToRDNSequence()
	read.FillFromRDNSequence(&rdns)
	if d := cmp.Diff(Subject{"O": {"Example Ltd"}, "C": {"DE"}}, SubjectOf(read)); d != "" || read.CommonName != "a.example" {
		t.Errorf("%v %s", read, d)
	}
}

func TestNamesKeepToTheListsOfTheProfile(t *testing.T) {
	p := changed(t, "tls-mutual", `{"names":{"commonName":"free","commonNamePattern":"[a-z]+[0-9]*","min":1,"max":5,"dns":true,"ip":true,"email":true,"uri":true,
		"allowed":["*.example.com","10.0.0.0/8","mesh.example.org"],"patterns":["[a-z0-9.-]+","spiffe://.*","[^@]+@mail\\.example\\.com"],"fixed":{"dns":["shared.example.net"]}}}`)
	key := ecKey(t, elliptic.P256())
	for _, c := range []struct {
		cn   string
		n    Names
		want string // all names, or nothing when it is refused
	}{
		{"", Names{DNS: []string{"a.example.com"}}, "a.example.com shared.example.net"},
		{"host7", Names{DNS: []string{"a.example.com"}}, "a.example.com shared.example.net"},
		{"Host7", Names{DNS: []string{"a.example.com"}}, ""},
		{"host7\nevil", Names{DNS: []string{"a.example.com"}}, ""},
		{"", Names{DNS: []string{"example.com"}}, ""},
		{"", Names{DNS: []string{"a.example.com.evil.test"}}, ""},
		{"", Names{DNS: []string{"shared.example.net"}}, "shared.example.net"},
		{"", Names{IP: []string{"10.1.2.3"}}, "shared.example.net 10.1.2.3"},
		{"", Names{IP: []string{"11.1.2.3"}}, ""},
		{"", Names{URI: []string{"spiffe://mesh.example.org/a"}}, "shared.example.net spiffe://mesh.example.org/a"},
		{"", Names{URI: []string{"spiffe://other.example.org/a.example.com"}}, ""},
		{"", Names{URI: []string{"https://mesh.example.org/a"}}, ""}, // allowed, but no pattern takes it
		{"", Names{Email: []string{"me@mail.example.com"}}, "shared.example.net me@mail.example.com"},
		{"", Names{Email: []string{"me@evil.test"}}, ""},
		{"", Names{Email: []string{"me@other.example.com"}}, ""},
	} {
		plan, err := p.Plan(Ask{PublicKey: key, CommonName: c.cn, Names: c.n, Now: noon}, noon.AddDate(5, 0, 0))
		if got := strings.Join(plan.Names.All(), " "); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q %v: %q %v, want %q", c.cn, c.n, got, err, c.want)
		}
	}
}

func TestACertificateHasEveryPurposeOfTheProfileAndTheNamesThatItWants(t *testing.T) {
	p := changed(t, "tls-mutual", `{"names":{"commonName":"first","min":2,"max":3,"dns":true}}`)
	ask := Ask{PublicKey: ecKey(t, elliptic.P256()), Names: Names{DNS: []string{"a.example", "A.example"}}, Now: noon}

	if _, err := p.Plan(ask, noon.AddDate(5, 0, 0)); !fault.HasCode(err, "TooFewNames") {
		t.Errorf("one name, twice: %v", err)
	}
	ask.Names.DNS = append(ask.Names.DNS, "b.example")
	plan, err := p.Plan(ask, noon.AddDate(5, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}, plan.ExtendedKeyUsage); d != "" {
		t.Error(d)
	}
}

// A name that becomes the common name because none was asked for is held to the pattern too.
func TestACommonNameThatNobodyAskedForKeepsToThePattern(t *testing.T) {
	p := changed(t, "tls-client", `{"names":{"commonName":"free","commonNamePattern":"dev-[0-9]+","min":0,"max":5,"dns":true,"singleLabel":true}}`)
	key := ecKey(t, elliptic.P256())
	for _, c := range []struct {
		dns  []string
		want string
	}{
		{[]string{"admin.example.com"}, ""},
		{[]string{"admin.example.com", "dev-7"}, "dev-7"},
	} {
		plan, err := p.Plan(Ask{PublicKey: key, Names: Names{DNS: c.dns}, Now: noon}, noon.AddDate(5, 0, 0))
		if err != nil || plan.CommonName != c.want {
			t.Errorf("%q: common name %q, %v, want %q", c.dns, plan.CommonName, err, c.want)
		}
	}
}

func TestValidityFollowsTheDatedLimitsOfTheStandards(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	for _, c := range []struct {
		base, change, at string
		most             time.Duration
	}{
		{"tls-server-public", `{}`, "2026-03-14T23:59:59Z", 398 * day},
		{"tls-server-public", `{}`, "2026-03-15T00:00:00Z", 200 * day},
		{"tls-server-public", `{}`, "2027-03-14T23:59:59Z", 200 * day},
		{"tls-server-public", `{}`, "2027-03-15T00:00:00Z", 100 * day},
		{"tls-server-public", `{}`, "2029-03-15T00:00:00Z", 47 * day},
		{"tls-server", `{}`, "2029-03-15T00:00:00Z", 398 * day}, // a private one is not bound
		{"tls-short-lived", `{"validity":{"default":"24h","min":"10m","max":"30d","backdate":"1m"}}`, "2026-09-01T00:00:00Z", 7 * day},
		{"tls-server", `{"standards":["CABF_SMIME_BR"],"validity":{"default":"90d","min":"1h","max":"2000d","backdate":"5m"}}`, "2026-09-01T00:00:00Z", 825 * day},
		{"tls-server", `{"standards":["CABF_CS_BR"],"validity":{"default":"90d","min":"1h","max":"2000d","backdate":"5m"}}`, "2026-02-28T00:00:00Z", 1187 * day},
		{"tls-server", `{"standards":["CABF_CS_BR","CABF_BR"],"validity":{"default":"90d","min":"1h","max":"2000d","backdate":"5m"}}`, "2026-03-15T00:00:00Z", 200 * day},
	} {
		p := changed(t, c.base, c.change)
		now, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		ask := Ask{PublicKey: key, Names: Names{DNS: []string{"a.example.com"}}, Validity: c.most, Now: now}
		if plan, err := p.Plan(ask, now.AddDate(10, 0, 0)); err != nil || plan.NotAfter.Sub(plan.NotBefore)+time.Second != c.most {
			t.Errorf("%s %s at %s: %v, %v", c.base, c.change, c.at, plan.NotAfter.Sub(plan.NotBefore), err)
		}
		ask.Validity += time.Second
		if _, err := p.Plan(ask, now.AddDate(10, 0, 0)); !fault.HasCode(err, "ValidityNotAllowed") {
			t.Errorf("%s %s at %s, a second longer: %v", c.base, c.change, c.at, err)
		}
		ask.Validity = 0
		if plan, err := p.Plan(ask, now.AddDate(10, 0, 0)); err != nil || plan.NotAfter.Sub(plan.NotBefore)+time.Second > c.most {
			t.Errorf("%s at %s, by default: %v %v", c.base, c.at, plan, err)
		}
	}
	var list []Limit
	if err := json.Unmarshal(limitsText, &list); err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		if _, err := time.Parse(time.DateOnly, l.From); err != nil || l.Max <= 0 || l.Source == "" || l.Standard == "" {
			t.Errorf("%+v", l)
		}
	}
}
