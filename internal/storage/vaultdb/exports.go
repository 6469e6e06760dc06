package vaultdb

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/vault/export"
	"chatelaine.dev/internal/vault/seal"
)

// Exports implements export.Store.
type Exports struct {
	db  *storage.DB
	box *seal.Box
}

// NewExports makes the store. box seals its rows.
func NewExports(db *storage.DB, box *seal.Box) *Exports { return &Exports{db: db, box: box} }

func exportIdentity(id string, revision int64) seal.Identity {
	return seal.Identity{Vault: "export", Kind: "request", Name: id, Revision: revision}
}

func (s *Exports) seal(r export.Request) ([]byte, error) {
	plain, err := json.Marshal(r)
	return s.box.Seal(exportIdentity(r.ID, r.Revision), plain), err
}

// scan reads the columns id, revision and sealed.
func (s *Exports) scan(scan func(...any) error) (r export.Request, err error) {
	var id string
	var revision int64
	var sealed []byte
	if err := scan(&id, &revision, &sealed); err != nil {
		return r, storage.Translate(err)
	}
	plain, err := s.box.Open(exportIdentity(id, revision), sealed)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(plain, &r); err != nil {
		return r, fmt.Errorf("export request %s: %w", id, err)
	}
	return r, nil
}

// Export implements export.Store.
func (s *Exports) Export(ctx context.Context, id string) (export.Request, error) {
	return s.scan(s.db.QueryRow(ctx, `SELECT id, revision, sealed FROM vault_exports WHERE id = $1`, id).Scan)
}

// Exports implements export.Store.
func (s *Exports) Exports(ctx context.Context, vault, before string, limit int) ([]export.Request, error) {
	if before == "" {
		before = "~" // after every id
	}
	rows, err := s.db.Query(ctx, `SELECT id, revision, sealed FROM vault_exports WHERE vault = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, vault, before, limit)
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer func() { _ = rows.Close() }()
	var list []export.Request
	for rows.Next() {
		r, err := s.scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// LiveExports implements export.Store.
func (s *Exports) LiveExports(ctx context.Context, vault string, then time.Time) (n int, err error) {
	err = s.db.QueryRow(ctx, `SELECT COUNT(*) FROM vault_exports WHERE vault = $1 AND live AND ends > $2`, vault, storage.Micros(then)).Scan(&n)
	return n, storage.Translate(err)
}

// InsertExport implements export.Store.
func (s *Exports) InsertExport(ctx context.Context, r export.Request) error {
	sealed, err := s.seal(r)
	if err != nil {
		return err
	}
	_, err = s.db.Exec(ctx, `INSERT INTO vault_exports (id, vault, live, ends, revision, sealed) VALUES ($1, $2, $3, $4, $5, $6)`,
		r.ID, r.Vault, r.Live(), storage.Micros(r.Ends), r.Revision, sealed)
	return storage.Translate(err)
}

// UpdateExport implements export.Store.
func (s *Exports) UpdateExport(ctx context.Context, r export.Request) error {
	sealed, err := s.seal(r)
	if err != nil {
		return err
	}
	res, err := s.db.Exec(ctx, `UPDATE vault_exports SET live = $3, ends = $4, revision = $5, sealed = $6 WHERE id = $1 AND revision = $2`,
		r.ID, r.Revision-1, r.Live(), storage.Micros(r.Ends), r.Revision, sealed)
	err = storage.One(res, err, "the request was changed by somebody else")
	if fault.Is(err, fault.NotFound) {
		return fault.Wrap(err, fault.Conflict, "Changed", "somebody else has just decided about this request; read it again")
	}
	return err
}
