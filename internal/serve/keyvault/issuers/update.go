package issuers

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// update is PATCH /certificates/issuers/{name}: CertificateIssuerUpdateParameters to
// IssuerBundle.
func (d door) update(ctx context.Context, q *wire.Request) (wire.Response, error) {
	in, err := request(q)
	if err != nil {
		return wire.Response{}, err
	}
	i, err := d.s.Update(ctx, q.Caller, q.Ref(), in)
	return answer(q, i, err)
}
