package issuers

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// delete is DELETE /certificates/issuers/{name}: IssuerBundle as it was.
func (d door) delete(ctx context.Context, q *wire.Request) (wire.Response, error) {
	i, err := d.s.Delete(ctx, q.Caller, q.Ref())
	return answer(q, i, err)
}
