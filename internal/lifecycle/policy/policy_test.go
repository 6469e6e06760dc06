package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/lifecycle/inventory"
)

func date(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

var now = date("2026-11-23")

const oneDay = 24 * time.Hour

func rules(t testing.TB) *Rules {
	t.Helper()
	l, err := DefaultLimits()
	if err != nil {
		t.Fatal(err)
	}
	return New(l, func() *Anchors { return NewAnchors(nil, nil) })
}

// good is a certificate without any finding, in one place.
func good() *subject {
	c := &inventory.Certificate{
		Parser: inventory.Standard, Names: []inventory.Name{{Kind: inventory.DNS, Value: "web.example"}},
		Key: inventory.Key{Algorithm: "EC", Parameters: "P-256", Size: 256}, Signature: inventory.Signature{Algorithm: "ECDSA-SHA256", Hash: "SHA-256"},
		NotBefore: now.Add(-10 * oneDay), NotAfter: now.Add(80 * oneDay), ExtKeyUsage: []string{"serverAuth"}, Issuer: "CN=CA",
	}
	s := &subject{trust: inventory.Private}
	s.Case = inventory.Case{Certificate: c, Now: now, Installations: []inventory.Installation{{
		ID: "p1", Place: inventory.Place{Source: inventory.Network, Host: "web.example", SNI: "web.example", IP: "192.0.2.1", Port: 443},
		Current: true, State: inventory.Present, FirstSeen: now.Add(-5 * oneDay), TLS: &inventory.TLS{Versions: []string{"TLS 1.2", "TLS 1.3"}},
	}}}
	return s
}

// summary is what the tables compare: "rule severity since".
func summary(fs []Finding) string {
	var out []string
	for _, f := range fs {
		since := "-"
		if !f.Since.IsZero() {
			since = f.Since.Format(time.DateOnly)
		}
		out = append(out, fmt.Sprintf("%s %s %s", f.Rule, f.Severity, since))
	}
	return strings.Join(out, ", ")
}

// ruleCase is a change to a good certificate and what the rules then say.
type ruleCase struct {
	name   string
	change func(s *subject)
	want   string // see summary
}

func checkRules(t *testing.T, cases []ruleCase) {
	t.Helper()
	r := rules(t)
	for _, c := range cases {
		s := good()
		s.limits = r.limits
		c.change(s)

		got := r.judge(s)

		if diff := cmp.Diff(c.want, summary(got.Findings)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		for _, f := range got.Findings {
			if f.Message == "" || f.WhatToDo == "" {
				t.Errorf("%s: %s does not say what is wrong and what to do", c.name, f.Rule)
			}
		}
	}
}

func TestRulesOfTimeAndCryptography(t *testing.T) {
	checkRules(t, []ruleCase{
		{"nothing wrong", func(s *subject) {}, ""},

		{"expired yesterday", func(s *subject) { s.Certificate.NotAfter = now.Add(-oneDay) }, "expired critical 2026-11-22"},
		{"expires this second", func(s *subject) { s.Certificate.NotAfter = now }, "expiring high 2026-11-19"},
		{"expired a second ago", func(s *subject) { s.Certificate.NotAfter = now.Add(-time.Second) }, "expired critical 2026-11-22"},
		{"expired but replaced everywhere", func(s *subject) {
			s.Certificate.NotAfter = now.Add(-oneDay)
			s.Installations[0].Current, s.Installations[0].State = false, inventory.Changed
		}, "expired info 2026-11-22"},
		{"expired and missing", func(s *subject) {
			s.Certificate.NotAfter = now.Add(-oneDay)
			s.Installations[0].State = inventory.Missing
		}, "expired info 2026-11-22"},
		{"expired where nobody answers", func(s *subject) {
			s.Certificate.NotAfter = now.Add(-oneDay)
			s.Installations[0].State = inventory.Unreachable
		}, "expired critical 2026-11-22"},
		{"not yet valid", func(s *subject) { s.Certificate.NotBefore = now.Add(oneDay) }, "not-yet-valid medium 2026-11-18"},
		{"thirty days left of ninety", func(s *subject) {
			s.Certificate.NotBefore, s.Certificate.NotAfter = now.Add(-60*oneDay), now.Add(30*oneDay)
		}, "expiring medium 2026-11-23"},
		{"thirty-one days left of ninety", func(s *subject) {
			s.Certificate.NotBefore, s.Certificate.NotAfter = now.Add(-59*oneDay), now.Add(31*oneDay)
		}, ""},
		{"a week left", func(s *subject) {
			s.Certificate.NotBefore, s.Certificate.NotAfter = now.Add(-83*oneDay), now.Add(7*oneDay)
		}, "expiring high 2026-10-31"},
		{"three of six days left", func(s *subject) {
			s.Certificate.NotBefore, s.Certificate.NotAfter = now.Add(-3*oneDay), now.Add(3*oneDay)
		}, ""},
		{"two of six days left", func(s *subject) {
			s.Certificate.NotBefore, s.Certificate.NotAfter = now.Add(-4*oneDay), now.Add(2*oneDay)
		}, "expiring medium 2026-11-23"},
		{"twelve hours of six days left", func(s *subject) {
			s.Certificate.NotBefore, s.Certificate.NotAfter = now.Add(-132*time.Hour), now.Add(12*time.Hour)
		}, "expiring high 2026-11-21"},
		{"dates unreadable", func(s *subject) { s.Certificate.NotBefore, s.Certificate.NotAfter = time.Time{}, time.Time{} }, ""},

		{"RSA 2048", func(s *subject) { s.Certificate.Key = inventory.Key{Algorithm: "RSA", Size: 2048, Exponent: "65537"} }, ""},
		{"RSA 2047", func(s *subject) { s.Certificate.Key = inventory.Key{Algorithm: "RSA", Size: 2047, Exponent: "65537"} }, "weak-key high 2026-11-13"},
		{"RSA 1024", func(s *subject) { s.Certificate.Key = inventory.Key{Algorithm: "RSA", Size: 1024, Exponent: "65537"} }, "weak-key critical 2026-11-13"},
		{"RSA 1024 of 1999", func(s *subject) {
			s.Certificate.Key = inventory.Key{Algorithm: "RSA", Size: 1024, Exponent: "65537"}
			s.Certificate.NotBefore, s.Certificate.CA, s.Certificate.ExtKeyUsage = date("1999-01-01"), true, nil
		}, "weak-key critical 2014-01-01"},
		{"exponent 3", func(s *subject) { s.Certificate.Key = inventory.Key{Algorithm: "RSA", Size: 2048, Exponent: "3"} }, "weak-key low 2026-11-13"},
		{"exponent 1", func(s *subject) { s.Certificate.Key = inventory.Key{Algorithm: "RSA", Size: 2048, Exponent: "1"} }, "weak-key critical 2026-11-13"},
		{"even exponent", func(s *subject) { s.Certificate.Key = inventory.Key{Algorithm: "RSA", Size: 2048, Exponent: "65538"} }, "weak-key critical 2026-11-13"},
		{"unknown size", func(s *subject) { s.Certificate.Key = inventory.Key{Algorithm: "RSA"} }, ""},
		{"P-224", func(s *subject) { s.Certificate.Key.Size = 224 }, "weak-key medium 2026-11-13"},
		{"P-192", func(s *subject) { s.Certificate.Key.Size = 192 }, "weak-key critical 2026-11-13"},
		{"DSA 2048", func(s *subject) { s.Certificate.Key = inventory.Key{Algorithm: "DSA", Size: 2048} }, "weak-key high 2026-11-13"},
		{"ML-DSA-44", func(s *subject) {
			s.Certificate.Key = inventory.Key{Algorithm: "ML-DSA-44", Size: 10496, PostQuantum: true}
		}, ""},

		{"SHA-1", func(s *subject) { s.Certificate.Signature = inventory.Signature{Algorithm: "SHA1-RSA", Hash: "SHA-1"} }, "weak-signature high 2026-11-13"},
		{"SHA-1 before anybody minded", func(s *subject) {
			s.Now = date("2010-06-01")
			s.Certificate.NotBefore, s.Certificate.NotAfter = date("2010-01-01"), date("2011-01-01")
			s.Certificate.Signature = inventory.Signature{Algorithm: "SHA1-RSA", Hash: "SHA-1"}
			s.Installations = nil
		}, ""},
		{"MD5", func(s *subject) { s.Certificate.Signature = inventory.Signature{Algorithm: "MD5-RSA", Hash: "MD5"} }, "weak-signature critical 2026-11-13"},
		{"a root signed with SHA-1", func(s *subject) {
			s.Certificate.Signature = inventory.Signature{Algorithm: "SHA1-RSA", Hash: "SHA-1"}
			s.Certificate.SelfSigned, s.Certificate.CA, s.trust = true, true, inventory.SelfSigned
			s.Installations = nil
		}, ""},
	})
}

func TestRulesOfTrustNamesAndPlaces(t *testing.T) {
	checkRules(t, []ruleCase{
		{"self-signed", func(s *subject) { s.trust, s.Certificate.SelfSigned = inventory.SelfSigned, true }, "self-signed high 2026-11-13"},
		{"a root that is served as itself", func(s *subject) {
			s.trust, s.Certificate.SelfSigned, s.Certificate.CA = inventory.SelfSigned, true, true
		}, "self-signed high 2026-11-13"},
		{"self-signed, but known", func(s *subject) { s.Certificate.SelfSigned = true }, ""},
		{"unknown issuer", func(s *subject) { s.trust = inventory.Unknown }, "unknown-issuer high 2026-11-13"},

		{"no alternative name", func(s *subject) { s.Certificate.Names = nil }, "missing-san high 2026-11-13"},
		{"only an e-mail name", func(s *subject) { s.Certificate.Names[0].Kind = inventory.Email }, "missing-san high 2026-11-13"},
		{"only an address", func(s *subject) { s.Certificate.Names = []inventory.Name{{Kind: inventory.IP, Value: "192.0.2.1"}} }, ""},
		{"a client needs no host name", func(s *subject) { s.Certificate.Names, s.Certificate.ExtKeyUsage = nil, []string{"clientAuth"} }, ""},
		{"a CA needs no host name", func(s *subject) { s.Certificate.Names, s.Certificate.ExtKeyUsage, s.Certificate.CA = nil, nil, true }, ""},
		{"no usage at all is a server too", func(s *subject) { s.Certificate.Names, s.Certificate.ExtKeyUsage = nil, nil }, "missing-san high 2026-11-13"},

		{"other host", func(s *subject) { s.Installations[0].SNI = "other.example" }, "hostname-mismatch high 2026-11-18"},
		{"found by address", func(s *subject) { s.Installations[0].SNI = "" }, ""},
		{"other host in the past", func(s *subject) {
			old := s.Installations[0]
			old.SNI, old.Current, old.State = "other.example", false, inventory.Changed
			s.Installations = append(s.Installations, old)
		}, ""},
		{"two wrong places", func(s *subject) {
			s.Installations[0].SNI = "a.other.example"
			second := s.Installations[0]
			second.ID, second.SNI = "p2", "b.other.example"
			s.Installations = append(s.Installations, second)
		}, "hostname-mismatch high 2026-11-18, hostname-mismatch high 2026-11-18"},

		{"ten years, private", func(s *subject) { s.Certificate.NotAfter = s.Certificate.NotBefore.AddDate(10, 0, 0) }, "long-validity medium 2026-11-13"},
		{"825 days, private", func(s *subject) { s.Certificate.NotAfter = s.Certificate.NotBefore.Add(825 * oneDay) }, ""},
		{"826 days, private", func(s *subject) { s.Certificate.NotAfter = s.Certificate.NotBefore.Add(826 * oneDay) }, "long-validity medium 2026-11-13"},
		{"ten years, private, client", func(s *subject) {
			s.Certificate.NotAfter, s.Certificate.ExtKeyUsage = s.Certificate.NotBefore.AddDate(10, 0, 0), []string{"clientAuth"}
		}, ""},
		{"twenty years, CA", func(s *subject) {
			s.Certificate.NotAfter, s.Certificate.CA, s.Certificate.ExtKeyUsage = s.Certificate.NotBefore.AddDate(20, 0, 0), true, nil
		}, ""},
		{"ten years, private, issued in 2018", func(s *subject) {
			s.Certificate.NotBefore, s.Certificate.NotAfter = date("2018-01-01"), date("2028-01-01")
		}, ""},

		{"public with clientAuth", func(s *subject) {
			s.trust, s.Certificate.ExtKeyUsage = inventory.Public, []string{"serverAuth", "clientAuth"}
		}, "forbidden-usage low 2026-11-13"},
		{"private with clientAuth", func(s *subject) { s.Certificate.ExtKeyUsage = []string{"serverAuth", "clientAuth"} }, ""},
		{"public with clientAuth, too late", func(s *subject) {
			s.trust, s.Certificate.ExtKeyUsage, s.Now = inventory.Public, []string{"serverAuth", "clientAuth"}, date("2027-04-01")
			s.Certificate.NotBefore, s.Certificate.NotAfter = date("2027-03-15"), date("2027-06-15")
		}, "forbidden-usage high 2027-03-15"},

		{"accepts TLS 1.0", func(s *subject) { s.Installations[0].TLS.Versions = []string{"TLS 1.0", "TLS 1.2"} }, "legacy-protocol medium 2026-11-18"},
		{"accepts TLS 1.0 and 1.1", func(s *subject) { s.Installations[0].TLS.Versions = []string{"TLS 1.0", "TLS 1.1"} }, "legacy-protocol medium 2026-11-18, legacy-protocol medium 2026-11-18"},

		{"revoked", func(s *subject) { s.RevokedAt = now.Add(-oneDay) }, "revoked critical 2026-11-22"},
		{"revoked and replaced", func(s *subject) {
			s.RevokedAt, s.Installations[0].Current, s.Installations[0].State = now.Add(-oneDay), false, inventory.Changed
		}, "revoked info 2026-11-22"},

		{"strict parsers refuse it", func(s *subject) { s.Certificate.Parser = inventory.Lenient }, "malformed low 2026-11-13"},
		{"nobody reads it", func(s *subject) {
			s.Certificate, s.trust = &inventory.Certificate{Parser: inventory.Raw}, inventory.Unknown
		}, "malformed high -"},
	})
}

// The limit is that of the day of issuance, to the second.
func TestPublicValidityFollowsTheDayOfIssuance(t *testing.T) {
	r := rules(t)
	for issued, days := range map[string]int{
		"2012-06-30": 0, "2012-07-01": 1827, "2015-04-01": 1188, "2018-02-28": 1188, "2018-03-01": 825, "2020-08-31": 825,
		"2020-09-01": 398, "2026-03-14": 398, "2026-03-15": 200, "2027-03-14": 200, "2027-03-15": 100, "2029-03-14": 100, "2029-03-15": 47, "2040-01-01": 47,
	} {
		unbound := days == 0
		if unbound {
			days = 5000
		}
		for _, c := range []struct {
			extra time.Duration
			bad   bool
		}{{-time.Second, false}, {0, !unbound}} {
			s := good()
			s.limits, s.trust, s.Installations = r.limits, inventory.Public, nil
			s.Certificate.NotBefore = date(issued)
			s.Certificate.NotAfter = date(issued).Add(time.Duration(days)*oneDay + c.extra) // both ends count
			s.Now = date(issued)

			bad := strings.Contains(summary(r.judge(s).Findings), "long-validity high "+issued)

			if bad != c.bad {
				t.Errorf("issued %s for %d days %+ds: finding %t, want %t", issued, days, int(c.extra.Seconds()), bad, c.bad)
			}
		}
	}
}

func TestScoreIsWhatTheRulesCost(t *testing.T) {
	r := rules(t)
	for _, c := range []struct {
		severities []inventory.Severity
		rule       func(i int) string
		want       int
		letter     string
	}{
		{nil, nil, 100, "A"},
		{[]inventory.Severity{"low", "low"}, func(i int) string { return fmt.Sprint(i) }, 90, "A"},
		{[]inventory.Severity{"medium"}, func(i int) string { return fmt.Sprint(i) }, 85, "B"},
		{[]inventory.Severity{"high"}, func(i int) string { return fmt.Sprint(i) }, 70, "C"},
		{[]inventory.Severity{"high", "medium"}, func(i int) string { return fmt.Sprint(i) }, 55, "D"},
		{[]inventory.Severity{"critical"}, func(i int) string { return fmt.Sprint(i) }, 40, "F"},
		{[]inventory.Severity{"critical", "critical", "critical"}, func(i int) string { return fmt.Sprint(i) }, 0, "F"},
		{[]inventory.Severity{"high", "high", "high"}, func(int) string { return "same" }, 70, "C"},
		{[]inventory.Severity{"info"}, func(int) string { return "x" }, 100, "A"},
	} {
		var fs []Finding
		for i, s := range c.severities {
			fs = append(fs, Finding{Rule: c.rule(i), Severity: s})
		}

		got := r.score(fs)

		if got != c.want || inventory.Letter(got) != c.letter {
			t.Errorf("%v: %d %s, want %d %s", c.severities, got, inventory.Letter(got), c.want, c.letter)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		name, host string
		want       bool
	}{
		{"web.example", "web.example", true},
		{"WEB.example.", "web.Example", true},
		{"*.example", "web.example", true},
		{"*.example", "a.web.example", false},
		{"*.example", "example", false},
		{"*", "localhost", false},
		{"*.", "x.", false},
		{"w*.example", "web.example", false},
		{"web.example", "web.example.evil", false},
		{"", "", true},
		{"xn--mnchen-3ya.example", "xn--mnchen-3ya.example", true},
	} {
		if got := Matches([]string{c.name}, c.host); got != c.want {
			t.Errorf("%q for %q: %t", c.name, c.host, got)
		}
	}
}

func TestCheckRequest(t *testing.T) {
	r := rules(t)
	fine := func() Request {
		return Request{
			Names: []inventory.Name{{Kind: inventory.DNS, Value: "web.example"}}, Key: inventory.Key{Algorithm: "EC", Size: 256}, Hash: "SHA-256",
			NotBefore: now, NotAfter: now.Add(90 * oneDay), Usages: []string{"serverAuth"},
		}
	}
	for _, c := range []struct {
		name   string
		change func(q *Request)
		want   string
	}{
		{"fine", func(q *Request) {}, ""},
		{"short key", func(q *Request) { q.Key = inventory.Key{Algorithm: "RSA", Size: 1024, Exponent: "65537"} }, "weak-key critical 2026-11-23"},
		{"SHA-1", func(q *Request) { q.Hash = "SHA-1" }, "weak-signature high 2026-11-23"},
		{"no names", func(q *Request) { q.Names = nil }, "missing-san high 2026-11-23"},
		{"two hundred and one days, public", func(q *Request) { q.Public, q.NotAfter = true, now.Add(201*oneDay) }, "long-validity high 2026-11-23"},
		{"a year, private", func(q *Request) { q.NotAfter = now.Add(365 * oneDay) }, ""},
		{"five years, private", func(q *Request) { q.NotAfter = now.Add(5 * 365 * oneDay) }, "long-validity medium 2026-11-23"},
		{"public client", func(q *Request) { q.Public, q.Usages = true, []string{"serverAuth", "clientAuth"} }, "forbidden-usage low 2026-11-23"},
	} {
		q := fine()
		c.change(&q)

		got := r.CheckRequest(q, now)

		if summary(got) != c.want {
			t.Errorf("%s: %s, want %s", c.name, summary(got), c.want)
		}
		blocking := r.Blocking(got, inventory.High)
		if want := strings.Contains(c.want, "high") || strings.Contains(c.want, "critical"); (len(blocking) > 0) != want {
			t.Errorf("%s: blocking %s", c.name, summary(blocking))
		}
	}
}

func TestLimitsAreDatedAndSourced(t *testing.T) {
	l, err := DefaultLimits()
	if err != nil {
		t.Fatal(err)
	}
	all := []Limit{l.Names}
	for _, v := range l.Validity {
		all = append(all, v.Limit)
		if v.Days <= 0 || v.Usage == "" || v.Audience != PublicWeb && v.Audience != PrivateUse {
			t.Errorf("validity %+v", v)
		}
	}
	for _, v := range l.Keys {
		all = append(all, v.Limit)
	}
	for _, v := range l.Exponents {
		all = append(all, v.Limit)
	}
	for _, v := range l.Hashes {
		all = append(all, v.Limit)
	}
	for _, v := range l.Usages {
		all = append(all, v.Limit)
	}
	for _, v := range l.Protocols {
		all = append(all, v.Limit)
	}
	severities := []inventory.Severity{inventory.Critical, inventory.High, inventory.Medium, inventory.Low, inventory.Info}
	for _, v := range all {
		if v.Source == "" || v.From.IsZero() || !slices.Contains(severities, v.Severity) {
			t.Errorf("%+v", v)
		}
	}
	if len(all) < 20 || len(l.Costs) != len(severities) {
		t.Errorf("%d limits, %d costs", len(all), len(l.Costs))
	}
}
