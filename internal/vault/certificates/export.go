package certificates

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/pfx"
	"chatelaine.dev/internal/vault/secrets"
)

// Export returns the private key and the certificates of a version, or of the latest, in
// the order of its secret, for deployment. It needs the right to read secrets and is
// recorded, as CertificateExport, before it returns. A key that was made not to be
// exported is fault.Denied.
func (s *Service) Export(ctx context.Context, c access.Caller, r object.Ref) (b pfx.Bundle, err error) {
	err = s.shelf.Call(ctx, c, export, r, func(v *object.Vault) error {
		e, err := s.shelf.Find(ctx, v, r)
		if err != nil {
			return err
		}
		cert, err := Of(e)
		if err != nil {
			return err
		}
		if !cert.Issued() {
			return fault.New(fault.Conflict, "Conflict", "The first version of the certificate %s is still pending; merge what the CA issued, then try again.", r.Name)
		}
		if !cert.Version.Enabled {
			return fault.New(fault.Denied, "CertificateDisabled", "Operation export is not allowed on a disabled certificate.")
		}
		if !cert.Body.Exportable {
			return fault.New(fault.Denied, "KeyNotExportable", "The key of the certificate %s was made not to leave the vault; use it there, or create a version with exportable true in key_props.", r.Name)
		}
		if b, err = s.reveal(ctx, v, cert); err != nil {
			return err
		}
		leaf, err := b.Leaf()
		if err != nil {
			return err
		}
		return s.shelf.Done(ctx, c, export, versioned(r, cert.Version.ID), told(leaf, cert.Policy.Issuer))
	})
	if err != nil {
		return pfx.Bundle{}, err
	}
	return b, nil
}

// reveal reads the secret of a version.
func (s *Service) reveal(ctx context.Context, v *object.Vault, cert Certificate) (pfx.Bundle, error) {
	e, err := v.Read(ctx, object.Secrets, cert.Head.Name, cert.Version.ID)
	if err != nil {
		return pfx.Bundle{}, err
	}
	body, err := secrets.BodyOf(e.Version)
	if err != nil {
		return pfx.Bundle{}, err
	}
	q := ImportRequest{Value: Encoded(body.Value)}
	b, _, err := q.read()
	return b, err
}
