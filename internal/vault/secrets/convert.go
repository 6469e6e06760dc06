package secrets

import (
	"encoding/base64"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/pfx"
)

// The content types of a certificate's file.
const (
	PKCS12 = "application/x-pkcs12"   // base64 of PKCS#12 with the empty password
	PEM    = "application/x-pem-file" // the key as PKCS#8, and the certificates
)

// as returns the file of a certificate in another form. The empty form, and its own,
// return it as it is.
func (b Body) as(form string) (Body, error) {
	if form == "" || form == b.ContentType {
		return b, nil
	}
	if form != PKCS12 && form != PEM {
		return Body{}, fault.New(fault.Invalid, "BadParameter", "outContentType is %.40q; use %s or %s.", form, PEM, PKCS12)
	}
	if b.ContentType != PKCS12 && b.ContentType != PEM {
		return Body{}, fault.New(fault.Invalid, "BadParameter", "outContentType converts the secret of a certificate; the content type of this one is %.80q.", b.ContentType)
	}
	bundle, err := b.file()
	if err != nil {
		return Body{}, err
	}
	b.ContentType = form
	if form == PEM {
		text, err := pfx.EncodePEM(bundle)
		b.Value = Value(text)
		return b, err
	}
	der, err := pfx.Encode(bundle)
	b.Value = Value(base64.StdEncoding.EncodeToString(der))
	return b, err
}

// file reads the certificates, and the key where it may leave the vault.
func (b Body) file() (pfx.Bundle, error) {
	if b.ContentType == PEM {
		return pfx.OpenPEM([]byte(b.Value), "")
	}
	der, err := base64.StdEncoding.DecodeString(string(b.Value))
	if err != nil {
		return pfx.Bundle{}, fault.New(fault.Invalid, "BadParameter", "The secret says that it is PKCS#12, but is not base64; it cannot be converted.")
	}
	return pfx.Open(der, "")
}
