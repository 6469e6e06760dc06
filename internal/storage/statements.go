package storage

import (
	"context"
	"database/sql"
	"sync"
)

// maxStatements bounds the statements that are kept prepared. The product has fewer; what
// is beyond are queries whose text depends on what was asked.
const maxStatements = 512

// statements keeps prepared statements by their text, so that SQLite parses each once.
// PostgreSQL's driver does the same by itself: there db is nil, and nothing is kept.
type statements struct {
	db *sql.DB

	mu     sync.RWMutex
	kept   map[string]*sql.Stmt
	wanted []string // seen inside a transaction, to be prepared after it
}

// find returns the statement of a text, or nil when it is not prepared yet: then it will
// be, once the one connection that could prepare it is free.
func (s *statements) find(query string) *sql.Stmt {
	if s.db == nil {
		return nil
	}
	s.mu.RLock()
	st, full := s.kept[query], len(s.kept)+len(s.wanted) >= maxStatements
	s.mu.RUnlock()
	if st == nil && !full {
		s.mu.Lock()
		s.wanted = append(s.wanted, query)
		s.mu.Unlock()
	}
	return st
}

// prepareWanted prepares what find could not. A text that does not prepare stays
// unprepared: whoever sends it is told what is wrong with it.
func (s *statements) prepareWanted(ctx context.Context) {
	s.mu.Lock()
	wanted := s.wanted
	s.wanted = nil
	s.mu.Unlock()
	for _, query := range wanted {
		s.make(ctx, query)
	}
}

// make returns the statement of a text and prepares it if need be, or nil when it cannot.
func (s *statements) make(ctx context.Context, query string) *sql.Stmt {
	if s.db == nil {
		return nil
	}
	s.mu.RLock()
	st, full := s.kept[query], len(s.kept) >= maxStatements
	s.mu.RUnlock()
	if st != nil || full {
		return st
	}
	st, err := s.db.PrepareContext(ctx, query)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.kept[query]; other != nil {
		_ = st.Close() //nolint:sqlclosecheck // only the one that came second; the first is kept
		return other
	}
	if s.kept == nil {
		s.kept = map[string]*sql.Stmt{}
	}
	s.kept[query] = st
	return st
}

// close forgets every statement.
func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.kept {
		_ = st.Close()
	}
	s.kept = nil
}
