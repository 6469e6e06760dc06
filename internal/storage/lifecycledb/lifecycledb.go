// Package lifecycledb keeps connections, lineages, requests and deployments in SQL. Every
// entry is sealed as a whole, with its id and revision; the other columns are copies to
// find it by.
package lifecycledb

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"chatelaine.dev/internal/lifecycle/connection"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/vault/seal"
)

// Sealer seals entries. A *seal.Box is one.
type Sealer interface {
	Seal(id seal.Identity, plaintext []byte) []byte
	Open(id seal.Identity, sealed []byte) ([]byte, error)
}

// Store implements the stores of the lifecycle's services.
type Store struct {
	db     *storage.DB
	sealer Sealer
}

var (
	_ connection.Store = (*Store)(nil)
	_ lineage.Store    = (*Store)(nil)
	_ enrollment.Store = (*Store)(nil)
	_ deployment.Store = (*Store)(nil)
)

// New makes a Store whose entries are sealed by s.
func New(db *storage.DB, s Sealer) *Store { return &Store{db, s} }

// The kinds of entries, as they are bound to what is sealed.
const (
	connectionKind = "connection"
	lineageKind    = "lineage"
	requestKind    = "request"
	deploymentKind = "deployment"
)

func identity(kind, id string, revision int64) seal.Identity {
	return seal.Identity{Vault: "lifecycle", Kind: kind, Name: id, Revision: revision}
}

// seal encodes and seals an entry.
func (s *Store) seal(kind, id string, revision int64, entry any) ([]byte, error) {
	b, err := json.Marshal(entry)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", kind, id, err)
	}
	return s.sealer.Seal(identity(kind, id, revision), b), nil
}

// read opens the entry of a row with the columns id, revision, sealed.
func read[T any](s *Store, kind string, row storage.Scanner) (T, error) {
	var entry T
	var id string
	var revision int64
	var sealed []byte
	if err := row.Scan(&id, &revision, &sealed); err != nil {
		return entry, storage.Translate(err)
	}
	b, err := s.sealer.Open(identity(kind, id, revision), sealed)
	if err != nil {
		return entry, err
	}
	if err := json.Unmarshal(b, &entry); err != nil {
		return entry, fmt.Errorf("decode %s %s: %w", kind, id, err)
	}
	return entry, nil
}

// one reads the one entry that a query finds.
func one[T any](ctx context.Context, s *Store, kind, query string, args ...any) (T, error) {
	return read[T](s, kind, s.db.QueryRow(ctx, query, args...))
}

// all reads the entries that a query finds.
func all[T any](ctx context.Context, s *Store, kind, query string, args ...any) ([]T, error) {
	rows, err := s.db.Query(ctx, query, args...)
	return storage.Collect(rows, err, func(row storage.Scanner) (T, error) { return read[T](s, kind, row) })
}

// ids reads a query's one column.
func (s *Store) ids(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := s.db.Query(ctx, query, args...)
	return storage.Collect(rows, err, func(row storage.Scanner) (id string, err error) { return id, row.Scan(&id) })
}

// optional is NULL for an empty text.
func optional(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// conditions builds a WHERE of equalities that are not empty.
type conditions struct {
	text []string
	args []any
}

func (c *conditions) add(condition, value string) {
	if value != "" {
		c.args = append(c.args, value)
		c.text = append(c.text, fmt.Sprintf(condition, len(c.args)))
	}
}

func (c *conditions) where() string {
	if len(c.text) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.text, " AND ")
}

// limit adds an argument and returns its placeholder.
func (c *conditions) limit(n int) string {
	c.args = append(c.args, n)
	return fmt.Sprintf("$%d", len(c.args))
}
