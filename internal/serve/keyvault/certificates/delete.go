package certificates

import (
	"context"
	"net/http"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/object"
)

// delete is DELETE /certificates/{name}: DeletedCertificateBundle.
func (d door) delete(ctx context.Context, q *wire.Request) (wire.Response, error) {
	c, err := d.s.Delete(ctx, q.Caller, q.Ref())
	return deleted(q, c, err)
}

// getDeleted is GET /deletedcertificates/{name}: DeletedCertificateBundle.
func (d door) getDeleted(ctx context.Context, q *wire.Request) (wire.Response, error) {
	c, err := d.s.GetDeleted(ctx, q.Caller, q.Ref())
	return deleted(q, c, err)
}

func deleted(q *wire.Request, c certificates.Certificate, err error) (wire.Response, error) {
	if err != nil {
		return wire.Response{}, err
	}
	b := describe(q, c)
	b.Deleted = q.DeletedOf(object.Certificates, c.Entry)
	return wire.Response{Body: b}, nil
}

// recover is POST /deletedcertificates/{name}/recover: CertificateBundle.
func (d door) recover(ctx context.Context, q *wire.Request) (wire.Response, error) {
	c, err := d.s.Recover(ctx, q.Caller, q.Ref())
	return answer(q, c, err)
}

// purge is DELETE /deletedcertificates/{name}: 204.
func (d door) purge(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return wire.Response{Status: http.StatusNoContent}, d.s.Purge(ctx, q.Caller, q.Ref())
}
