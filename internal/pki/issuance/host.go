package issuance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net/netip"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/profile"
)

// Host makes a key in memory and a tls-server certificate for hosts of the product
// itself, on the same road as every other. It carries the chain without the root. Who
// calls it on demand first makes sure that the host is one of ours.
func (s *Service) Host(ctx context.Context, c access.Caller, hosts ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	var names profile.Names
	for _, h := range hosts {
		if _, err := netip.ParseAddr(h); err == nil {
			names.IP = append(names.IP, h)
		} else {
			names.DNS = append(names.DNS, h)
		}
	}
	made, err := s.Issue(ctx, c, Request{Profile: "tls-server", PublicKey: &key.PublicKey, Names: names})
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(made.DER)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: made.WithoutRoot(), PrivateKey: key, Leaf: leaf}, nil
}

// WithoutRoot is what a server sends: the certificate and the authorities above it, but
// not the root, which the client has or does not trust.
func (r Result) WithoutRoot() [][]byte {
	out := [][]byte{r.DER}
	if len(r.Chain) > 0 {
		out = append(out, r.Chain[:len(r.Chain)-1]...)
	}
	return out
}
