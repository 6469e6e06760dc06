package issuance

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"

	"chatelaine.dev/internal/access"
)

// registrarLife is for how long the certificate of a registrar is valid.
const registrarLife = 365 * 24 * time.Hour

// oidRegistrar says that the holder is a registration authority (id-kp-cmcRA, RFC 6402
// section 2.10). It is for nothing else: the key signs in to nothing and serves nothing.
var oidRegistrar = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28}

// Registrar makes a certificate for a key of the product itself, which signs and decrypts
// the messages of SCEP in the name of an authority (RFC 8894 section 2.1.2), whose own key
// may be none that decrypts. No profile leads here.
func (s *Service) Registrar(ctx context.Context, c access.Caller, authority string, pub crypto.PublicKey) (Result, error) {
	if err := s.d.Guard.Authorize(ctx, c, IssueCertificates, access.Scope("/authorities/"+authority), "RegistrarIssue"); err != nil {
		return Result{}, err
	}
	line, err := s.line(ctx, authority)
	if err != nil {
		return Result{}, err
	}
	issuer, now := line[len(line)-1], s.d.Now().UTC().Truncate(time.Second)
	if err := issuer.mayIssue(now); err != nil {
		return Result{}, err
	}
	until := now.Add(registrarLife - time.Second)
	if until.After(issuer.Certificate.NotAfter) {
		until = issuer.Certificate.NotAfter
	}
	made, err := s.d.Ceremony.Certify(ctx, c, Order{
		Operation: "RegistrarIssue", Issuer: issuer, PublicKey: pub,
		Template: x509.Certificate{
			Subject: pkix.Name{CommonName: "SCEP of " + issuer.ID}, NotBefore: now.Add(-5 * time.Minute), NotAfter: until,
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, BasicConstraintsValid: true,
			UnknownExtKeyUsage: []asn1.ObjectIdentifier{oidRegistrar},
		},
	})
	if err != nil {
		return Result{}, err
	}
	return Result{Certificate: made, Chain: issuer.Chain}, nil
}
