// Package pkidb keeps authorities, certificates and CRLs in the database.
package pkidb

import (
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/ocsp"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
)

// Store implements the stores of authority, issuance, revocation and ocsp.
type Store struct{ db *storage.DB }

var (
	_ authority.Store         = (*Store)(nil)
	_ issuance.Store          = (*Store)(nil)
	_ revocation.Store        = (*Store)(nil)
	_ revocation.Certificates = (*Store)(nil)
	_ revocation.SweepStore   = (*Store)(nil)
	_ ocsp.Store              = (*Store)(nil)
)

// New makes the store.
func New(db *storage.DB) *Store { return &Store{db: db} }
