package keys

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
)

// update is PATCH /keys/{name}/{version?}: KeyUpdateParameters to KeyBundle.
func (d door) update(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Ops           []keys.Operation  `json:"key_ops"`
		Attributes    *attributes       `json:"attributes"`
		Tags          map[string]string `json:"tags"`
		ReleasePolicy *releasePolicy    `json:"release_policy"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	e, err := d.s.Update(ctx, q.Caller, q.Ref(), keys.UpdateRequest{
		Ops: in.Ops, Exposure: in.Attributes.exposure(in.ReleasePolicy), Attributes: in.Attributes.set(in.Tags),
	})
	return answer(q, e, err)
}
