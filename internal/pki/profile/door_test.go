package profile

import (
	"strings"
	"testing"
)

func TestNamesOfADoorMatchWhatTheirPatternsSay(t *testing.T) {
	patterns := []string{"example.com", "*.lab.Example.com", "10.0.0.0/8", "2001:db8::/32", "192.0.2.7"}
	for name, want := range map[string]bool{
		"example.com": true, "EXAMPLE.com": true, "www.example.com": false, "*.example.com": false,
		"a.lab.example.com": true, "b.a.lab.example.com": true, "*.lab.example.com": true, "*.a.lab.example.com": true,
		"lab.example.com": false, "xlab.example.com": false, ".lab.example.com": false, "a.lab.example.com.evil.test": false,
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.0.0.1": false, "192.0.2.7": true, "192.0.2.8": false,
		"2001:db8::1": true, "2001:DB8:0::1": true, "2001:db9::1": false, "10.0.0.0/8": false, "": false, "*": false,
	} {
		if got := Allowed(patterns, name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
	if Allowed(nil, "example.com") || Allowed([]string{""}, "example.com") || Allowed([]string{"*."}, "example.com.") {
		t.Error("no pattern, or an empty one, allows a name")
	}
	if !Allowed([]string{"*"}, "192.0.2.1") || !Allowed([]string{"*"}, "a.example") {
		t.Error("* does not allow everything")
	}
}

func TestADoorThatLetsNobodyInOrCannotBeReadIsRefused(t *testing.T) {
	for _, d := range []Doors{
		{ACME: &ACMEDoor{}},
		{ACME: &ACMEDoor{Challenges: []string{"http-02"}}},
		{ACME: &ACMEDoor{Challenges: []string{HTTP01}, Names: []string{"*.*.example.com"}}},
		{ACME: &ACMEDoor{Challenges: []string{HTTP01}, Names: []string{"10.0.0.1/8"}}},
		{ACME: &ACMEDoor{Challenges: []string{HTTP01}, Names: []string{"::ffff:10.0.0.1"}}},
		{ACME: &ACMEDoor{Challenges: []string{HTTP01}, Names: []string{""}}},
		{ACME: &ACMEDoor{Preauthorized: []string{"under_score.example"}}},
		{EST: &ESTDoor{}}, {EST: &ESTDoor{Basic: true, Names: []string{"a..b"}}},
		{SCEP: &SCEPDoor{}}, {SCEP: &SCEPDoor{Challenge: true, Names: strings.Split(strings.Repeat("a.example,", 1001), ",")}},
	} {
		if err := d.valid(); err == nil {
			t.Errorf("%+v %+v %+v was accepted", d.ACME, d.EST, d.SCEP)
		}
	}
	good := Doors{
		ACME: &ACMEDoor{Challenges: []string{HTTP01, DNS01, TLSALPN01}, Names: []string{"*"}, Preauthorized: []string{"*.lan", "localhost", "fd00::/8"}},
		EST:  &ESTDoor{MutualTLS: true}, SCEP: &SCEPDoor{Approval: true, Names: []string{"10.0.0.0/8"}},
	}
	if err := good.valid(); err != nil {
		t.Error(err)
	}
}
