package keys

import (
	"context"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
)

// importKey is PUT /keys/{name}: KeyImportParameters to KeyBundle.
func (d door) importKey(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Key           *keys.PrivateJWK  `json:"key"`
		HSM           bool              `json:"Hsm"`
		Attributes    *attributes       `json:"attributes"`
		Tags          map[string]string `json:"tags"`
		ReleasePolicy *releasePolicy    `json:"release_policy"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	if in.Key == nil {
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The parameter key is required.")
	}
	e, err := d.s.Import(ctx, q.Caller, q.Ref(), keys.ImportRequest{
		Key: *in.Key, HSM: in.HSM, Exposure: in.Attributes.exposure(in.ReleasePolicy), Attributes: in.Attributes.set(in.Tags),
	})
	return answer(q, e, err)
}
