package hsm

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/hsm/backup"
)

// restoreParameters are RestoreOperationParameters, PreRestoreOperationParameters and
// SelectiveKeyRestoreOperationParameters, whose folder has another name.
type restoreParameters struct {
	Container container `json:"sasTokenParameters"`
	Folder    string    `json:"folderToRestore"`
	OfKey     string    `json:"folder"`
}

// fullRestore is PUT /restore: 202.
func (d door) fullRestore(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return d.startRestore(ctx, q, backup.Whole)
}

// preFullRestore is PUT /prerestore: 202.
func (d door) preFullRestore(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return d.startRestore(ctx, q, backup.CheckWhole)
}

// selectiveRestore is PUT /keys/{name}/restore: 202.
func (d door) selectiveRestore(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return d.startRestore(ctx, q, backup.SelectedKey)
}

func (d door) startRestore(ctx context.Context, q *wire.Request, task backup.Task) (wire.Response, error) {
	var in restoreParameters
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	p := in.Container.place()
	if p.Folder, p.Key = in.Folder, q.Name; task == backup.SelectedKey {
		p.Folder = in.OfKey
	}
	j, err := d.Backups.Start(ctx, q.Caller, q.Vault, task, p)
	return started(q, "restore", j, err)
}

// restoreStatus is GET /restore/{jobId}/pending.
func (d door) restoreStatus(ctx context.Context, q *wire.Request) (wire.Response, error) {
	j, err := d.Backups.Status(ctx, q.Caller, q.Vault, q.Name, true)
	return wire.Response{Body: describeJob(j), RetryAfter: pause}, err
}
