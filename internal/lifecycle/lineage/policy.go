package lineage

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"slices"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/profile"
)

// Policy says whether what a lineage wants may be issued at all. The authority asks
// again, with the key, before it signs.
type Policy interface {
	// Check returns whether a person must approve each certificate. fault.Invalid when no
	// certificate like this would be issued.
	Check(w Wanted, now time.Time) (approval bool, err error)
}

// Profiles is the Policy of our own authorities' profiles.
type Profiles struct{ profile.Source }

// Check implements Policy.
func (p Profiles) Check(w Wanted, now time.Time) (bool, error) {
	if w.Profile == "" {
		return false, fault.New(fault.Invalid, "ProfileRequired", "name the profile that the certificate follows")
	}
	found, err := p.Get(w.Profile)
	if err != nil {
		return false, err
	}
	if w.Authority != "" && !slices.Contains(found.Authorities, w.Authority) {
		return false, fault.New(fault.Invalid, "UnknownAuthority", "profile %s is not issued by authority %.64q; use one of %q", found.Name, w.Authority, found.Authorities)
	}
	if !slices.Contains(found.Keys, w.Key) {
		return false, fault.New(fault.Invalid, "KeyNotAllowed", "profile %s does not certify a key of type %.20s; use one of %q", found.Name, w.Key, found.Keys)
	}
	// There is no key yet; everything but the key is checked with one that stands for it.
	found.Keys = []string{standIn().Params().Name}
	_, err = found.Plan(profile.Ask{
		PublicKey: standIn(), CommonName: w.CommonName, Names: w.Names, Validity: time.Duration(w.Validity), Now: now,
	}, now.AddDate(100, 0, 0))
	return found.Approval, err
}

// standIn is the public key of the private key 1: the base point of P-256.
func standIn() *ecdsa.PublicKey {
	p := elliptic.P256().Params()
	point := append([]byte{4}, p.Gx.FillBytes(make([]byte, 32))...) // uncompressed, SEC 1 section 2.3.3
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(point, p.Gy.FillBytes(make([]byte, 32))...))
	if err != nil {
		panic(err) // the base point is on its curve
	}
	return key
}
