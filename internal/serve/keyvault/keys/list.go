package keys

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/object"
)

// list is GET /keys: a page of KeyItem.
func (d door) list(ctx context.Context, q *wire.Request) (wire.Response, error) {
	p, err := q.Page()
	if err != nil {
		return wire.Response{}, err
	}
	l, err := d.s.List(ctx, q.Caller, q.Vault, p)
	return wire.Listed(q, "/keys", l, err, func(e object.Entry) (item, error) { return itemOf(q, e, "") })
}

// versions is GET /keys/{name}/versions: a page of KeyItem with versions.
func (d door) versions(ctx context.Context, q *wire.Request) (wire.Response, error) {
	p, err := q.Page()
	if err != nil {
		return wire.Response{}, err
	}
	l, err := d.s.Versions(ctx, q.Caller, q.Ref(), p)
	return wire.Listed(q, "/keys/"+q.Name+"/versions", l, err, func(e object.Entry) (item, error) { return itemOf(q, e, e.Version.ID) })
}

// listDeleted is GET /deletedkeys: a page of DeletedKeyItem.
func (d door) listDeleted(ctx context.Context, q *wire.Request) (wire.Response, error) {
	p, err := q.Page()
	if err != nil {
		return wire.Response{}, err
	}
	l, err := d.s.ListDeleted(ctx, q.Caller, q.Vault, p)
	return wire.Listed(q, "/deletedkeys", l, err, func(e object.Entry) (item, error) {
		x, err := itemOf(q, e, "")
		x.Deleted = q.DeletedOf(object.Keys, e)
		return x, err
	})
}
