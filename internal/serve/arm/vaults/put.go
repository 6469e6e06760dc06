package vaults

import (
	"context"
	"strings"

	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault/object"
)

// request is a vault as clients write it.
type request struct {
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties properties        `json:"properties"`
}

func isPremium(name string) (bool, error) {
	switch strings.ToLower(name) {
	case "standard":
		return false, nil
	case "premium":
		return true, nil
	}
	return false, wire.Unsupported("The SKU must be standard or premium, not %.40q.", name)
}

// put makes or changes a vault, or recovers a deleted one. Access policies decide in a new
// vault unless enableRbacAuthorization says otherwise, as with every api-version that is
// older than 2026.
func (d Deps) put(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var r request
	if err := q.Decode(&r); err != nil {
		return wire.Response{}, err
	}
	if strings.EqualFold(r.Properties.CreateMode, "recover") {
		v, err := d.Vaults.Recover(ctx, q.Caller, q.Params["vault"])
		if err != nil {
			return wire.Response{}, err
		}
		return wire.Response{Body: modelOf(q, v)}, nil
	}
	if r.Tags == nil {
		r.Tags = map[string]string{} // a PUT says all there is
	}
	ch, err := r.Properties.change(q, r.Tags)
	if err != nil {
		return wire.Response{}, err
	}
	fresh := object.Settings{Group: q.Params["group"], Location: r.Location, PolicyMode: true}
	v, created, err := d.Vaults.Put(ctx, q.Caller, q.Params["vault"], fresh, ch)
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Status: wire.Created(created), Body: modelOf(q, v)}, nil
}
