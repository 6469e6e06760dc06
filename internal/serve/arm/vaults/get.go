package vaults

import (
	"context"

	"chatelaine.dev/internal/serve/arm/wire"
)

func (d Deps) get(ctx context.Context, q *wire.Request) (wire.Response, error) {
	v, err := d.find(ctx, q, keyVault)
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: modelOf(q, v)}, nil
}
