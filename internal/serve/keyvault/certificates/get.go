package certificates

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// get is GET /certificates/{name}/{version?}: CertificateBundle.
func (d door) get(ctx context.Context, q *wire.Request) (wire.Response, error) {
	c, err := d.s.Get(ctx, q.Caller, q.Ref())
	return answer(q, c, err)
}
