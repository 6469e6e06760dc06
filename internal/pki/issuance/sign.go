package issuance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
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
	case ed25519.PublicKey:
		return x509.PureEd25519, nil
	case *mldsa.PublicKey:
		switch k.Parameters() {
		case mldsa.MLDSA44():
			return x509.MLDSA44, nil
		case mldsa.MLDSA65():
			return x509.MLDSA65, nil
		case mldsa.MLDSA87():
			return x509.MLDSA87, nil
		}
	}
	return 0, fmt.Errorf("an authority cannot sign with a key of type %T", pub)
}

// hashOf is what is hashed with before the signature; 0 where the algorithm takes the message.
func hashOf(a x509.SignatureAlgorithm) crypto.Hash {
	switch a {
	case x509.SHA256WithRSA, x509.ECDSAWithSHA256:
		return crypto.SHA256
	case x509.ECDSAWithSHA384:
		return crypto.SHA384
	case x509.ECDSAWithSHA512:
		return crypto.SHA512
	}
	return 0
}

// draft is a certificate before it is signed.
type draft struct {
	tbs       []byte // to be signed
	algorithm asn1.RawValue
	hash      crypto.Hash
}

// errDrafted stops x509.CreateCertificate once the bytes to be signed are known.
var errDrafted = errors.New("drafted")

// pencil has an issuer's public key and, in place of a signature, keeps what it is given
// to sign. The issuer's private key is not asked before the draft is recorded and linted.
type pencil struct {
	public crypto.PublicKey
	tbs    []byte
}

// Public implements crypto.Signer.
func (p *pencil) Public() crypto.PublicKey { return p.public }

// Sign implements crypto.Signer. It is not called, because SignMessage is there.
func (p *pencil) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errDrafted }

// SignMessage implements crypto.MessageSigner.
func (p *pencil) SignMessage(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	p.tbs = bytes.Clone(message)
	return nil, errDrafted
}

// newDraft writes the template down in the name of the issuer.
func newDraft(template, issuer *x509.Certificate, signer, subject crypto.PublicKey) (draft, error) {
	if issuer == nil {
		issuer = template
	}
	p := &pencil{public: signer}
	if _, err := x509.CreateCertificate(rand.Reader, template, issuer, subject, p); !errors.Is(err, errDrafted) {
		return draft{}, err
	}
	var t struct {
		Version   asn1.RawValue
		Serial    asn1.RawValue
		Algorithm asn1.RawValue
	}
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(p.tbs, &outer); err != nil {
		return draft{}, err
	}
	rest := outer.Bytes
	var err error
	for _, field := range []*asn1.RawValue{&t.Version, &t.Serial, &t.Algorithm} { // RFC 5280 section 4.1
		if rest, err = asn1.Unmarshal(rest, field); err != nil {
			return draft{}, err
		}
	}
	return draft{tbs: p.tbs, algorithm: t.Algorithm, hash: hashOf(template.SignatureAlgorithm)}, nil
}

// unsigned is the signature of a lint certificate: two numbers that sign nothing.
func unsigned() []byte { return []byte{0x30, 6, 2, 1, 1, 2, 1, 1} }

// lint is the certificate as the linter reads it, whole but for its signature, which is
// none: nobody can trust it, wherever it goes.
func (d draft) lint() ([]byte, error) { return d.with(unsigned()) }

// sign puts the issuer's signature under the draft.
func (d draft) sign(signer crypto.Signer) ([]byte, error) {
	signature, err := crypto.SignMessage(signer, rand.Reader, d.tbs, d.hash)
	if err != nil {
		return nil, err
	}
	return d.with(signature)
}

func (d draft) with(signature []byte) ([]byte, error) {
	return asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: d.tbs}, d.algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
}

// correspond checks that the final certificate says byte for byte what was drafted and
// linted, and that it bears the issuer's signature. issuer is nil for one that signs itself.
func correspond(tbs []byte, final, issuer *x509.Certificate) error {
	if !bytes.Equal(tbs, final.RawTBSCertificate) {
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
