package issuance

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"chatelaine.dev/internal/pki/signature"
)

// identify writes into the order's template what tells its certificate from every other:
// the serial and the id of its key, which is its issuer's too where it signs itself. It
// returns the SHA-256 of the key's SubjectPublicKeyInfo.
func (o *Order) identify(serial *big.Int) (keyHash [sha256.Size]byte, err error) {
	spki, err := signature.MarshalPublic(o.PublicKey)
	if err != nil {
		return keyHash, err
	}
	keyHash = sha256.Sum256(spki)
	t := &o.Template
	t.SerialNumber = serial
	if len(t.SubjectKeyId) == 0 { // a further certificate of an authority keeps the first one's
		t.SubjectKeyId = keyHash[:20] // RFC 7093 section 2 (4), cut to the usual length
	}
	if o.Issuer.Certificate == nil {
		t.AuthorityKeyId = t.SubjectKeyId
	}
	return keyHash, nil
}

// draft is a certificate before it is signed.
type draft struct {
	tbs    []byte // to be signed
	scheme signature.Scheme
}

// newDraft writes the template down in the name of the issuer.
func newDraft(template, issuer *x509.Certificate, signer, subject crypto.PublicKey) (draft, error) {
	tbs, scheme, err := signature.Draft(template, issuer, signer, subject)
	return draft{tbs, scheme}, err
}

// unsigned is the signature of a lint certificate: two numbers that sign nothing.
func unsigned() []byte { return []byte{0x30, 6, 2, 1, 1, 2, 1, 1} }

// lint is the certificate as the linter reads it, whole but for its signature, which is
// none: nobody can trust it, wherever it goes.
func (d draft) lint() ([]byte, error) { return d.with(unsigned()) }

// check lints the draft.
func (d draft) check(l *Linter, standards []string) error {
	der, err := d.lint()
	if err != nil {
		return err
	}
	return l.Check(der, standards)
}

// sign puts the issuer's signature under the draft and checks the result.
func (d draft) sign(i Issuer) (*x509.Certificate, error) {
	signed, err := d.scheme.Sign(i.Signer, d.tbs)
	if err != nil {
		return nil, err
	}
	der, err := d.with(signed)
	if err != nil {
		return nil, err
	}
	final, err := signature.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return final, correspond(d.tbs, final, i.Certificate)
}

func (d draft) with(signed []byte) ([]byte, error) {
	return asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: d.tbs}, asn1.RawValue{FullBytes: d.scheme.Algorithm}, asn1.BitString{Bytes: signed, BitLength: 8 * len(signed)}})
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
	if err := signature.CheckFrom(final, issuer); err != nil {
		return fmt.Errorf("the signature is not the issuer's: %w", err)
	}
	return nil
}
