package certificates

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// backup is POST /certificates/{name}/backup: BackupCertificateResult.
func (d door) backup(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return wire.BlobOf(d.s.Backup(ctx, q.Caller, q.Ref()))
}

// restore is POST /certificates/restore: CertificateBundle.
func (d door) restore(ctx context.Context, q *wire.Request) (wire.Response, error) {
	blob, err := q.Blob()
	if err != nil {
		return wire.Response{}, err
	}
	c, err := d.s.Restore(ctx, q.Caller, q.Vault, blob)
	return answer(q, c, err)
}
