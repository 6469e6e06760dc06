package ocsp

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // names the responder, RFC 6960 section 4.2.1; nothing trusts it
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/signature"
	"chatelaine.dev/internal/vault/keystore/slhdsa"
)

// SignerProfile is what the certificates of signers bear in place of a profile. No profile
// has this name, so nobody can ask for one by a request.
const SignerProfile = "(ocsp-signer)"

// A signer lives for a week and is replaced after half of it. Its key never leaves the
// process, so that each start makes another; nobody can or need revoke it (id-pkix-ocsp-nocheck).
const (
	signerLife = 7 * 24 * time.Hour
	backdate   = time.Hour
)

// signer signs answers in the name of an authority.
type signer struct {
	key         crypto.Signer
	scheme      signature.Scheme
	certificate []byte
	keyHash     []byte
	renew       time.Time
	ends        time.Time
}

// newSigner makes a key and has the authority certify it, on the same road as every
// certificate. An authority with a post-quantum key gets a signer that is as strong as it,
// because who believes the one may not be made to believe less.
func (r *Responder) newSigner(ctx context.Context, authority string) (*signer, error) {
	issuer, err := r.d.Authorities.Issuer(ctx, authority)
	if err != nil {
		return nil, err
	}
	now := r.d.Now().UTC().Truncate(time.Second)
	ends := now.Add(signerLife)
	if ends.After(issuer.Certificate.NotAfter) {
		ends = issuer.Certificate.NotAfter
	}
	if !ends.After(now) {
		return nil, fault.New(fault.Conflict, "AuthorityEnded", "authority %s has expired; nobody would believe its answers", authority)
	}
	key, err := newKey(issuer.Certificate.PublicKey)
	if err != nil {
		return nil, err
	}
	scheme, err := signature.Of(key.Public())
	if err != nil {
		return nil, err
	}
	made, err := r.d.Ceremony.Certify(ctx, access.System("ocsp"), issuance.Order{
		Operation: "OcspSignerCreate", Issuer: issuer, Profile: SignerProfile, PublicKey: key.Public(), NoStatus: true,
		Template: x509.Certificate{
			Subject: pkix.Name{CommonName: "OCSP " + authority}, NotBefore: now.Add(-backdate), NotAfter: ends,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, BasicConstraintsValid: true,
			ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}}}, // nocheck
		},
	})
	if err != nil {
		return nil, fmt.Errorf("signer of answers for %s: %w", authority, err)
	}
	cert, err := x509.ParseCertificate(made.DER)
	if err != nil {
		return nil, err
	}
	sum, err := keyHash(cert)
	if err != nil {
		return nil, err
	}
	return &signer{key: key, scheme: scheme, certificate: made.DER, keyHash: sum, renew: now.Add(ends.Sub(now) / 2), ends: ends}, nil
}

// newKey makes a key for answers in the name of an authority with the key given.
func newKey(authority crypto.PublicKey) (crypto.Signer, error) {
	switch k := authority.(type) {
	case *mldsa.PublicKey:
		return mldsa.GenerateKey(k.Parameters())
	case *slhdsa.PublicKey: // too slow for answers
		return mldsa.GenerateKey(map[int]mldsa.Parameters{1: mldsa.MLDSA44(), 3: mldsa.MLDSA65(), 5: mldsa.MLDSA87()}[k.Category()])
	case ed25519.PublicKey:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// keyBits are the bits of a certificate's key, without their algorithm.
func keyBits(c *x509.Certificate) ([]byte, error) {
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	_, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &spki)
	return spki.Key.Bytes, err
}

// keyHash is the KeyHash of RFC 6960.
func keyHash(c *x509.Certificate) ([]byte, error) {
	bits, err := keyBits(c)
	sum := sha1.Sum(bits) //nolint:gosec // see the import
	return sum[:], err
}
