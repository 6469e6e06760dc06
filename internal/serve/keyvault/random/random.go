// Package random is the random bytes of the Key Vault front door (contract §1.2).
package random

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
)

// Operations are the routes.
func Operations(s *keys.Service) []wire.Operation {
	return []wire.Operation{{Name: "KeyGetRandomBytes", Method: "POST", Path: "/rng", Handle: door{s}.get}}
}

type door struct{ s *keys.Service }

// get is POST /rng: GetRandomBytesRequest to RandomBytes.
func (d door) get(ctx context.Context, q *wire.Request) (wire.Response, error) {
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
