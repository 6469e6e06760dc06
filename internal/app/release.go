package app

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	jose "github.com/go-jose/go-jose/v4"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app/fetch"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/vault/attestation"
	"chatelaine.dev/internal/vault/keys/releasepolicy"
)

// openAttestation opens what believes attestation services, within what the operator allows.
func (a *App) openAttestation(c config.Attestation) (*attestation.Authorities, error) {
	roots, err := fetch.Roots(c.Roots)
	if err != nil {
		return nil, fmt.Errorf("attestation.roots: %w", err)
	}
	d := dialer{permit: reach{}.permit} // whoever makes a key names any address
	var permits func(string) bool
	if len(c.Authorities) > 0 {
		d = dialer{} // the operator has named them
		permits = func(authority string) bool {
			return slices.ContainsFunc(c.Authorities, func(x string) bool { return releasepolicy.Same(x, authority) })
		}
	}
	return attestation.New(attestation.Config{Fetcher: fetch.New(d.DialContext, roots), Permits: permits, Now: a.now}), nil
}

// statements signs what a vault states to the world: a released key, and what protects a
// key. Each vault has a key for it, whose certificate names the vault's host and comes
// from our own authority. Microsoft's clients want an RSA key, and the root in the chain.
// The authority is opened after the vaults, so it is looked for at the first use.
type statements struct{ app *App }

// openSigners opens the keeper of the keys that sign statements.
func (f *pkiFloor) openSigners() *hosts {
	return &hosts{
		domain: f.hosts.domain, kind: "statement/", chest: f.hosts.chest, now: f.hosts.now, vault: f.hosts.vault,
		kept: map[string]*tls.Certificate{}, issue: f.issueSigner,
	}
}

func (s statements) certificate(ctx context.Context, vault string) (*tls.Certificate, error) {
	return s.app.signers.certificate(ctx, vault+"."+s.app.cfg.Domain)
}

// issueSigner makes a key in memory and its certificate.
func (f *pkiFloor) issueSigner(ctx context.Context, names ...string) (tls.Certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return tls.Certificate{}, err
	}
	made, err := f.Issuance.Issue(ctx, access.System("statements"), issuance.Request{
		Profile: "tls-server", PublicKey: &key.PublicKey, Names: profile.Names{DNS: names},
	})
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(made.DER)
	return tls.Certificate{Certificate: append([][]byte{made.DER}, made.Chain...), PrivateKey: key, Leaf: leaf}, err
}

// Sign implements release.Signer and evidence.Signer.
func (s statements) Sign(ctx context.Context, vault string, payload []byte) (string, error) {
	c, err := s.certificate(ctx, vault)
	if err != nil {
		return "", err
	}
	key, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return "", errors.New("the key that signs statements does not sign")
	}
	chain := make([]string, 0, len(c.Certificate))
	for _, der := range c.Certificate {
		chain = append(chain, base64.StdEncoding.EncodeToString(der)) // RFC 7515 section 4.1.6
	}
	sum := sha256.Sum256(c.Certificate[0])
	o := (&jose.SignerOptions{}).WithHeader("x5c", chain).WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(sum[:])).
		WithHeader("kid", hex.EncodeToString(sum[:])).WithType("JWT")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key}}, o)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// Certificates implements evidence.Signer: the chain of what signs, in PEM.
func (s statements) Certificates(ctx context.Context, vault string) ([]byte, error) {
	c, err := s.certificate(ctx, vault)
	if err != nil {
		return nil, err
	}
	return certificatePEM(c.Certificate...), nil
}
