package lifecycledb

import (
	"context"

	"chatelaine.dev/internal/lifecycle/scep"
	"chatelaine.dev/internal/storage"
)

const registrarKind = "registrar"

var _ scep.RegistrarStore = (*Store)(nil)

// Registrar implements scep.RegistrarStore.
func (s *Store) Registrar(ctx context.Context, authority string) (scep.Stored, error) {
	return one[scep.Stored](ctx, s, registrarKind, `SELECT authority, revision, sealed FROM lifecycle_registrars WHERE authority = $1`, authority)
}

// PutRegistrar implements scep.RegistrarStore.
func (s *Store) PutRegistrar(ctx context.Context, r scep.Stored) error {
	sealed, err := s.seal(registrarKind, r.Authority, r.Revision, r)
	if err != nil {
		return err
	}
	if r.Revision == 1 {
		res, err := s.db.Exec(ctx, `INSERT INTO lifecycle_registrars (authority, revision, sealed) VALUES ($1, 1, $2) ON CONFLICT DO NOTHING`, r.Authority, sealed)
		return storage.Inserted(res, err, "Exists")
	}
	res, err := s.db.Exec(ctx, `UPDATE lifecycle_registrars SET revision = $1, sealed = $2 WHERE authority = $3 AND revision = $4`,
		r.Revision, sealed, r.Authority, r.Revision-1)
	return storage.Changed(res, err, "Exists")
}
