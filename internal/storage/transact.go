package storage

import (
	"context"
	"database/sql"
	"fmt"
	"runtime/debug"

	"chatelaine.dev/internal/fault"
)

const (
	maxBatch    = 256 // changes in one commit
	maxAttempts = 8   // runs of a change that loses races
)

// change is one waiting call of Transact.
type change struct {
	ctx   context.Context
	fn    func(ctx context.Context) error
	state *state
	err   error
	done  chan struct{}
}

// state is the transaction that a context carries.
type state struct {
	tx    *sql.Tx
	items []any        // for the flush before the commit
	after []func(bool) // told whether it was committed
}

type stateKey struct{}

func stateOf(ctx context.Context) *state {
	s, _ := ctx.Value(stateKey{}).(*state)
	return s
}

// Tx returns the transaction that ctx carries, for libraries that write in it.
func Tx(ctx context.Context) (*sql.Tx, bool) {
	if s := stateOf(ctx); s != nil {
		return s.tx, true
	}
	return nil, false
}

// Transact implements audit.Transact. When it returns nil the change is on the disk.
// A fault.Unavailable means that the outcome is unknown.
func (d *DB) Transact(ctx context.Context, fn func(ctx context.Context) error) error {
	if stateOf(ctx) != nil {
		return fn(ctx)
	}
	var err error
	for range maxAttempts {
		c := &change{ctx: ctx, fn: fn, done: make(chan struct{})}
		select {
		case d.queue <- c:
		case <-ctx.Done():
			return ctx.Err()
		case <-d.failed:
			return errFailed()
		case <-d.stop:
			return fault.New(fault.Unavailable, "ShuttingDown", "the server is shutting down; send the request again")
		}
		<-c.done // never abandoned: an answer tells what is on the disk
		if err = c.err; !isRace(err) {
			return err
		}
	}
	return fault.Wrap(err, fault.Unavailable, "Busy", "too many others change the same object; send the request again")
}

func errFailed() error {
	return fault.New(fault.Unavailable, "StorageFailed", "storage failed and refuses writes until the server is restarted")
}

// Defer hands an item to the flush that runs before the commit of ctx's transaction. It
// reports whether ctx carries one. Items of a change that fails are dropped.
func (d *DB) Defer(ctx context.Context, item any) bool {
	s := stateOf(ctx)
	if s == nil {
		return false
	}
	s.items = append(s.items, item)
	return true
}

// OnFlush sets the function that writes the deferred items of a batch of changes, in
// the order of their commit. Its error fails the whole batch. Set it before first use.
func (d *DB) OnFlush(fn func(ctx context.Context, items []any) error) { d.flush = fn }

// AfterCommit calls fn when the fate of ctx's transaction is known, before its
// Transact returns; committed is false also when the outcome is unknown.
func (d *DB) AfterCommit(ctx context.Context, fn func(committed bool)) {
	if s := stateOf(ctx); s != nil {
		s.after = append(s.after, fn)
	}
}

// write runs waiting changes, as many as wait at a time, in one commit.
func (d *DB) write() {
	for {
		select {
		case <-d.stop:
			return
		case c := <-d.queue:
			batch := append(make([]*change, 0, 8), c)
		more:
			for len(batch) < maxBatch {
				select {
				case c := <-d.queue:
					batch = append(batch, c)
				default:
					break more
				}
			}
			d.run(batch)
		}
	}
}

// run executes a batch and tells every change its fate.
func (d *DB) run(batch []*change) {
	err := d.commit(batch)
	if isUnknown(err) {
		d.failOnce.Do(func() { close(d.failed) })
		d.log.Error("storage failed; no write is acknowledged from here on", "error", err)
	}
	for _, c := range batch {
		if c.err == nil && err != nil {
			c.err = fault.Wrap(err, fault.Unavailable, "StorageUnavailable", "the change could not be stored; read before you send it again")
			if isRace(err) {
				c.err = err
			}
		}
		if c.state != nil {
			for _, fn := range c.state.after {
				fn(c.err == nil)
			}
		}
		close(c.done)
	}
}

// commit runs the changes in one transaction. Its error is that of every change that
// has none of its own.
func (d *DB) commit(batch []*change) error {
	ctx := context.Background() // a caller that gives up must not break the others' commit
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	var items []any
	wrote := false
	for _, c := range batch {
		if c.err = c.ctx.Err(); c.err != nil {
			continue
		}
		ok, err := d.runOne(tx, c, len(batch) > 1)
		if err != nil {
			return err
		}
		if ok {
			wrote = true
			items = append(items, c.state.items...)
		}
	}
	if !wrote {
		return nil
	}
	if len(items) > 0 && d.flush != nil {
		if err := d.flush(context.WithValue(ctx, stateKey{}, &state{tx: tx}), items); err != nil {
			return fmt.Errorf("record: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// runOne runs one change, in a savepoint if others share the transaction. ok says that
// it takes part in the commit; an error says that the whole transaction is broken.
func (d *DB) runOne(tx *sql.Tx, c *change, shared bool) (ok bool, err error) {
	ctx := context.WithoutCancel(c.ctx)
	if shared {
		if _, err := tx.ExecContext(ctx, "SAVEPOINT change"); err != nil {
			return false, fmt.Errorf("savepoint: %w", err)
		}
	}
	c.state = &state{tx: tx}
	c.err = d.guarded(context.WithValue(ctx, stateKey{}, c.state), c.fn)
	if isUnknown(c.err) {
		return false, c.err
	}
	if !shared {
		return c.err == nil, nil
	}
	if c.err != nil {
		if _, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT change"); err != nil {
			return false, fmt.Errorf("roll back to savepoint: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, "RELEASE SAVEPOINT change"); err != nil {
		return false, fmt.Errorf("release savepoint: %w", err)
	}
	return c.err == nil, nil
}

// guarded turns a panic of fn into an error, so that the writer lives on.
func (d *DB) guarded(ctx context.Context, fn func(ctx context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("panic in a transaction", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic in a transaction: %v", p)
		}
	}()
	return fn(ctx)
}

// Outside returns ctx without its transaction: what is read with it is what was
// committed before, and what is written with it waits for that transaction to end.
func Outside(ctx context.Context) context.Context {
	return context.WithValue(ctx, stateKey{}, (*state)(nil))
}
