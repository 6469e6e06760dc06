package keys

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// rotate is POST /keys/{name}/rotate: KeyBundle of the new version.
func (d door) rotate(ctx context.Context, q *wire.Request) (wire.Response, error) {
	e, err := d.Rotation.Rotate(ctx, q.Caller, q.Ref())
	return answer(q, e, err)
}
