package vaults

import (
	"context"

	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/object"
)

// list answers for a group, or for the subscription where the path names none.
func (d Deps) list(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return listOf(ctx, d, q, keyVault, modelOf)
}

// listOf answers a page of vaults of a kind, each as item makes it.
func listOf[T any](ctx context.Context, d Deps, q *wire.Request, kind kindOf, item func(*wire.Request, *object.Vault) T) (wire.Response, error) {
	page, err := q.Page()
	if err != nil {
		return wire.Response{}, err
	}
	found, err := d.Vaults.Find(ctx, q.Caller, vault.Query{Kind: &kind.kind, Group: q.Params["group"], After: page.After, Limit: page.Limit})
	if err != nil {
		return wire.Response{}, err
	}
	items := make([]T, 0, len(found))
	for _, v := range found {
		items = append(items, item(q, v))
	}
	out := wire.List{Value: items}
	if len(found) == page.Limit {
		path := q.Root()
		if g := q.Params["group"]; g != "" {
			path += "/resourceGroups/" + g
		}
		out.NextLink = q.Next(path+"/providers/Microsoft.KeyVault/"+kind.typ, found[len(found)-1].Name)
	}
	return wire.Response{Body: out}, nil
}
