package keys

import (
	"context"
	"net/http"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/object"
)

// delete is DELETE /keys/{name}: DeletedKeyBundle.
func (d door) delete(ctx context.Context, q *wire.Request) (wire.Response, error) {
	e, err := d.s.Delete(ctx, q.Caller, q.Ref())
	return deleted(q, e, err)
}

// getDeleted is GET /deletedkeys/{name}: DeletedKeyBundle.
func (d door) getDeleted(ctx context.Context, q *wire.Request) (wire.Response, error) {
	e, err := d.s.GetDeleted(ctx, q.Caller, q.Ref())
	return deleted(q, e, err)
}

func deleted(q *wire.Request, e object.Entry, err error) (wire.Response, error) {
	if err != nil {
		return wire.Response{}, err
	}
	b, err := describe(q, e)
	b.Deleted = q.DeletedOf(object.Keys, e)
	return wire.Response{Body: b}, err
}

// recover is POST /deletedkeys/{name}/recover: KeyBundle.
func (d door) recover(ctx context.Context, q *wire.Request) (wire.Response, error) {
	e, err := d.s.Recover(ctx, q.Caller, q.Ref())
	return answer(q, e, err)
}

// purge is DELETE /deletedkeys/{name}: 204.
func (d door) purge(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return wire.Response{Status: http.StatusNoContent}, d.s.Purge(ctx, q.Caller, q.Ref())
}
