package est

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"slices"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/pki/cms"
	"chatelaine.dev/internal/pki/profile"
)

// Generated is a key that we made with the certificate for it. The key is nowhere else.
type Generated struct {
	Key         connector.Secret // PKCS #8, DER
	Certificate []byte           // DER
}

// Requests for the key to be encrypted: DecryptKeyIdentifier and
// AsymmetricDecryptKeyIdentifier (RFC 7030 sections 4.4.1.1 and 4.4.1.2).
var (
	oidDecryptKey           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 37}
	oidAsymmetricDecryptKey = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 54}
)

// ServerKeygen answers serverkeygen: a key of the CSR's kind and a certificate for it, with
// the CSR's names. It is answered at once or not at all, because the key is not kept.
func (s *Service) ServerKeygen(ctx context.Context, v Visitor, name string, csr []byte) (Generated, error) {
	const operation = "ESTServerKeygen"
	p, err := s.open(name)
	if err != nil {
		return Generated{}, err
	}
	c, err := s.identify(ctx, p, v, operation)
	if err != nil {
		return Generated{}, err
	}
	if !p.Doors.EST.ServerKeygen {
		return Generated{}, s.refuse(ctx, v, p.Name, operation, fault.New(fault.Denied, "NoServerKeygen", "no keys are made here for the profile %s; make one yourself and use simpleenroll", p.Name))
	}
	q, err := read(csr)
	if err != nil {
		return Generated{}, err
	}
	for _, kind := range []asn1.ObjectIdentifier{oidDecryptKey, oidAsymmetricDecryptKey} {
		if _, wanted := cms.Attribute(q.csr, kind); wanted {
			return Generated{}, fault.New(fault.Invalid, "NoKeyEncryption", "the key is protected by TLS alone; leave out the attribute that wants it encrypted besides, or make the key yourself")
		}
	}
	if kind := profile.KeyName(q.csr.PublicKey); !slices.Contains(p.Keys, kind) {
		return Generated{}, fault.New(fault.Invalid, "KeyNotAllowed", "profile %s does not certify a key of type %s; use one of %q", p.Name, kind, p.Keys)
	}
	release, err := s.mayHave(ctx, p, v, &c, q)
	if err != nil {
		return Generated{}, s.refuse(ctx, v, p.Name, operation, err)
	}
	key, fresh, err := generate(q) // after mayHave: it is work that no stranger shall have us do
	if err != nil {
		return Generated{}, err
	}
	made, err := s.ask(ctx, p, c, wish{question: fresh, passcode: release, atOnce: true})
	if err != nil {
		return Generated{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Generated{}, err
	}
	return Generated{Key: connector.NewSecret(der), Certificate: made.Certificate}, nil
}

// generate makes a key of the kind that the CSR has, and a CSR of it with the same names.
func generate(q question) (crypto.Signer, question, error) {
	key, err := enrollment.NewKey(profile.KeyName(q.csr.PublicKey))
	if err != nil {
		return nil, question{}, err
	}
	t := x509.CertificateRequest{
		Subject: q.csr.Subject, DNSNames: q.csr.DNSNames, EmailAddresses: q.csr.EmailAddresses, IPAddresses: q.csr.IPAddresses, URIs: q.csr.URIs,
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &t, key)
	if err != nil {
		return nil, question{}, fault.Wrap(err, fault.Invalid, "BadName", "the names do not fit into a certificate request")
	}
	fresh, err := read(der)
	return key, fresh, err
}
