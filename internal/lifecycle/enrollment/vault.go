package enrollment

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/pfx"
)

// Certificates keeps what was issued in the certificates of our own vaults, and gives it
// up for deployment.
type Certificates struct{ *certificates.Service }

// Keep implements Vault.
func (v Certificates) Keep(ctx context.Context, c access.Caller, k lineage.Keep, b connector.Bundle) (string, error) {
	ref := object.Ref{Vault: k.Vault, Name: k.Name}
	newest, err := v.Get(ctx, c, ref)
	switch {
	case err == nil && bytes.Equal(newest.Body.Certificate, b.Certificate):
		return newest.Version.ID, nil // kept before the process was killed
	case err != nil && !fault.Is(err, fault.NotFound):
		return "", err
	}
	var q certificates.ImportRequest
	if q.Bundle.Key, err = x509.ParsePKCS8PrivateKey(b.Key.Reveal()); err != nil {
		return "", fmt.Errorf("the key of the request: %w", err)
	}
	for _, der := range append([][]byte{b.Certificate}, b.Chain...) {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return "", fmt.Errorf("the certificates of the request: %w", err)
		}
		q.Bundle.Certificates = append(q.Bundle.Certificates, parsed)
	}
	kept, err := v.Import(ctx, c, ref, q)
	return kept.Version.ID, err
}

// Bundle implements deployment.Bundles.
func (v Certificates) Bundle(ctx context.Context, c access.Caller, k lineage.Keep, version string) (connector.Bundle, error) {
	ref := object.Ref{Vault: k.Vault, Name: k.Name, Version: version}
	exported, err := v.Export(ctx, c, ref)
	if fault.HasCode(err, "KeyNotExportable") {
		return v.withoutKey(ctx, c, ref)
	}
	if err != nil {
		return connector.Bundle{}, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(exported.Key)
	if err != nil {
		return connector.Bundle{}, err
	}
	b, err := bundle(exported)
	b.Key = connector.NewSecret(key)
	return b, err
}

// withoutKey is for targets that use the key where it is, or need none.
func (v Certificates) withoutKey(ctx context.Context, c access.Caller, ref object.Ref) (connector.Bundle, error) {
	found, err := v.Get(ctx, c, ref)
	if err != nil {
		return connector.Bundle{}, err
	}
	return connector.Bundle{Certificate: found.Body.Certificate, Chain: withoutRoot(found.Body.Chain)}, nil
}

// Deliver implements Orders.
func (v Certificates) Deliver(ctx context.Context, c access.Caller, k lineage.Keep, order string, b connector.Bundle) (string, error) {
	return v.Service.Deliver(ctx, c, object.Ref{Vault: k.Vault, Name: k.Name}, order, append([][]byte{b.Certificate}, b.Chain...))
}

// Refuse implements Orders.
func (v Certificates) Refuse(ctx context.Context, c access.Caller, k lineage.Keep, order, code, message string) error {
	return v.Service.Refuse(ctx, c, object.Ref{Vault: k.Vault, Name: k.Name}, order, certificates.Failure{Code: code, Message: message})
}

func bundle(p pfx.Bundle) (connector.Bundle, error) {
	list, err := p.LeafFirst()
	if err != nil {
		return connector.Bundle{}, err
	}
	b := connector.Bundle{Certificate: list[0].Raw}
	for _, c := range list[1:] {
		b.Chain = append(b.Chain, c.Raw)
	}
	b.Chain = withoutRoot(b.Chain)
	return b, nil
}
