package pkidb

import (
	"context"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/catalog"
	"chatelaine.dev/internal/storage"
)

var _ catalog.Store = (*Store)(nil)

// ProfileGeneration implements catalog.Store.
func (s *Store) ProfileGeneration(ctx context.Context) (generation int64, err error) {
	err = s.db.QueryRow(ctx, `SELECT generation FROM pki_profile_generation WHERE id = 1`).Scan(&generation)
	return generation, storage.Translate(err)
}

// raise makes every node read the profiles again. Its row stays locked until the
// transaction ends, so whoever sees a generation sees all changes up to it.
func (s *Store) raise(ctx context.Context) error {
	_, err := s.db.Exec(ctx, `UPDATE pki_profile_generation SET generation = generation + 1 WHERE id = 1`)
	return storage.Translate(err)
}

// Profiles implements catalog.Store.
func (s *Store) Profiles(ctx context.Context) ([]catalog.Row, error) {
	rows, err := s.db.Query(ctx, `SELECT name, revision, sealed FROM pki_profiles ORDER BY name`)
	return storage.Collect(rows, err, func(row storage.Scanner) (r catalog.Row, err error) {
		return r, row.Scan(&r.Name, &r.Revision, &r.Sealed)
	})
}

// InsertProfile implements catalog.Store.
func (s *Store) InsertProfile(ctx context.Context, r catalog.Row) error {
	if err := s.raise(ctx); err != nil {
		return err
	}
	res, err := s.db.Exec(ctx, `INSERT INTO pki_profiles (name, revision, sealed) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, r.Name, r.Revision, r.Sealed)
	return unchanged(storage.One(res, err, "the name is taken"))
}

// UpdateProfile implements catalog.Store.
func (s *Store) UpdateProfile(ctx context.Context, r catalog.Row) error {
	if err := s.raise(ctx); err != nil {
		return err
	}
	res, err := s.db.Exec(ctx, `UPDATE pki_profiles SET revision = $1, sealed = $2 WHERE name = $3 AND revision = $4`, r.Revision, r.Sealed, r.Name, r.Revision-1)
	return unchanged(storage.One(res, err, "the revision is another"))
}

// DeleteProfile implements catalog.Store.
func (s *Store) DeleteProfile(ctx context.Context, name string) error {
	if err := s.raise(ctx); err != nil {
		return err
	}
	res, err := s.db.Exec(ctx, `DELETE FROM pki_profiles WHERE name = $1`, name)
	return storage.One(res, err, "there is no such profile")
}

// unchanged turns "no row was changed" into fault.Conflict.
func unchanged(err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.Conflict, "Changed", "the row is not as it was expected")
	}
	return err
}
