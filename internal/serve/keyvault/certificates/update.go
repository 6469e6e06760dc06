package certificates

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
)

// update is PATCH /certificates/{name}/{version?}: CertificateUpdateParameters to
// CertificateBundle.
func (d door) update(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Policy     *policy.Policy    `json:"policy"`
		Attributes *wire.Attributes  `json:"attributes"`
		Tags       map[string]string `json:"tags"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	c, err := d.s.Update(ctx, q.Caller, q.Ref(), certificates.UpdateRequest{Attributes: in.Attributes.Set(in.Tags), Policy: in.Policy})
	return answer(q, c, err)
}
