package domain

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/hsm/quorum"
)

// JWK is the public key of a holder with its certificate: SecurityDomainJsonWebKey.
type JWK struct {
	KeyID      string   `json:"kid,omitempty"`
	Type       string   `json:"kty"`
	Ops        []string `json:"key_ops"`
	N          string   `json:"n"` // base64url
	E          string   `json:"e"`
	Chain      []string `json:"x5c"` // standard base64, the holder's certificate first
	Use        string   `json:"use,omitempty"`
	SHA1       string   `json:"x5t,omitempty"`
	Thumbprint string   `json:"x5t#S256"`
	Algorithm  string   `json:"alg"`
}

const (
	minBits = 2048
	maxBits = 8192
)

func bad(format string, args ...any) error {
	return fault.New(fault.Invalid, "BadParameter", format, args...)
}

// certificates checks who is to hold the security domain. No holder may be there twice:
// with two shares one of them would count for two.
func certificates(holders []JWK, required *int) ([]*x509.Certificate, error) {
	if n := len(holders); n < quorum.MinHolders || n > quorum.MaxHolders {
		return nil, bad("%d certificates were sent; want %d to %d.", n, quorum.MinHolders, quorum.MaxHolders)
	}
	if *required == 0 {
		*required = quorum.MinRequired
	}
	if *required < quorum.MinRequired || *required > len(holders) {
		return nil, bad("required must be %d to %d, the number of certificates, not %d.", quorum.MinRequired, len(holders), *required)
	}
	var list []*x509.Certificate
	for i, h := range holders {
		c, err := h.certificate()
		if err != nil {
			return nil, bad("Certificate %d cannot be used: %s.", i+1, err)
		}
		key := c.PublicKey.(*rsa.PublicKey)
		if slices.ContainsFunc(list, func(other *x509.Certificate) bool { return key.Equal(other.PublicKey) }) {
			return nil, bad("Certificate %d has the key of another; every holder needs a key of their own.", i+1)
		}
		list = append(list, c)
	}
	return list, nil
}

type unusable string

func (u unusable) Error() string { return string(u) }

// certificate returns the holder's certificate, whose key must be the one that the JWK names.
func (j JWK) certificate() (*x509.Certificate, error) {
	if !strings.EqualFold(j.Type, "RSA") {
		return nil, unusable("kty must be RSA")
	}
	if len(j.Chain) == 0 {
		return nil, unusable("x5c is missing; send the certificate in base64")
	}
	der, err := base64.StdEncoding.DecodeString(j.Chain[0])
	if err != nil {
		return nil, unusable("x5c is not base64")
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, unusable("x5c is no certificate")
	}
	key, ok := c.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < minBits || key.N.BitLen() > maxBits {
		return nil, unusable("the certificate needs an RSA key of 2048 to 8192 bits")
	}
	n, err1 := base64.RawURLEncoding.DecodeString(strings.TrimRight(j.N, "="))
	e, err2 := base64.RawURLEncoding.DecodeString(strings.TrimRight(j.E, "="))
	if err1 != nil || err2 != nil || new(big.Int).SetBytes(n).Cmp(key.N) != 0 || new(big.Int).SetBytes(e).Cmp(big.NewInt(int64(key.E))) != 0 {
		return nil, unusable("n and e are not the key of the certificate in x5c")
	}
	if strings.TrimRight(j.Thumbprint, "=") != quorum.Thumbprint(der) {
		return nil, unusable("x5t#S256 is not the SHA-256 of the certificate in x5c, in base64url")
	}
	return c, nil
}
