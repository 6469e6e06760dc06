package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"

	"modernc.org/sqlite"
)

const (
	maxStatements = 512     // kept by one connection, which then begins anew; the product and its job queue have fewer
	maxText       = 8 << 10 // bytes of a statement that is kept; migrations are longer
)

// openKept opens a SQLite database whose connections keep their statements prepared by
// their text, so that each is parsed once, whoever sends it. PostgreSQL's driver does the
// same by itself.
func openKept(dsn string) (*sql.DB, error) {
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(keeper{c}), nil
}

type keeper struct{ driver.Connector }

// Connect implements driver.Connector.
func (k keeper) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := k.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &kept{full: c.(full), free: map[string]statement{}}, nil //nolint:forcetypeassert // as the driver promises
}

// full is what a connection of the driver can do.
type full interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// statement is a prepared statement of the driver.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// kept is a connection that keeps its statements. database/sql lets one goroutine at a
// time use it.
type kept struct {
	full
	free map[string]statement // prepared, and not in use
}

// Unwrap returns the driver's connection.
func (k *kept) Unwrap() driver.Conn { return k.full }

// Close implements driver.Conn.
func (k *kept) Close() error {
	for _, st := range k.free {
		_ = st.Close()
	}
	k.free = nil
	return k.full.Close()
}

// BeginTx implements driver.ConnBeginTx. The writer's transactions are immediate: they wait
// for the lock here, and not at their first write. A context that ends in the meantime ends
// no wait, so that it is never in doubt whether a transaction has begun or is over.
func (k *kept) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	if _, err := k.ExecContext(context.WithoutCancel(ctx), "BEGIN IMMEDIATE", nil); err != nil {
		return nil, err
	}
	return keptTx{k}, nil
}

type keptTx struct{ conn *kept }

// Commit implements driver.Tx.
func (t keptTx) Commit() error {
	_, err := t.conn.ExecContext(context.Background(), "COMMIT", nil)
	if err != nil { // the transaction may be open still, and database/sql takes it for over
		_ = t.Rollback()
	}
	return err
}

// Rollback implements driver.Tx.
func (t keptTx) Rollback() error {
	_, err := t.conn.ExecContext(context.Background(), "ROLLBACK", nil)
	return err
}

// ExecContext implements driver.ExecerContext.
func (k *kept) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	st, err := k.take(ctx, query)
	if err != nil {
		return nil, err
	}
	defer k.give(query, st)
	return st.ExecContext(ctx, args)
}

// QueryContext implements driver.QueryerContext.
func (k *kept) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	st, err := k.take(ctx, query)
	if err != nil {
		return nil, err
	}
	r, err := st.QueryContext(ctx, args)
	if err != nil {
		k.give(query, st)
		return nil, err
	}
	return &keptRows{r, k, query, st}, nil
}

// take returns a statement that nobody else uses: rows may still be read from another of
// the same text.
func (k *kept) take(ctx context.Context, query string) (statement, error) {
	if st, ok := k.free[query]; ok {
		delete(k.free, query)
		return st, nil
	}
	st, err := k.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.(statement), nil //nolint:forcetypeassert // as the driver promises
}

func (k *kept) give(query string, st statement) {
	if _, double := k.free[query]; double || k.free == nil || len(query) > maxText {
		_ = st.Close()
		return
	}
	if len(k.free) >= maxStatements { // by queries whose text depends on what was asked
		for _, other := range k.free {
			_ = other.Close()
		}
		clear(k.free)
	}
	k.free[query] = st
}

// keptRows give their statement back when they are closed.
type keptRows struct {
	driver.Rows
	conn  *kept
	query string
	st    statement
}

// Close implements driver.Rows.
func (r *keptRows) Close() error {
	err := r.Rows.Close()
	if r.st != nil {
		r.conn.give(r.query, r.st)
		r.st = nil
	}
	return err
}
