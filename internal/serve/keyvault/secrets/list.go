package secrets

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/object"
)

// list is GET /secrets: a page of SecretItem.
func (d door) list(ctx context.Context, q *wire.Request) (wire.Response, error) {
	p, err := q.Page()
	if err != nil {
		return wire.Response{}, err
	}
	l, err := d.s.List(ctx, q.Caller, q.Vault, p)
	return wire.Listed(q, "/secrets", l, err, func(e object.Entry) (bundle, error) { return describe(q, e, "") })
}

// versions is GET /secrets/{name}/versions: a page of SecretItem with versions.
func (d door) versions(ctx context.Context, q *wire.Request) (wire.Response, error) {
	p, err := q.Page()
	if err != nil {
		return wire.Response{}, err
	}
	l, err := d.s.Versions(ctx, q.Caller, q.Ref(), p)
	return wire.Listed(q, "/secrets/"+q.Name+"/versions", l, err, func(e object.Entry) (bundle, error) {
		b, err := describe(q, e, e.Version.ID)
		b.PreviousVersion = ""
		return b, err
	})
}

// listDeleted is GET /deletedsecrets: a page of DeletedSecretItem.
func (d door) listDeleted(ctx context.Context, q *wire.Request) (wire.Response, error) {
	p, err := q.Page()
	if err != nil {
		return wire.Response{}, err
	}
	l, err := d.s.ListDeleted(ctx, q.Caller, q.Vault, p)
	return wire.Listed(q, "/deletedsecrets", l, err, func(e object.Entry) (bundle, error) {
		b, err := describe(q, e, "")
		b.Deleted = q.DeletedOf(object.Secrets, e)
		return b, err
	})
}
