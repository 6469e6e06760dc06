package secrets

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/secrets"
)

// update is PATCH /secrets/{name}/{version?}: SecretUpdateParameters to SecretBundle
// without its value.
func (d door) update(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		ContentType *string           `json:"contentType"`
		Attributes  *wire.Attributes  `json:"attributes"`
		Tags        map[string]string `json:"tags"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	e, err := d.s.Update(ctx, q.Caller, q.Ref(), secrets.UpdateRequest{ContentType: in.ContentType, Attributes: in.Attributes.Set(in.Tags)})
	if err != nil {
		return wire.Response{}, err
	}
	b, err := describe(q, e, e.Version.ID)
	return wire.Response{Body: b}, err
}
