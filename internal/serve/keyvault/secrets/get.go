package secrets

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// get is GET /secrets/{name}/{version?}[?outContentType]: SecretBundle.
func (d door) get(ctx context.Context, q *wire.Request) (wire.Response, error) {
	e, body, err := d.s.GetAs(ctx, q.Caller, q.Ref(), q.Query.Get("outContentType"))
	if err != nil {
		return wire.Response{}, err
	}
	b, err := describe(q, e, e.Version.ID)
	value := string(body.Value)
	b.Value, b.ContentType = &value, body.ContentType
	return wire.Response{Body: b}, err
}
