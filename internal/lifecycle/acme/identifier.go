package acme

import (
	"net/netip"
	"strings"

	"chatelaine.dev/internal/pki/profile"
)

// wildcard reports whether it is "*." and a name, and returns the name.
func (i Identifier) wildcard() (string, bool) {
	if i.Type != DNS {
		return i.Value, false
	}
	return strings.CutPrefix(i.Value, "*.")
}

// canonical returns the identifier in its one spelling, or why it is none.
func (i Identifier) canonical() (Identifier, *Problem) {
	switch i.Type {
	case DNS:
		i.Value = lower(i.Value)
		name, _ := i.wildcard()
		if why := badName(name); why != "" {
			return i, problem("malformed", "%.64q is no DNS name: %s", i.Value, why).about(Identifier{DNS, cut(i.Value)})
		}
		return i, nil
	case IP: // in the text form of RFC 5952, RFC 8738 section 3
		a, err := netip.ParseAddr(i.Value)
		if err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.String() != i.Value {
			return i, problem("malformed", "%.64q is not the address of one host in its shortest form", i.Value).about(Identifier{IP, cut(i.Value)})
		}
		return i, nil
	}
	return i, problem("unsupportedIdentifier", "identifiers of type %.20q are not certified here; use dns or ip", i.Type)
}

func cut(s string) string { return s[:min(len(s), 255)] }

// lower folds ASCII alone: the Kelvin sign must not become a k.
func lower(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
}

// badName tells what is wrong with a DNS name, or nothing. Other scripts come as A-labels
// (RFC 8555 section 7.1.4).
func badName(name string) string {
	if name == "" || len(name) > 253 {
		return "it has 1 to 253 characters"
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return "a label has 1 to 63 characters and no hyphen at its ends; there is no final dot"
		}
		if len(l) >= 4 && l[2:4] == "--" && l[:2] != "xn" {
			return "only xn-- has hyphens in the third and fourth place"
		}
		for _, c := range []byte(l) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return "it has a character other than letters, digits and hyphens"
			}
		}
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return "its last label is a number; ask for an address by the type ip"
	}
	return ""
}

// permits checks an identifier against the profile and its door.
func permits(p profile.Profile, door profile.ACMEDoor, i Identifier) *Problem {
	_, wild := i.wildcard()
	why := ""
	switch {
	case i.Type == IP && !p.Names.IP:
		why = "this profile certifies no addresses"
	case i.Type == DNS && !p.Names.DNS:
		why = "this profile certifies no DNS names"
	case wild && !p.Names.Wildcard:
		why = "this profile certifies no wildcards"
	case i.Type == DNS && !strings.Contains(i.Value, ".") && !p.Names.SingleLabel:
		why = "this profile takes full names only, such as www.example.com"
	case !profile.Allowed(door.Names, i.Value) && !profile.Allowed(door.Preauthorized, i.Value):
		why = "the ACME door of this profile is not open for it; an operator can add it to the door's names"
	case !profile.Allowed(door.Preauthorized, i.Value) && len(methods(door, i)) == 0:
		why = "the ACME door of this profile has no challenge that can show it"
	default:
		return nil
	}
	return problem("rejectedIdentifier", "%.253s: %s", i.Value, why).about(i)
}

// methods are the challenges that can show an identifier: a wildcard needs the DNS (RFC
// 8555 section 8.4), an address has none (RFC 8738 section 7).
func methods(door profile.ACMEDoor, i Identifier) []string {
	_, wild := i.wildcard()
	var list []string
	for _, m := range door.Challenges {
		if (i.Type == IP && m == "dns-01") || (wild && m != "dns-01") {
			continue
		}
		list = append(list, m)
	}
	return list
}

// namesOf are the identifiers as a certificate holds them.
func namesOf(ids []Identifier) profile.Names {
	var n profile.Names
	for _, i := range ids {
		if i.Type == IP {
			n.IP = append(n.IP, i.Value)
		} else {
			n.DNS = append(n.DNS, i.Value)
		}
	}
	return n
}
