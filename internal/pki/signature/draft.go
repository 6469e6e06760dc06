package signature

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

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

// Draft writes a certificate down, up to its signature, in the name of an issuer whose key
// is signer; template itself when it is nil. It sets the template's SignatureAlgorithm.
func Draft(template, issuer *x509.Certificate, signer, subject crypto.PublicKey) (tbs []byte, s Scheme, err error) {
	if issuer == nil {
		issuer = template
	}
	if s, err = Of(signer); err != nil {
		return nil, s, err
	}
	template.SignatureAlgorithm = s.X509
	by, of := signer, subject
	if RootOnly(signer) {
		template.SignatureAlgorithm, by = x509.PureEd25519, standIn()
		nameOnly := *issuer
		nameOnly.PublicKey = nil // it would not be the signer's
		issuer = &nameOnly
	}
	if RootOnly(subject) {
		of = standIn()
	}
	p := &pencil{public: by}
	if _, err := x509.CreateCertificate(rand.Reader, template, issuer, of, p); !errors.Is(err, errDrafted) {
		return nil, s, err
	}
	if !RootOnly(signer) && !RootOnly(subject) {
		return p.tbs, s, nil
	}
	spki, err := MarshalPublic(subject)
	if err != nil {
		return nil, s, err
	}
	tbs, err = replace(p.tbs, s.Algorithm, spki)
	return tbs, s, err
}

// standIn is a key that crypto/x509 can write in the place of one that it cannot. It is
// nobody's, and no certificate keeps it.
func standIn() ed25519.PublicKey { return make(ed25519.PublicKey, ed25519.PublicKeySize) }

// replace puts the algorithm and the key into a certificate to be signed (RFC 5280 section 4.1).
func replace(tbs, algorithm, spki []byte) ([]byte, error) {
	input := cryptobyte.String(tbs)
	var inside cryptobyte.String
	if !input.ReadASN1(&inside, asn1.SEQUENCE) || !input.Empty() {
		return nil, errForm
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for at := 0; !inside.Empty(); at++ {
			var element cryptobyte.String
			var tag asn1.Tag
			if !inside.ReadAnyASN1Element(&element, &tag) {
				b.SetError(errForm)
				return
			}
			switch at { // 0 is the version, which is always there
			case 2:
				element = algorithm
			case 6:
				element = spki
			}
			b.AddBytes(element)
		}
	})
	return b.Bytes()
}
