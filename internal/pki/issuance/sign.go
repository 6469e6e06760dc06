package issuance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"sync"
)

// algorithm returns how an authority's key signs.
func algorithm(pub crypto.PublicKey) (x509.SignatureAlgorithm, error) {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return x509.SHA256WithRSA, nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return x509.ECDSAWithSHA256, nil
		case elliptic.P384():
			return x509.ECDSAWithSHA384, nil
		case elliptic.P521():
			return x509.ECDSAWithSHA512, nil
		}
	}
	return 0, fmt.Errorf("an authority cannot sign with a key of type %T", pub)
}

func hashOf(a x509.SignatureAlgorithm) crypto.Hash {
	switch a {
	case x509.ECDSAWithSHA384:
		return crypto.SHA384
	case x509.ECDSAWithSHA512:
		return crypto.SHA512
	}
	return crypto.SHA256
}

// throwaway makes keys that sign lint certificates and nothing else. Their private
// halves never leave the process, and what they sign is trusted by nobody.
type throwaway struct {
	rsa func() (*rsa.PrivateKey, error)
}

func newThrowaway() throwaway {
	return throwaway{rsa: sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })}
}

func (t throwaway) key(a x509.SignatureAlgorithm) (crypto.Signer, error) {
	if a == x509.SHA256WithRSA {
		return t.rsa()
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// certificate signs the template with a throw-away key in the name of the issuer. All of
// it but the signature is what the issuer will sign.
func (t throwaway) certificate(template *x509.Certificate, issuer *x509.Certificate, pub crypto.PublicKey) (*x509.Certificate, error) {
	key, err := t.key(template.SignatureAlgorithm)
	if err != nil {
		return nil, err
	}
	if issuer == nil {
		issuer = template
	}
	parent := *issuer
	parent.PublicKey = key.Public()
	der, err := x509.CreateCertificate(rand.Reader, template, &parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// envelope is a certificate from outside (RFC 5280 section 4.1).
type envelope struct {
	TBS       asn1.RawValue
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

// sign puts the issuer's signature over the recorded bytes, in place of the lint
// certificate's.
func sign(signer crypto.Signer, lint *x509.Certificate, tbs []byte) ([]byte, error) {
	var e envelope
	if rest, err := asn1.Unmarshal(lint.Raw, &e); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("take the lint certificate apart: %w", err)
	}
	signature, err := crypto.SignMessage(signer, rand.Reader, tbs, hashOf(lint.SignatureAlgorithm))
	if err != nil {
		return nil, err
	}
	e.TBS = asn1.RawValue{FullBytes: tbs}
	e.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	return asn1.Marshal(e)
}

// correspond checks that the final certificate says byte for byte what was linted, and
// that it bears the issuer's signature. issuer is nil for one that signs itself.
func correspond(lint, final, issuer *x509.Certificate) error {
	if !bytes.Equal(lint.RawTBSCertificate, final.RawTBSCertificate) {
		return errors.New("the signed certificate is not the one that was linted")
	}
	if issuer == nil {
		issuer = final
	}
	if err := final.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("the signature is not the issuer's: %w", err)
	}
	return nil
}
