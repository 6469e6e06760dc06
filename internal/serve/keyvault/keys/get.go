package keys

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// get is GET /keys/{name}/{version?}: KeyBundle.
func (d door) get(ctx context.Context, q *wire.Request) (wire.Response, error) {
	e, err := d.s.Get(ctx, q.Caller, q.Ref())
	return answer(q, e, err)
}
