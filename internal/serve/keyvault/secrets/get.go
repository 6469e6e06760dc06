package secrets

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// get is GET /secrets/{name}/{version?}: SecretBundle.
func (d door) get(ctx context.Context, q *wire.Request) (wire.Response, error) {
	e, body, err := d.s.Get(ctx, q.Caller, q.Ref())
	if err != nil {
		return wire.Response{}, err
	}
	b, err := describe(q, e, e.Version.ID)
	value := string(body.Value)
	b.Value = &value
	return wire.Response{Body: b}, err
}
