package job

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// presence knows which processes work on this queue now. Death must be seen at once and
// without a clock, so it is the database that notices it.
type presence interface {
	// enter makes this process known, again when its connection was lost.
	enter(ctx context.Context) error
	// alive reports whether another process is known.
	alive(ctx context.Context, id string) (bool, error)
	// leave makes this process unknown.
	leave(ctx context.Context) error
	// lockSchema lets one process at a time change the tables.
	lockSchema(ctx context.Context) (unlock func(), err error)
}

// alone is a process that has its database for itself, as on SQLite.
type alone struct{ id string }

func (alone) enter(context.Context) error { return nil }
func (alone) leave(context.Context) error { return nil }

func (a alone) alive(_ context.Context, id string) (bool, error) { return id == a.id, nil }

func (alone) lockSchema(context.Context) (func(), error) { return func() {}, nil }

// locks are PostgreSQL's advisory locks: a process holds that of its id on a connection
// of its own, and PostgreSQL lets go of it when the connection ends, by kill -9 too.
type locks struct {
	pool *sql.DB
	id   string

	mu   sync.Mutex
	conn *sql.Conn
}

func (l *locks) enter(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		if _, err := l.conn.ExecContext(ctx, `SELECT 1`); err == nil {
			return nil
		}
		l.conn.Close()
		l.conn = nil
	}
	conn, err := l.pool.Conn(ctx)
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(hashtextextended($1, 0))`, lockName(l.id)); err != nil {
		conn.Close()
		return err
	}
	l.conn = conn
	return nil
}

// alive tries to take the other's lock. In a transaction, so that it is never kept.
func (l *locks) alive(ctx context.Context, id string) (bool, error) {
	tx, err := l.pool.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	var free bool
	err = tx.QueryRowContext(ctx, `SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))`, lockName(id)).Scan(&free)
	return !free, err
}

func (l *locks) leave(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil
	}
	conn := l.conn
	l.conn = nil
	defer conn.Close() // the pool keeps the connection, so the lock must go first
	_, err := conn.ExecContext(ctx, `SELECT pg_advisory_unlock(hashtextextended($1, 0))`, lockName(l.id))
	return err
}

func (l *locks) lockSchema(ctx context.Context) (func(), error) {
	conn, err := l.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(hashtextextended($1, 0))`, lockName("schema")); err != nil {
		conn.Close()
		return nil, fmt.Errorf("lock the schema: %w", err)
	}
	return func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(hashtextextended($1, 0))`, lockName("schema"))
		conn.Close()
	}, nil
}

func lockName(id string) string { return "chatelaine job queue " + id }
