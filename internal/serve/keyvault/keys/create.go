package keys

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
)

// create is POST /keys/{name}/create: KeyCreateParameters to KeyBundle.
func (d door) create(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Type          string            `json:"kty"`
		Size          int               `json:"key_size"`
		Exponent      int               `json:"public_exponent"`
		Curve         string            `json:"crv"`
		Algorithm     string            `json:"alg"`
		Ops           []keys.Operation  `json:"key_ops"`
		Attributes    *attributes       `json:"attributes"`
		Tags          map[string]string `json:"tags"`
		ReleasePolicy *releasePolicy    `json:"release_policy"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	e, err := d.s.Create(ctx, q.Caller, q.Ref(), keys.CreateRequest{
		Type: in.Type, Bits: in.Size, Exponent: in.Exponent, Curve: in.Curve, Algorithm: in.Algorithm, Ops: in.Ops,
		Exposure: in.Attributes.exposure(in.ReleasePolicy), Attributes: in.Attributes.set(in.Tags),
	})
	return answer(q, e, err)
}
