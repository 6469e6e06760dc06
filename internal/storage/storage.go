// Package storage is the database engine under every domain's Store: SQLite or
// PostgreSQL, one SQL text for both, and one writer that runs the waiting changes in one
// transaction, so that many durable writes share one sync of the log.
package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver
	"modernc.org/sqlite"

	"chatelaine.dev/internal/fault"
)

// Dialect is the SQL engine in use.
type Dialect string

// The engines.
const (
	SQLite     Dialect = "sqlite"
	PostgreSQL Dialect = "postgresql"
)

// Config says which database to open.
type Config struct {
	// URL of a PostgreSQL database (postgres://user:password@host/name), or empty for
	// SQLite in Dir.
	URL string
	// Dir holds chatelaine.db when URL is empty.
	Dir string
	Log *slog.Logger
	// Check, if not nil, runs before anything is written to a database that has a schema
	// already. Its error refuses the database.
	Check func(ctx context.Context, d *DB) error
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	dialect Dialect
	writer  *sql.DB // SQLite: one connection
	reader  *sql.DB
	log     *slog.Logger

	mu      sync.Mutex
	waiting []*change
	leading bool // one of those who wait runs a commit
	closed  bool
	idle    sync.Cond // nobody leads

	flush func(ctx context.Context, items []any) error

	failOnce sync.Once
	failed   chan struct{}

	erased atomic.Bool // since the log was last emptied
}

// Open opens the database and brings its schema up to date. A schema newer than this
// program is refused before anything is touched.
func Open(ctx context.Context, c Config) (*DB, error) {
	d := &DB{log: c.Log, failed: make(chan struct{})}
	d.idle.L = &d.mu
	d.erased.Store(true)
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if c.URL == "" || strings.HasPrefix(c.URL, "sqlite:") {
		err = d.openSQLite(c)
	} else {
		err = d.openPostgreSQL(c.URL)
	}
	if err != nil {
		return nil, err
	}
	if err := d.migrate(ctx, c.Check); err != nil {
		_ = d.closePools()
		return nil, err
	}
	return d, nil
}

// busyTimeout is how long a connection of SQLite waits for another.
const busyTimeout = 10 * time.Second

func (d *DB) openSQLite(c Config) error {
	d.dialect = SQLite
	file := filepath.Join(c.Dir, "chatelaine.db")
	if rest, ok := strings.CutPrefix(c.URL, "sqlite:"); ok {
		file = rest
	}
	if f, err := os.OpenFile(filepath.Clean(file), os.O_CREATE|os.O_RDWR, 0o600); err != nil { // SQLite would let others read it
		return err
	} else if err := f.Close(); err != nil {
		return err
	}
	busy := fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())
	pragmas := url.Values{
		"_pragma": {busy, "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "secure_delete(1)", "wal_autocheckpoint(4000)"},
	}
	// As SQLite does wherever a distribution builds it; no less is on the disk. Where the
	// call does not exist, fsync stays.
	_, _ = sqlite.Fdatasync(true)
	var err error
	if d.writer, err = openKept("file:" + file + "?" + pragmas.Encode()); err != nil {
		return err
	}
	d.writer.SetMaxOpenConns(1)
	pragmas["_pragma"] = []string{busy, "query_only(1)"}
	if d.reader, err = openKept("file:" + file + "?" + pragmas.Encode()); err != nil {
		return err
	}
	n := max(4, runtime.GOMAXPROCS(0))
	d.reader.SetMaxOpenConns(n)
	d.reader.SetMaxIdleConns(n)
	return nil
}

func (d *DB) openPostgreSQL(address string) error {
	d.dialect = PostgreSQL
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return errors.New("database URL: want postgres://user:password@host:port/name, or nothing for SQLite")
	}
	if d.writer, err = sql.Open("pgx", address); err != nil {
		return err
	}
	d.writer.SetMaxOpenConns(8)
	d.writer.SetConnMaxIdleTime(time.Minute)
	d.reader = d.writer
	return nil
}

// Dialect tells which engine is in use.
func (d *DB) Dialect() Dialect { return d.dialect }

