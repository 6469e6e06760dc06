package secrets

import (
	"context"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/secrets"
)

// set is PUT /secrets/{name}: SecretSetParameters to SecretBundle.
func (d door) set(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Value       *string           `json:"value"`
		ContentType string            `json:"contentType"`
		Attributes  *wire.Attributes  `json:"attributes"`
		Tags        map[string]string `json:"tags"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	if in.Value == nil {
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The parameter value is required.")
	}
	e, err := d.s.Set(ctx, q.Caller, q.Ref(), secrets.SetRequest{
		Value: secrets.Value(*in.Value), ContentType: in.ContentType, Attributes: in.Attributes.Set(in.Tags),
	})
	if err != nil {
		return wire.Response{}, err
	}
	b, err := describe(q, e, e.Version.ID)
	b.Value = in.Value
	return wire.Response{Body: b}, err
}
