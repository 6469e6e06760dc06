package profile

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Finding is a way in which a profile can be abused. The shapes ESC1 to ESC17 are those
// that were found in certificate templates of Active Directory ("Certified Pre-Owned",
// 2021, and what followed it); those which are about the rights on a directory or about
// one product's protocols (ESC4, 5, 7, 10, 11, 12, 14, 16) have no counterpart in a
// profile.
type Finding struct {
	Shape string `json:"shape"` // "ESC1", or a word of ours
	Why   string `json:"why"`   // what somebody can do, and what to change
}

// Findings looks for the shapes. A profile without any is not thereby right.
func (p Profile) Findings() []Finding {
	var found []Finding
	for _, look := range []func(Profile) (Finding, bool){
		anyPurpose, enrolmentAgent, otherPurposes, account, client, server, openDoor, policy, mailbox, powerful, statusSigner, mixed, forever, anyName,
	} {
		if f, ok := look(p); ok {
			found = append(found, f)
		}
	}
	return found
}

// identifies reports whether somebody is let in somewhere for showing the certificate.
func (p Profile) identifies() bool {
	return p.gives("clientAuth", "smartcardLogon", "kerberosClient", "2.5.29.37.0") || len(p.ExtendedKeyUsage) == 0
}

// unproven returns the lists of names that a requester gets without proof that the name
// is his, for each open door.
func (d Doors) unproven() (lists [][]string) {
	if d.ACME != nil && len(d.ACME.Preauthorized) > 0 {
		lists = append(lists, d.ACME.Preauthorized)
	}
	if d.EST != nil && len(d.EST.Names) > 0 {
		lists = append(lists, d.EST.Names)
	}
	if d.SCEP != nil && d.SCEP.Challenge && !d.SCEP.Approval && len(d.SCEP.Names) > 0 {
		lists = append(lists, d.SCEP.Names)
	}
	return lists
}

// chooses reports whether a requester at some door chooses whose name he gets, when
// nobody approves it.
func (p Profile) chooses() bool {
	if p.Approval || p.Names.narrowed() || len(p.Names.Allowed) > 0 && !slices.ContainsFunc(p.Names.Allowed, broad) {
		return false
	}
	return slices.ContainsFunc(p.Doors.unproven(), func(names []string) bool { return slices.ContainsFunc(names, broad) })
}

// narrowed reports whether the patterns tell one holder's names from another's. One that
// takes names which have nothing in common, such as ".*", is as good as none.
func (r NameRules) narrowed() bool {
	return len(r.Patterns) > 0 && !slices.ContainsFunc(r.Patterns, func(text string) bool {
		p, err := whole(text)
		if err != nil {
			return true
		}
		every := func(names ...string) bool {
			return !slices.ContainsFunc(names, func(n string) bool { return !p.MatchString(n) })
		}
		return every("www.bank.example", "mail-7.ministry.test") || every("root@bank.example", "a.b@ministry.test") ||
			every("spiffe://bank.example/pay", "https://ministry.test/x") || every("192.0.2.7", "10.1.2.3")
	})
}

// ours are the ends of names that are nobody's on the internet: RFC 6761, RFC 8375,
// RFC 6762, and what ICANN reserved in 2024.
func ours() []string {
	return []string{"localhost", "test", "internal", "home.arpa", "local", "lan", "svc", "invalid", "example", "intranet", "corp", "home", "private"}
}

// broad reports whether a pattern covers names of many who have nothing to do with each
// other: everything, a top-level domain, or a network that no organisation has.
func broad(pattern string) bool {
	if net, err := netip.ParsePrefix(pattern); err == nil {
		return net.Bits() < 8 || net.Addr().Is6() && net.Bits() < 16 && !net.Addr().IsPrivate() && !net.Addr().IsLinkLocalUnicast()
	}
	below, ok := strings.CutPrefix(strings.ToLower(pattern), "*.")
	return pattern == "*" || ok && !strings.Contains(below, ".") && !slices.Contains(ours(), below)
}

func anyPurpose(p Profile) (Finding, bool) {
	return Finding{"ESC2", "the certificates are good for any purpose; name the purposes in extendedKeyUsage"},
		len(p.ExtendedKeyUsage) == 0 || p.gives("2.5.29.37.0") || slices.Contains(p.ExtendedKeyUsage, "any") || slices.Contains(p.ExtendedKeyUsage, "anyExtendedKeyUsage")
}

func enrolmentAgent(p Profile) (Finding, bool) {
	for _, u := range p.ExtendedKeyUsage {
		if _, ok := forbidden()[u]; ok && u != "2.5.29.37.0" || u == "certificateRequestAgent" {
			return Finding{"ESC3", "its holder acts for others: the purpose " + u + " is that of an enrolment or recovery agent; take it out"}, true
		}
	}
	return Finding{}, false
}

