package app

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/storage/vaultdb"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/object"
)

func (f *vaultFloor) newSweeper(store *vaultdb.Store) *vault.Sweeper {
	return &vault.Sweeper{Vaults: f.Vaults, Rows: store, Stored: store, Purgers: map[object.Kind]vault.Purger{
		object.Keys: purger{f.Keys.Shelf}, object.Secrets: purger{f.Secrets.Shelf}, object.Certificates: f.Certificates,
	}}
}

// purger purges what is due of a kind that takes nothing with it.
type purger struct{ *object.Shelf }

// PurgeDue implements vault.Purger.
func (p purger) PurgeDue(ctx context.Context, c access.Caller, r object.Ref) error {
	return p.Shelf.PurgeDue(ctx, c, r)
}

// retentionSweep is the work of purging what was deleted and whose retention has ended.
type retentionSweep struct{}

// Kind implements job.Args.
func (retentionSweep) Kind() string { return "vault.retention" }
