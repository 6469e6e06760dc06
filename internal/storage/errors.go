package storage

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteCode returns the primary and the extended result code, or zeros.
func sqliteCode(err error) (primary, extended int) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0, 0
	}
	return e.Code() & 0xff, e.Code()
}

// sqlState returns PostgreSQL's five-letter code, or nothing.
func sqlState(err error) string {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}

func isUnique(err error) bool {
	_, x := sqliteCode(err)
	return x == sqlite3.SQLITE_CONSTRAINT_UNIQUE || x == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || sqlState(err) == "23505"
}

// isRace reports an error that running the change again may cure: PostgreSQL's
// serialization failure and deadlock, and a row that another node changed in between.
func isRace(err error) bool {
	s := sqlState(err)
	return s == "40001" || s == "40P01" || errors.Is(err, ErrRace)
}

// isUnknown reports an error after which a commit may or may not be on the disk.
func isUnknown(err error) bool {
	p, _ := sqliteCode(err)
	return p == sqlite3.SQLITE_IOERR || p == sqlite3.SQLITE_CORRUPT
}

// ErrRace is returned by a store whose optimistic check found a newer row. The
// transaction is run again.
var ErrRace = errors.New("another node changed the row in between")