// otherPurposes finds extensions that some programs read in place of the extended key
// usage, which the profile's own rules do not look into.
func otherPurposes(p Profile) (Finding, bool) {
	read := []string{"1.3.6.1.4.1.311.21.10", "1.3.6.1.4.1.311.20.2", "1.3.6.1.4.1.311.21.7", "2.16.840.1.113730.1.1"}
	for _, e := range p.Extensions {
		if slices.Contains(read, e.OID) {
			return Finding{"ESC15", "the extension " + e.OID + " gives purposes beside extendedKeyUsage (application policies, template or Netscape type); take it out"}, true
		}
	}
	return Finding{}, false
}

func account(p Profile) (Finding, bool) {
	return Finding{"ESC9", "a domain takes the certificate for the account that the requester writes into it; fix the names by a pattern or a list, or want an approval"},
		p.gives("smartcardLogon", "kerberosClient", "kerberosKDC") && !p.Approval && !p.Names.narrowed() && len(p.Names.Allowed) == 0
}

func client(p Profile) (Finding, bool) {
	free := p.Names.CommonName == CommonNameFree && p.Names.CommonNamePattern == "" && len(p.Doors.unproven()) > 0 && !p.Approval
	return Finding{"ESC1", "whoever gets through a door chooses whom the certificate names, and is let in as him elsewhere; narrow the names of the door, set commonNamePattern, or want an approval"},
		p.identifies() && (p.chooses() || free)
}

func server(p Profile) (Finding, bool) {
	return Finding{"ESC17", "whoever gets through a door gets a certificate for any server, and can pass for it; narrow the names of the door, or have them proven by ACME's challenges"},
		p.gives("serverAuth") && p.chooses()
}

// openDoor finds doors without a lock: nobody is asked who he is, and no name is proven.
func openDoor(p Profile) (Finding, bool) {
	a, s := p.Doors.ACME, p.Doors.SCEP
	acme := a != nil && !a.ExternalAccount && len(a.Preauthorized) > 0
	scep := s != nil && !s.Challenge && !s.Approval && !s.RenewByCertificate
	return Finding{"ESC8", "whoever reaches the door gets a certificate, without a credential and without a proof; want external accounts, a challenge password or an approval"},
		(acme || scep) && !p.Approval
}

// policy finds policies that others trust on, given to whoever comes. Those of the CA/B
// Forum's validations by name or mailbox (2.23.140.1.2.1, 2.23.140.1.5.1) promise no more.
func policy(p Profile) (Finding, bool) {
	more := slices.ContainsFunc(p.Policies, func(o string) bool {
		return o != "2.23.140.1.2.1" && !strings.HasPrefix(o, "2.23.140.1.5.1.")
	})
	return Finding{"ESC13", "a certificate policy, which others grant rights for, is given to whoever gets through a door; want an approval, or close the door"},
		more && !p.Approval && (len(p.Doors.unproven()) > 0 || p.Doors.ACME != nil)
}

func mailbox(p Profile) (Finding, bool) {
	return Finding{"mailbox", "no door proves that a mailbox is the requester's, so that anybody signs mail as anybody; close the doors or want an approval"},
		p.Names.Email && (p.gives("emailProtection") || p.identifies()) && !p.Approval && !p.Names.narrowed() && p.Doors != (Doors{})
}

func powerful(p Profile) (Finding, bool) {
	return Finding{"code", "what is signed with the certificate runs or counts as dated; want an approval"},
		p.gives("codeSigning", "timeStamping") && !p.Approval
}

func statusSigner(p Profile) (Finding, bool) {
	return Finding{"status", "its holder answers for the authority whether any certificate is revoked; want an approval, and close the doors"},
		p.gives("OCSPSigning") && (!p.Approval || p.Doors != (Doors{}))
}

// mixed finds purposes that no one holder needs together.
func mixed(p Profile) (Finding, bool) {
	tls, sign := p.gives("serverAuth", "clientAuth"), p.gives("codeSigning", "timeStamping", "OCSPSigning")
	return Finding{"mixed", "a key in a server or client also signs code, time or status; make a profile for each purpose"}, tls && sign
}

// forever finds end certificates that outlive the trust in their algorithms.
func forever(p Profile) (Finding, bool) {
	return Finding{"forever", "certificates of more than five years outlive their holders and their algorithms; shorten validity.max"},
		time.Duration(p.Validity.Max) > 5*366*day
}

func anyName(p Profile) (Finding, bool) {
	return Finding{"ESC6", "the names that are valid without a challenge are those of everybody; name your own networks and domains in preauthorized"},
		p.Doors.ACME != nil && slices.ContainsFunc(p.Doors.ACME.Preauthorized, broad) && !p.Approval
}
