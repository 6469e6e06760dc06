package lifecycledb

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/connection"
	"chatelaine.dev/internal/storage"
)

// storedConnection is a connection inside its seal: its settings cannot be encoded otherwise.
type storedConnection struct {
	ID, Name, Connector       string
	Settings                  json.RawMessage
	Created, Updated, Checked time.Time
	Problem                   string
	Revision                  int64
}

func (c storedConnection) open() connection.Stored {
	return connection.Stored{
		ID: c.ID, Name: c.Name, Connector: c.Connector, Settings: connector.Settings(c.Settings),
		Created: c.Created, Updated: c.Updated, Checked: c.Checked, Problem: c.Problem, Revision: c.Revision,
	}
}

func (s *Store) sealConnection(c connection.Stored) ([]byte, error) {
	return s.seal(connectionKind, c.ID, c.Revision, storedConnection{
		c.ID, c.Name, c.Connector, json.RawMessage(c.Settings), c.Created, c.Updated, c.Checked, c.Problem, c.Revision,
	})
}

// InsertConnection implements connection.Store.
func (s *Store) InsertConnection(ctx context.Context, c connection.Stored) error {
	sealed, err := s.sealConnection(c)
	if err != nil {
		return err
	}
	res, err := s.db.Exec(ctx, `INSERT INTO lifecycle_connections (id, name_key, revision, sealed) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		c.ID, strings.ToLower(c.Name), c.Revision, sealed)
	return storage.Inserted(res, err, "NameTaken")
}

// UpdateConnection implements connection.Store.
func (s *Store) UpdateConnection(ctx context.Context, c connection.Stored) error {
	sealed, err := s.sealConnection(c)
	if err != nil {
		return err
	}
	res, err := s.db.Exec(ctx, `UPDATE lifecycle_connections SET name_key = $1, revision = $2, sealed = $3 WHERE id = $4 AND revision = $5`,
		strings.ToLower(c.Name), c.Revision, sealed, c.ID, c.Revision-1)
	return storage.Changed(res, err, "NameTaken")
}

// DeleteConnection implements connection.Store.
func (s *Store) DeleteConnection(ctx context.Context, id string) error {
	var used int
	if err := s.db.QueryRow(ctx, `SELECT COUNT(*) FROM lifecycle_targets WHERE connection = $1`, id).Scan(&used); err != nil {
		return storage.Translate(err)
	}
	if used > 0 {
		return fault.New(fault.Conflict, "ConnectionInUse", "%d targets of lineages are on this connection; remove them first", used)
	}
	res, err := s.db.Exec(ctx, `DELETE FROM lifecycle_connections WHERE id = $1`, id)
	return storage.One(res, err, "there is no such connection")
}

// Connection implements connection.Store.
func (s *Store) Connection(ctx context.Context, id string) (connection.Stored, error) {
	c, err := one[storedConnection](ctx, s, connectionKind, `SELECT id, revision, sealed FROM lifecycle_connections WHERE id = $1`, id)
	return c.open(), err
}

// Connections implements connection.Store.
func (s *Store) Connections(ctx context.Context, after string, limit int) ([]connection.Stored, error) {
	found, err := all[storedConnection](ctx, s, connectionKind,
		`SELECT id, revision, sealed FROM lifecycle_connections WHERE name_key > $1 ORDER BY name_key LIMIT $2`, strings.ToLower(after), limit)
	if err != nil {
		return nil, err
	}
	list := make([]connection.Stored, len(found))
	for i, c := range found {
		list[i] = c.open()
	}
	return list, nil
}
