package secrets

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// backup is POST /secrets/{name}/backup: BackupSecretResult.
func (d door) backup(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return wire.BlobOf(d.s.Backup(ctx, q.Caller, q.Ref()))
}

// restore is POST /secrets/restore: SecretBundle without its value.
func (d door) restore(ctx context.Context, q *wire.Request) (wire.Response, error) {
	blob, err := q.Blob()
	if err != nil {
		return wire.Response{}, err
	}
	e, err := d.s.Restore(ctx, q.Caller, q.Vault, blob)
	if err != nil {
		return wire.Response{}, err
	}
	b, err := describe(q, e, e.Version.ID)
	return wire.Response{Body: b}, err
}
