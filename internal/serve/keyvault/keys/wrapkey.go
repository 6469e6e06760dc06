package keys

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// wrap is POST /keys/{name}/{version?}/wrapkey: KeyOperationsParameters to
// KeyOperationResult.
func (d door) wrap(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return operate(ctx, q, d.s.WrapKey)
}

// unwrap is POST /keys/{name}/{version?}/unwrapkey: KeyOperationsParameters to
// KeyOperationResult.
func (d door) unwrap(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return operate(ctx, q, d.s.UnwrapKey)
}
