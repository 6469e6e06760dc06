package keys

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// backup is POST /keys/{name}/backup: BackupKeyResult.
func (d door) backup(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return wire.BlobOf(d.s.Backup(ctx, q.Caller, q.Ref()))
}

// restore is POST /keys/restore: KeyBundle.
func (d door) restore(ctx context.Context, q *wire.Request) (wire.Response, error) {
	blob, err := q.Blob()
	if err != nil {
		return wire.Response{}, err
	}
	e, err := d.s.Restore(ctx, q.Caller, q.Vault, blob)
	return answer(q, e, err)
}
