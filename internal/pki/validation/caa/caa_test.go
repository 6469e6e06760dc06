package caa_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"chatelaine.dev/internal/pki/validation/caa"
	"chatelaine.dev/internal/pki/validation/resolver"
)

// zone answers from a table and counts what it is asked.
type zone struct {
	records map[string][]resolver.Record
	broken  map[string]bool
	mu      sync.Mutex
	asked   map[string]int
}

func (z *zone) CAA(_ context.Context, name string) ([]resolver.Record, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.asked == nil {
		z.asked = map[string]int{}
	}
	z.asked[name]++
	if z.broken[name] {
		return nil, errors.New("SERVFAIL")
	}
	return z.records[name], nil
}

func issue(value string) []resolver.Record { return []resolver.Record{{Tag: "issue", Value: value}} }

const account = "https://ca.example/acme/p/account/1"

func TestCAARecordsAreObeyedAsTheirOwnerMeantThem(t *testing.T) {
	const refused, unknown = "refused", "unknown"
	wild := func(w string, rest ...resolver.Record) []resolver.Record {
		return append(rest, resolver.Record{Tag: "issuewild", Value: w})
	}
	for _, c := range []struct {
		why     string
		records map[string][]resolver.Record
		broken  string
		name    string
		want    string
	}{
		{"no records", nil, "", "a.example.com", ""},
		{"us", map[string][]resolver.Record{"example.com": issue("ca.example")}, "", "a.example.com", ""},
		{"us in capitals", map[string][]resolver.Record{"example.com": issue("CA.Example")}, "", "a.example.com", ""},
		{"us with space", map[string][]resolver.Record{"example.com": issue("  ca.example ; ")}, "", "a.example.com", ""},
		{"another", map[string][]resolver.Record{"example.com": issue("other.example")}, "", "a.example.com", refused},
		{"one that ends like us", map[string][]resolver.Record{"example.com": issue("x.ca.example")}, "", "a.example.com", refused},
		{"nobody", map[string][]resolver.Record{"example.com": issue(";")}, "", "a.example.com", refused},
		{"nobody, empty", map[string][]resolver.Record{"example.com": issue("")}, "", "a.example.com", refused},
		{"another and us", map[string][]resolver.Record{"example.com": append(issue("other.example"), issue("ca.example")...)}, "", "a.example.com", ""},
		{"the nearest counts", map[string][]resolver.Record{"a.example.com": issue("ca.example"), "example.com": issue(";")}, "", "a.example.com", ""},
		{"the nearest forbids", map[string][]resolver.Record{"a.example.com": issue(";"), "example.com": issue("ca.example")}, "", "a.example.com", refused},
		{"only the name's own parents", map[string][]resolver.Record{"b.example.com": issue(";")}, "", "a.example.com", ""},
		{"the top level", map[string][]resolver.Record{"com": issue("other.example")}, "", "a.example.com", refused},
		{"only iodef", map[string][]resolver.Record{"example.com": {{Tag: "iodef", Value: "mailto:a@example.com"}}}, "", "a.example.com", ""},
		{"iodef stops the climb", map[string][]resolver.Record{"a.example.com": {{Tag: "iodef", Value: "x"}}, "example.com": issue(";")}, "", "a.example.com", ""},
		{"unknown property", map[string][]resolver.Record{"example.com": {{Tag: "tbs", Value: "x"}}}, "", "a.example.com", ""},
		{"unknown and critical", map[string][]resolver.Record{"example.com": append(issue("ca.example"), resolver.Record{Tag: "tbs", Value: "x", Critical: true})}, "", "a.example.com", refused},
		{"critical and known", map[string][]resolver.Record{"example.com": {{Tag: "issue", Value: "ca.example", Critical: true}}}, "", "a.example.com", ""},
		{"malformed allows nothing", map[string][]resolver.Record{"example.com": issue("ca.example; nonsense")}, "", "a.example.com", refused},
		{"malformed domain", map[string][]resolver.Record{"example.com": issue("ca_example")}, "", "a.example.com", refused},
		{"unknown parameter", map[string][]resolver.Record{"example.com": issue("ca.example; policy=ev")}, "", "a.example.com", ""},

		{"issue holds for a wildcard", map[string][]resolver.Record{"example.com": issue("other.example")}, "", "*.example.com", refused},
		{"issuewild wins for a wildcard", map[string][]resolver.Record{"example.com": wild("ca.example", issue(";")...)}, "", "*.example.com", ""},
		{"issuewild forbids a wildcard", map[string][]resolver.Record{"example.com": wild(";", issue("ca.example")...)}, "", "*.example.com", refused},
		{"issuewild says nothing of a name", map[string][]resolver.Record{"example.com": wild(";")}, "", "a.example.com", ""},

		{"this account", map[string][]resolver.Record{"example.com": issue("ca.example; accounturi=" + account)}, "", "a.example.com", ""},
		{"another account", map[string][]resolver.Record{"example.com": issue("ca.example; accounturi=" + account + "2")}, "", "a.example.com", refused},
		{"two accounts", map[string][]resolver.Record{"example.com": issue("ca.example; accounturi=" + account + "; accounturi=" + account)}, "", "a.example.com", refused},
		{"this method", map[string][]resolver.Record{"example.com": issue("ca.example; validationmethods=http-01,dns-01")}, "", "a.example.com", ""},
		{"another method", map[string][]resolver.Record{"example.com": issue("ca.example; validationmethods=http-01")}, "", "a.example.com", refused},
		{"part of a method's name", map[string][]resolver.Record{"example.com": issue("ca.example; validationmethods=dns-01x")}, "", "a.example.com", refused},

		{"no answer", nil, "a.example.com", "a.example.com", unknown},
		{"no answer above", nil, "example.com", "a.example.com", unknown},
	} {
		z := &zone{records: c.records, broken: map[string]bool{c.broken: true}}
		err := caa.Checker{Lookup: z, Identities: []string{"ca.example"}}.Check(t.Context(), caa.Question{Name: c.name, Account: account, Method: "dns-01"})
		var refusal *caa.Refusal
		got := ""
		switch {
		case errors.As(err, &refusal):
			got = refused
		case err != nil:
			got = unknown
		}
		if got != c.want {
			t.Errorf("%s: %v, want %q", c.why, err, c.want)
		}
	}
}

// Let's Encrypt checked one name N times where it should have checked N names (2020).
func TestEachNameIsAskedForItself(t *testing.T) {
	z := &zone{}
	k := caa.Checker{Lookup: z, Identities: []string{"ca.example"}}
	for i := range 100 {
		if err := k.Check(t.Context(), caa.Question{Name: fmt.Sprintf("n%d.example.com", i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		if n := z.asked[fmt.Sprintf("n%d.example.com", i)]; n != 1 {
			t.Errorf("name %d was asked for %d times", i, n)
		}
	}
}

func FuzzCAA(f *testing.F) {
	for _, seed := range []string{"ca.example", ";", "ca.example; accounturi=x", "a=b;;", "ca.example;\tx = y", "\x00", "..."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		z := &zone{records: map[string][]resolver.Record{"example.com": issue(value)}}
		if err := (caa.Checker{Lookup: z, Identities: []string{"other.example"}}).Check(t.Context(), caa.Question{Name: "a.example.com"}); err == nil && value != "other.example" {
			// Only a value that begins with the identity may allow it.
			if len(value) < len("other.example") {
				t.Errorf("%q allows", value)
			}
		}
	})
}
