package vaults

import (
	"context"
	"net/http"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/arm/wire"
)

// delete answers 204 where there is nothing to delete, as a resource manager does.
func (d Deps) delete(ctx context.Context, q *wire.Request) (wire.Response, error) {
	_, err := d.find(ctx, q, keyVault)
	if fault.Is(err, fault.NotFound) {
		return wire.Response{Status: http.StatusNoContent}, nil
	}
	if err == nil {
		_, err = d.Vaults.Delete(ctx, q.Caller, q.Params["vault"])
	}
	return wire.Response{}, err
}
