package acme

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"sync"
	"time"

	"chatelaine.dev/internal/pki/signature"
)

const (
	maxDepth  = 8  // authorities above a certificate
	maxChains = 16 // ways up from one
	chainsFor = time.Minute
	maxKept   = 1000
)

// Chains finds every way up from an issuer among the certificates of our authorities,
// cross-signed ones too. What it found is kept for a minute, because every download asks.
type Chains struct {
	// Certificates returns those of all authorities, DER.
	Certificates func(ctx context.Context) ([][]byte, error)
	Now          func() time.Time

	mu   sync.Mutex
	kept map[[sha256.Size]byte]found
}

type found struct {
	until  time.Time
	chains [][][]byte
}

// Alternates implements acme.Chains. Each chain ends with its root.
func (x *Chains) Alternates(ctx context.Context, chain [][]byte) ([][][]byte, error) {
	if len(chain) == 0 {
		return nil, nil
	}
	sum := sha256.Sum256(chain[0])
	x.mu.Lock()
	k, ok := x.kept[sum]
	x.mu.Unlock()
	if ok && x.Now().Before(k.until) {
		return k.chains, nil
	}
	ways, err := x.search(ctx, chain[0])
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.kept == nil || len(x.kept) >= maxKept {
		x.kept = map[[sha256.Size]byte]found{}
	}
	x.kept[sum] = found{x.Now().Add(chainsFor), ways}
	return ways, nil
}

func (x *Chains) search(ctx context.Context, first []byte) ([][][]byte, error) {
	issuer, err := x509.ParseCertificate(first)
	if err != nil {
		return nil, err
	}
	list, err := x.Certificates(ctx)
	if err != nil {
		return nil, err
	}
	all := []*x509.Certificate{issuer}
	for _, der := range list {
		if c, err := x509.ParseCertificate(der); err == nil && !c.Equal(issuer) {
			all = append(all, c)
		}
	}
	var ways [][][]byte
	var climb func(path []*x509.Certificate)
	climb = func(path []*x509.Certificate) {
		top := path[len(path)-1]
		if bytes.Equal(top.RawIssuer, top.RawSubject) {
			if len(ways) < maxChains {
				ways = append(ways, raw(path))
			}
			return
		}
		for _, c := range all {
			if len(path) < maxDepth && !slices.Contains(path, c) && bytes.Equal(c.RawSubject, top.RawIssuer) && signature.CheckFrom(top, c) == nil {
				climb(append(slices.Clone(path), c))
			}
		}
	}
	for _, c := range all { // the issuer itself, and the same key certified by others
		if bytes.Equal(c.RawSubject, issuer.RawSubject) && bytes.Equal(c.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) {
			climb([]*x509.Certificate{c})
		}
	}
	return ways, nil
}

func raw(path []*x509.Certificate) [][]byte {
	var list [][]byte
	for _, c := range path {
		list = append(list, c.Raw)
	}
	return list
}
