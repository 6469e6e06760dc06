package issuers

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// get is GET /certificates/issuers/{name}: IssuerBundle.
func (d door) get(ctx context.Context, q *wire.Request) (wire.Response, error) {
	i, err := d.s.Get(ctx, q.Caller, q.Ref())
	return answer(q, i, err)
}
