package keys

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
)

// keyAttestation is KeyAttestation.
type keyAttestation struct {
	Certificates keys.Bytes `json:"certificatePemFile,omitempty"`
	Private      keys.Bytes `json:"privateKeyAttestation,omitempty"`
	Public       keys.Bytes `json:"publicKeyAttestation,omitempty"`
	Version      string     `json:"version,omitempty"`
}

// attestation is GET /keys/{name}/{version?}/attestation: KeyBundle with
// attributes.attestation.
func (d door) attestation(ctx context.Context, q *wire.Request) (wire.Response, error) {
	e, a, err := d.Evidence.Attest(ctx, q.Caller, q.Ref())
	if err != nil {
		return wire.Response{}, err
	}
	b, err := describe(q, e)
	b.Attributes.Attestation = &keyAttestation{Certificates: a.Certificates, Private: a.Private, Public: a.Public, Version: a.Version}
	return wire.Response{Body: b}, err
}
