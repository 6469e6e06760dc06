package vaults

import (
	"context"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/arm/wire"
)

type availability struct {
	Available bool   `json:"nameAvailable"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
}

func (d Deps) checkName(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var r struct {
		Name string `json:"name"`
	}
	if err := q.Decode(&r); err != nil {
		return wire.Response{}, err
	}
	err := d.Vaults.Available(ctx, q.Caller, r.Name)
	switch f := fault.Of(err); {
	case err == nil:
		return wire.Response{Body: availability{Available: true}}, nil
	case f.Kind == fault.Conflict:
		return wire.Response{Body: availability{Reason: "AlreadyExists", Message: f.Message}}, nil
	case f.Kind == fault.Invalid:
		return wire.Response{Body: availability{Reason: "AccountNameInvalid", Message: f.Message}}, nil
	}
	return wire.Response{}, err
}
