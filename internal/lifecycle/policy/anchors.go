package policy

import (
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"chatelaine.dev/internal/lifecycle/inventory"
)

// Anchors are the roots that we know. They do not change: a new authority makes new Anchors.
type Anchors struct {
	byName map[inventory.NameHash][]anchor

	mu     sync.Mutex
	signed map[signed]bool
}

// signed are a CA's certificate and the key that may have signed it. What was found out
// about them is kept, because every certificate below asks again.
type signed struct{ sha256, spki string }

// maxSigned bounds what is kept; then it begins anew.
const maxSigned = 10_000

type anchor struct {
	*inventory.Certificate
	trust inventory.Trust
}

// NewAnchors knows the given roots (DER). A root that is in both lists is public.
func NewAnchors(public, private [][]byte) *Anchors {
	a := &Anchors{byName: map[inventory.NameHash][]anchor{}, signed: map[signed]bool{}}
	for _, l := range []struct {
		ders  [][]byte
		trust inventory.Trust
	}{{public, inventory.Public}, {private, inventory.Private}} {
		for _, der := range l.ders {
			c := inventory.Parse(der)
			a.byName[c.SubjectHash()] = append(a.byName[c.SubjectHash()], anchor{c, l.trust})
		}
	}
	return a
}

// PublicRoots are the roots (DER) that Mozilla trusts for servers, as of the version of
// golang.org/x/crypto/x509roots that the program was built with. The machine's own store
// is no measure: what an organisation adds to it is not public.
func PublicRoots() [][]byte {
	var ders [][]byte
	for r := range bundle.Roots() {
		ders = append(ders, r.Certificate)
	}
	return ders
}

// known says what a root is, if it is one of ours: the same certificate, or another one
// of the same name and key.
func (a *Anchors) known(c *inventory.Certificate) (inventory.Trust, bool) {
	for _, r := range a.byName[c.SubjectHash()] {
		if r.SHA256 == c.SHA256 || r.SPKI == c.SPKI {
			return r.trust, true
		}
	}
	return "", false
}

// Trust says whose root a certificate descends from, by names and signatures. It says
// nothing about dates, usages or revocation: they are for the rules.
func (a *Anchors) Trust(c *inventory.Certificate, issuers []*inventory.Certificate) inventory.Trust {
	d := &descent{anchors: a, issuers: issuers, tried: map[string]bool{}, checks: maxChecks}
	if t, ok := d.of(c); ok {
		return t
	}
	if c.SelfSigned {
		return inventory.SelfSigned
	}
	return inventory.Unknown
}

// maxChecks bounds the signatures that are checked for one certificate: a server may
// send a flood of namesakes.
const maxChecks = 40

// descent is a search from a certificate to a root, depth first.
type descent struct {
	anchors *Anchors
	issuers []*inventory.Certificate
	tried   map[string]bool
	checks  int
}

func (d *descent) of(c *inventory.Certificate) (inventory.Trust, bool) {
	if t, ok := d.anchors.known(c); ok {
		return t, true
	}
	if d.tried[c.SHA256] || c.SelfSigned {
		return "", false
	}
	d.tried[c.SHA256] = true
	for _, r := range d.anchors.byName[c.IssuerHash()] {
		if d.signed(c, r.Certificate) {
			return r.trust, true
		}
	}
	for _, i := range d.issuers {
		if d.tried[i.SHA256] || !i.CA || !i.IsSubject(c) || !d.signed(c, i) {
			continue
		}
		if t, ok := d.of(i); ok {
			return t, true
		}
	}
	return "", false
}

func (d *descent) signed(c, by *inventory.Certificate) bool {
	if d.checks--; d.checks < 0 {
		return false
	}
	if !c.CA {
		return c.SignedBy(by) == nil
	}
	return d.anchors.remember(signed{c.SHA256, by.SPKI}, func() bool { return c.SignedBy(by) == nil })
}

func (a *Anchors) remember(k signed, check func() bool) bool {
	a.mu.Lock()
	is, ok := a.signed[k]
	a.mu.Unlock()
	if ok {
		return is
	}
	is = check()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.signed) >= maxSigned {
		clear(a.signed)
	}
	a.signed[k] = is
	return is
}
