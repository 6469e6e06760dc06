package keys

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
)

// random is POST /rng: GetRandomBytesRequest to RandomBytes.
func (d door) random(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Count int `json:"count"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	value, err := d.s.RandomBytes(ctx, q.Caller, q.Vault, in.Count)
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: struct {
		Value keys.Bytes `json:"value"`
	}{value}}, nil
}
