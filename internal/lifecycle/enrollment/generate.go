package enrollment

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	keystore "github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/vault/pfx"
)

// Format is a file with a key and its certificates.
type Format string

// The formats. PEM has no password.
const (
	PFX Format = "pfx" // PKCS #12 with AES-256 and SHA-256
	PEM Format = "pem"
	JKS Format = "jks" // what Java before 9 reads; its protection is weak
)

// alias is what the key is called in a JKS.
const alias = "key"

// Making asks for a key and a certificate for it, on the direct road.
type Making struct {
	Ask             // without CSR; CommonName and Names say what it is for
	Key      string // as profiles name it; empty: P-256
	Format   Format
	Password access.Secret
	// Keep has the vault keep it too: otherwise the key is in the answer and nowhere else.
	Keep *lineage.Keep
}

// Made is what came of it.
type Made struct {
	Enrolled
	Bundle connector.Secret // key, certificate and chain, in the format
}

const minPassword = 8

// Generate makes a key and has it certified at once, or not at all: nobody could come back
// for the key. The caller needs the right to issue by the profile, and to put certificates
// into the vault if it is to keep this one.
func (s *Service) Generate(ctx context.Context, c access.Caller, m Making) (Made, error) {
	if m.Key == "" {
		m.Key = "P-256"
	}
	if err := m.check(); err != nil {
		return Made{}, err
	}
	p, err := s.entitled(ctx, c, &m.Ask)
	if err != nil { // before a key is made: that is work
		return Made{}, err
	}
	if !slices.Contains(p.Keys, m.Key) {
		return Made{}, fault.New(fault.Invalid, "KeyNotAllowed", "profile %s does not certify a key of type %.20s; use one of %q", p.Name, m.Key, p.Keys)
	}
	key, err := NewKey(m.Key)
	if err != nil {
		return Made{}, err
	}
	if m.CSR, err = request(lineage.Wanted{CommonName: m.CommonName, Names: m.Names}, key); err != nil {
		return Made{}, err
	}
	m.AtOnce = true
	made, err := s.Enroll(ctx, c, m.Ask)
	if err != nil {
		return Made{}, err
	}
	file, err := s.hand(ctx, c, m, made, key)
	if err != nil {
		return Made{}, s.forsake(ctx, made, err)
	}
	return Made{made, connector.NewSecret(file)}, nil
}

// hand writes the file that the caller gets, and then has the vault keep what is in it.
func (s *Service) hand(ctx context.Context, c access.Caller, m Making, made Enrolled, key crypto.Signer) ([]byte, error) {
	b := pfx.Bundle{Key: key}
	for _, der := range append([][]byte{made.Certificate}, made.Chain...) {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		b.Certificates = append(b.Certificates, parsed)
	}
	file, err := m.encode(b, s.Now())
	if err != nil || m.Keep == nil {
		return file, err
	}
	return file, s.store(ctx, c, *m.Keep, made, key)
}

func (m Making) check() error {
	if err := m.checkPassword(); err != nil {
		return err
	}
	if m.CommonName == "" && m.Names.Count() == 0 {
		return fault.New(fault.Invalid, "TooFewNames", "the certificate would name nobody; ask for a common name or an alternative name")
	}
	return nil
}

// checkPassword refuses, before anything is issued, a password by which no file can be
// written, or none that its readers open.
func (m Making) checkPassword() error {
	password, most := m.Password.Reveal(), rune(0)
	switch m.Format {
	case PEM:
		if password != "" {
			return fault.New(fault.Invalid, "InvalidPassword", "a PEM file has no password; use pfx, or leave the password out")
		}
		return nil
	case PFX:
		most = 0xffff // a BMPString: RFC 7292 appendix B.1
	case JKS:
		most = '~' // Java takes UTF-16 where others take bytes; of ASCII both are the same
	default:
		return fault.New(fault.Invalid, "UnknownFormat", "%.20q is no format; use pfx, pem or jks", m.Format)
	}
	if utf8.RuneCountInString(password) < minPassword {
		return fault.New(fault.Invalid, "InvalidPassword", "the file's password has %d characters at least", minPassword)
	}
	for _, r := range password {
		if r > most || r == utf8.RuneError || unicode.IsControl(r) {
			return fault.New(fault.Invalid, "InvalidPassword", "the file's password has a character that a file of the format %s cannot have; use letters, digits and signs of ASCII", m.Format)
		}
	}
	return nil
}

// store puts the bundle into a vault, in the caller's name.
func (s *Service) store(ctx context.Context, c access.Caller, k lineage.Keep, made Enrolled, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if _, err = s.Vault.Keep(ctx, c, k, connector.Bundle{Certificate: made.Certificate, Chain: made.Chain, Key: connector.NewSecret(der)}); err != nil {
		return fmt.Errorf("put the certificate into vault %s: %w", k.Vault, err)
	}
	return nil
}

// forsake revokes a certificate whose key nobody gets, also when the caller has gone away,
// and returns the cause.
func (s *Service) forsake(ctx context.Context, made Enrolled, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forsaking)
	defer cancel()
	issuer, err := s.Issuers.Issuer(ctx, made.Authority)
	if err == nil {
		err = issuer.Revoke(ctx, connector.Revocation{Certificate: made.Certificate, Reason: connector.CessationOfOperation})
	}
	if err != nil {
		return fmt.Errorf("%w; and revoke it: %w", cause, err)
	}
	return cause
}

// forsaking is how long a revocation may take that does not end with the caller.
const forsaking = time.Minute

func (m Making) encode(b pfx.Bundle, now time.Time) ([]byte, error) {
	switch m.Format {
	case PEM:
		return pfx.EncodePEM(b)
	case JKS:
		return encodeJKS(b, m.Password, now)
	}
	return pkcs12.Modern2023.Encode(b.Key, b.Certificates[0], b.Certificates[1:], m.Password.Reveal())
}

func encodeJKS(b pfx.Bundle, password access.Secret, now time.Time) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(b.Key)
	if err != nil {
		return nil, err
	}
	e := keystore.PrivateKeyEntry{CreationTime: now, PrivateKey: der}
	for _, c := range b.Certificates {
		e.CertificateChain = append(e.CertificateChain, keystore.Certificate{Type: "X509", Content: c.Raw})
	}
	ks := keystore.New()
	if err := ks.SetPrivateKeyEntry(alias, e, []byte(password.Reveal())); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "InvalidPassword", "no JKS can be made with this password")
	}
	var out bytes.Buffer
	err = ks.Store(&out, []byte(password.Reveal()))
	return out.Bytes(), err
}

// NewKey makes a key of a kind, as profiles name it, in memory.
func NewKey(kind string) (crypto.Signer, error) {
	switch kind {
	case "RSA 2048":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "RSA 3072":
		return rsa.GenerateKey(rand.Reader, 3072)
	case "RSA 4096":
		return rsa.GenerateKey(rand.Reader, 4096)
	case "P-256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "P-384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "P-521":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "Ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fault.New(fault.Invalid, "KeyNotAllowed", "no key of type %s is made here", kind)
}
