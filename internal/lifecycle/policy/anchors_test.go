package policy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"testing"
	"time"

	"chatelaine.dev/internal/lifecycle/inventory"
)

// pair is a certificate and its key.
type pair struct {
	*inventory.Certificate
	x509 *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate; without an issuer it is self-signed. reuse keeps a key.
func issue(t testing.TB, name string, ca bool, issuer, reuse *pair) *pair {
	t.Helper()
	p := &pair{}
	var err error
	if reuse != nil {
		p.key = reuse.key
	} else if p.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now, NotAfter: now.Add(time.Hour), IsCA: ca, BasicConstraintsValid: true}
	parent, signer := c, p.key
	if issuer != nil {
		parent, signer = issuer.x509, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &p.key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	if p.x509, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	p.Certificate = inventory.Parse(der)
	return p
}

func TestTrustFollowsSignaturesNotNames(t *testing.T) {
	root := issue(t, "Root", true, nil, nil)
	middle := issue(t, "Middle", true, root, nil)
	leaf := issue(t, "leaf", false, middle, nil)
	rekeyed := issue(t, "Root", true, nil, root) // the same root, renewed with its key
	impostor := issue(t, "Root", true, nil, nil)
	forged := issue(t, "forged", false, impostor, nil)
	fakeMiddle := issue(t, "Middle", true, impostor, nil)
	crossed := issue(t, "Middle", true, impostor, middle)
	notCA := issue(t, "NotCA", false, root, nil)
	below := issue(t, "below", false, notCA, nil)
	var crowd []*inventory.Certificate
	for range 60 {
		crowd = append(crowd, issue(t, "Middle", true, impostor, nil).Certificate)
	}
	certificates := func(ps ...*pair) (cs []*inventory.Certificate) {
		for _, p := range ps {
			cs = append(cs, p.Certificate)
		}
		return cs
	}
	private := NewAnchors(nil, [][]byte{root.DER})
	for _, c := range []struct {
		name    string
		anchors *Anchors
		leaf    *pair
		issuers []*inventory.Certificate
		want    inventory.Trust
	}{
		{"through an intermediate", private, leaf, certificates(middle), inventory.Private},
		{"the intermediate is missing", private, leaf, nil, inventory.Unknown},
		{"the root itself", private, root, nil, inventory.Private},
		{"a public root", NewAnchors([][]byte{root.DER}, nil), leaf, certificates(middle), inventory.Public},
		{"in both lists", NewAnchors([][]byte{root.DER}, [][]byte{root.DER}), leaf, certificates(middle), inventory.Public},
		{"the renewed root", NewAnchors(nil, [][]byte{rekeyed.DER}), leaf, certificates(middle, root), inventory.Private},
		{"a namesake of the root", private, forged, certificates(impostor, root), inventory.Unknown},
		{"a self-signed namesake", private, impostor, certificates(root), inventory.SelfSigned},
		{"a namesake of the intermediate", private, leaf, certificates(fakeMiddle), inventory.Unknown},
		{"a namesake before the right one", private, leaf, certificates(fakeMiddle, crossed, middle), inventory.Private},
		{"a loop", private, crossed, certificates(crossed, middle, impostor), inventory.Unknown},
		{"an issuer that is no CA", private, below, certificates(notCA), inventory.Unknown},
		{"no roots at all", NewAnchors(nil, nil), leaf, certificates(middle, root), inventory.Unknown},
		{"a crowd of namesakes is not searched to its end", private, leaf, append(crowd[:60:60], middle.Certificate), inventory.Unknown},
		{"a smaller crowd is", private, leaf, append(crowd[:20:20], middle.Certificate), inventory.Private},
	} {
		if got := c.anchors.Trust(c.leaf.Certificate, c.issuers); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestPublicRootsAreThere(t *testing.T) {
	roots := PublicRoots()
	a := NewAnchors(roots, nil)
	if len(roots) < 100 {
		t.Errorf("only %d public roots", len(roots))
	}
	for _, der := range roots {
		if c := inventory.Parse(der); !c.SelfSigned || a.Trust(c, nil) != inventory.Public {
			t.Errorf("%s is no public root: %s", c.Name, fmt.Sprint(c.Defects))
		}
	}
}

func TestWhatIsKeptOfACertificateIsKeptForEachKey(t *testing.T) {
	root, other := issue(t, "Root", true, nil, nil), issue(t, "Root", true, nil, nil)
	middle := issue(t, "Middle", true, root, nil)
	a := NewAnchors(nil, [][]byte{root.DER})
	b := NewAnchors([][]byte{other.DER}, [][]byte{root.DER}) // asks the other key first
	for range 2 {
		if got := a.Trust(middle.Certificate, nil); got != inventory.Private {
			t.Errorf("below its root: %s", got)
		}
		if got := b.Trust(middle.Certificate, nil); got != inventory.Private {
			t.Errorf("beside a namesake of its root: %s", got)
		}
	}
}
