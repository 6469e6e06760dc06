package vaults

import (
	"context"

	"chatelaine.dev/internal/serve/arm/wire"
)

func (d Deps) patch(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var r request
	if err := q.Decode(&r); err != nil {
		return wire.Response{}, err
	}
	ch, err := r.Properties.change(q, r.Tags)
	if err != nil {
		return wire.Response{}, err
	}
	if _, err := d.find(ctx, q, keyVault); err != nil {
		return wire.Response{}, err
	}
	v, err := d.Vaults.Update(ctx, q.Caller, q.Params["vault"], ch)
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: modelOf(q, v)}, nil
}
