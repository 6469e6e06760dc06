// Package acmedb keeps what the ACME servers know: accounts, authorizations, orders,
// external account keys, windows.
package acmedb

import (
	"context"
	"database/sql"
	"encoding/json/v2"
	"fmt"

	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/vault/seal"
)

// Sealer seals external account keys. A *seal.Box is one.
type Sealer interface {
	Seal(id seal.Identity, plaintext []byte) []byte
	Open(id seal.Identity, sealed []byte) ([]byte, error)
}

// Store implements acme.Store, acme.Orders and acme.Keys.
type Store struct {
	db       *storage.DB
	sealer   Sealer
	accounts *accounts
}

var (
	_ acme.Store  = (*Store)(nil)
	_ acme.Orders = (*Store)(nil)
	_ acme.Keys   = (*Store)(nil)
)

// New makes the store.
func New(db *storage.DB, s Sealer) *Store { return &Store{db, s, newAccounts(db)} }

// inserted wants a row: without one, another holds what is unique.
func inserted(res sql.Result, err error) error { return storage.Inserted(res, err, "Exists") }

// updated wants the row of the revision before.
func updated(res sql.Result, err error) error { return storage.Changed(res, err, "Exists") }

// account is one as its row has it: the parts that no client sees are kept too.
type account struct {
	acme.Account `json:",inline"`
	Key          string `json:"key"`
	Bound        string `json:"bound,omitempty"`
}

// InsertAccount implements acme.Store.
func (s *Store) InsertAccount(ctx context.Context, a acme.Account) error {
	entry, err := json.Marshal(account{a, string(a.JWK), string(a.Binding)})
	if err != nil {
		return err
	}
	return inserted(s.db.Exec(ctx, `INSERT INTO acme_accounts (id, profile, thumbprint, external_key, revision, entry)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, a.ID, a.Profile, a.Thumbprint, a.ExternalKey, a.Revision, string(entry)))
}

// UpdateAccount implements acme.Store.
func (s *Store) UpdateAccount(ctx context.Context, a acme.Account) error {
	entry, err := json.Marshal(account{a, string(a.JWK), string(a.Binding)})
	if err != nil {
		return err
	}
	return s.db.Transact(ctx, func(ctx context.Context) error {
		s.db.AfterCommit(ctx, func(bool) { s.accounts.forget(a.ID) })
		return updated(s.db.Exec(ctx, `UPDATE acme_accounts SET thumbprint = $1, revision = $2, entry = $3 WHERE id = $4 AND revision = $5`,
			a.Thumbprint, a.Revision, string(entry), a.ID, a.Revision-1))
	})
}

const accountColumns = `SELECT entry FROM acme_accounts`

func readAccount(row storage.Scanner) (acme.Account, error) {
	var entry string
	var a account
	if err := row.Scan(&entry); err != nil {
		return a.Account, storage.Translate(err)
	}
	if err := json.Unmarshal([]byte(entry), &a); err != nil {
		return a.Account, fmt.Errorf("an ACME account: %w", err)
	}
	a.JWK = []byte(a.Key)
	if a.Bound != "" {
		a.Binding = []byte(a.Bound)
	}
	return a.Account, nil
}

// Account implements acme.Store.
func (s *Store) Account(ctx context.Context, id string) (acme.Account, error) {
	return s.accounts.get(ctx, id, func() (acme.Account, error) {
		return readAccount(s.db.QueryRow(ctx, accountColumns+` WHERE id = $1`, id))
	})
}

// AccountByKey implements acme.Store.
func (s *Store) AccountByKey(ctx context.Context, profile, thumbprint string) (acme.Account, error) {
	return readAccount(s.db.QueryRow(ctx, accountColumns+` WHERE profile = $1 AND thumbprint = $2`, profile, thumbprint))
}

// Accounts implements acme.Store.
func (s *Store) Accounts(ctx context.Context, q acme.AccountQuery) ([]acme.Account, error) {
	rows, err := s.db.Query(ctx, accountColumns+` WHERE id > $1 AND ($2 = '' OR profile = $2) AND ($3 = '' OR external_key = $3) ORDER BY id LIMIT $4`,
		q.After, q.Profile, q.ExternalKey, q.Limit)
	return storage.Collect(rows, err, readAccount)
}
