package certificates

import (
	"context"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
)

// pending is GET /certificates/{name}/pending: CertificateOperation.
func (d door) pending(ctx context.Context, q *wire.Request) (wire.Response, error) {
	op, err := d.s.Pending(ctx, q.Caller, q.Ref(), q.Query.Get("request_id"))
	return answerOperation(q, op, err)
}

// updatePending is PATCH /certificates/{name}/pending: {cancellation_requested: true} to
// CertificateOperation. Nothing else can be asked of an operation.
func (d door) updatePending(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		CancellationRequested *bool `json:"cancellation_requested"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	if in.CancellationRequested == nil || !*in.CancellationRequested {
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The parameter cancellation_requested is required and must be true.")
	}
	op, err := d.s.Cancel(ctx, q.Caller, q.Ref())
	return answerOperation(q, op, err)
}

// deletePending is DELETE /certificates/{name}/pending: CertificateOperation as it was.
func (d door) deletePending(ctx context.Context, q *wire.Request) (wire.Response, error) {
	op, err := d.s.DeletePending(ctx, q.Caller, q.Ref())
	return answerOperation(q, op, err)
}
