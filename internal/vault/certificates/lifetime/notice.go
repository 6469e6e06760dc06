package lifetime

import (
	"context"
	"crypto/x509"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keystore/p256k/certificate"
	"chatelaine.dev/internal/vault/object"
)

// Notice is what a mail says, and to whom.
type Notice struct {
	To      contact.Contact
	Vault   string
	Name    string
	Version string
	Subject string // of the certificate
	Serial  string // hex
	Names   []string
	Expires time.Time
	Renews  time.Time // when the policy renews it; zero when somebody must
}

// Notice returns what a mail that waits is to say. fault.NotFound when it is to be
// forgotten: the contact, the version or the vault is gone. It does not authorise; the
// policy's author wanted the contact told.
func (s *Service) Notice(ctx context.Context, m Mail) (Notice, error) {
	v, err := s.Vaults.Open(ctx, m.Vault)
	if err != nil {
		return Notice{}, err
	}
	contacts, err := contact.Find(ctx, v)
	if err != nil {
		return Notice{}, err
	}
	n := Notice{Vault: v.Name}
	for _, c := range contacts {
		if c.Key() == m.Contact {
			n.To = c
		}
	}
	if n.To.Email == "" {
		return Notice{}, fault.New(fault.NotFound, "ContactNotFound", "the contact was removed since")
	}
	e, err := v.Read(ctx, object.Certificates, m.Name, m.Version)
	if err != nil {
		return Notice{}, err
	}
	c, err := certificates.Of(e)
	if err != nil {
		return Notice{}, err
	}
	leaf, err := certificate.Parse(c.Body.Certificate)
	if err != nil {
		return Notice{}, err
	}
	n.Name, n.Version, n.Expires = e.Head.Name, e.Version.ID, e.Version.Expires
	n.Serial, n.Names = leaf.SerialNumber.Text(16), names(leaf)
	if n.Subject, err = policy.FormatName(leaf.RawSubject); err != nil {
		n.Subject = ""
	}
	if e.Version.ID == e.Head.Latest {
		n.Renews = renewal(c, e.Version.NotBefore, e.Version.Expires)
	}
	return n, nil
}

// names are those that a reader knows a certificate by.
func names(leaf *x509.Certificate) []string {
	list := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		list = append(list, ip.String())
	}
	return append(list, leaf.EmailAddresses...)
}