// Pool is the pool that writes. On SQLite it has one connection, which the writer and
// the job queue share.
func (d *DB) Pool() *sql.DB { return d.writer }

// Failed is closed when a write has ended in an unknown state (an I/O error while
// committing to SQLite). From then on every write is refused; the process must exit, and
// the next start shows what is on the disk.
func (d *DB) Failed() <-chan struct{} { return d.failed }

// Close waits for running changes and closes the database.
func (d *DB) Close() error {
	d.mu.Lock()
	d.closed = true
	for d.leading {
		d.idle.Wait()
	}
	d.mu.Unlock()
	return d.closePools()
}

func (d *DB) closePools() error {
	err := d.writer.Close()
	if d.reader != nil && d.reader != d.writer {
		err = errors.Join(err, d.reader.Close())
	}
	return err
}

// Exec runs one statement in the transaction of ctx, or in one of its own.
func (d *DB) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if s := stateOf(ctx); s != nil {
		s.wrote = true
		return s.tx.ExecContext(ctx, query, args...)
	}
	var res sql.Result
	err := d.Transact(ctx, func(ctx context.Context) error {
		var err error
		res, err = d.Exec(ctx, query, args...)
		return err
	})
	return res, err
}

// Query reads rows, in the transaction of ctx if it has one. The caller closes them.
func (d *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if s := stateOf(ctx); s != nil {
		s.wrote = s.wrote || !reads(query)
		return s.tx.QueryContext(ctx, query, args...)
	}
	return d.reader.QueryContext(ctx, query, args...)
}

// QueryRow reads one row, in the transaction of ctx if it has one. Use it with
// RETURNING only inside a Transact: outside it reads from a read-only connection.
func (d *DB) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	if s := stateOf(ctx); s != nil {
		s.wrote = s.wrote || !reads(query) // RETURNING
		return s.tx.QueryRowContext(ctx, query, args...)
	}
	return d.reader.QueryRowContext(ctx, query, args...)
}

// reads reports whether a statement cannot have written anything.
func reads(query string) bool { return strings.HasPrefix(query, "SELECT ") }

// Micros is how a time is stored: microseconds since 1970, 0 for the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time undoes Micros, in UTC.
func Time(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// One reports a fault.NotFound with the message unless exactly one row was changed.
func One(res sql.Result, err error, message string) error {
	if err != nil {
		return Translate(err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n != 1 {
		return fault.New(fault.NotFound, "NotFound", "%s", message)
	}
	return nil
}

// Changed maps the result of an UPDATE or DELETE of one revision. A violated unique
// constraint gets the code taken.
func Changed(res sql.Result, err error, taken string) error {
	err = Translate(err)
	if fault.Is(err, fault.Conflict) {
		return fault.Wrap(err, fault.Conflict, taken, "it exists already")
	}
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n != 1 {
		err = fault.New(fault.Conflict, "Changed", "it was changed or removed in between; read it again")
	}
	return err
}

// Inserted maps the result of an INSERT that does nothing on a conflict.
func Inserted(res sql.Result, err error, taken string) error {
	if err != nil {
		return Translate(err)
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = fault.New(fault.Conflict, taken, "it exists already")
	}
	return err
}

// Scanner is a row: a *sql.Row or *sql.Rows.
type Scanner interface{ Scan(dest ...any) error }

// Collect reads all rows of a query and closes them; err is the query's own.
func Collect[T any](rows *sql.Rows, err error, read func(Scanner) (T, error)) ([]T, error) {
	if err != nil {
		return nil, Translate(err)
	}
	defer func() { _ = rows.Close() }()
	var list []T
	for rows.Next() {
		x, err := read(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return list, Translate(rows.Err())
}

// Translate turns a driver's error into a kind that a service understands: no rows is
// fault.NotFound, a violated unique constraint fault.Conflict; others stay as they are.
func Translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fault.Wrap(err, fault.NotFound, "NotFound", "not found")
	case isUnique(err):
		return fault.Wrap(err, fault.Conflict, "Conflict", "it exists already")
	}
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	return fmt.Errorf("database: %w", err)
}
