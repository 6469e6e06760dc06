package vaults

import (
	"context"
	"net/http"
	"net/url"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/arm/wire"
)

// purge answers as one that takes its time, because that is what clients expect. It is
// over when it answers.
func (d Deps) purge(ctx context.Context, q *wire.Request) (wire.Response, error) {
	if err := d.Vaults.Purge(ctx, q.Caller, q.Params["vault"]); err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Status: http.StatusAccepted, Location: q.Base + q.Root() + "/providers/Microsoft.KeyVault/locations/" + url.PathEscape(q.Params["location"]) +
		"/operationResults/" + url.PathEscape(q.Params["vault"]) + "?api-version=" + url.QueryEscape(q.Query.Get("api-version"))}, nil
}

// purged reports how a purge ended: with nothing left.
func (d Deps) purged(ctx context.Context, q *wire.Request) (wire.Response, error) {
	_, err := d.Vaults.GetDeleted(ctx, q.Caller, q.Params["vault"])
	if fault.HasCode(err, "DeletedVaultNotFound") {
		return wire.Response{}, nil
	}
	return wire.Response{Status: http.StatusAccepted}, err
}
