package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"

	"chatelaine.dev/internal/fault"
)

const (
	maxBatch    = 256 // changes in one commit
	maxAttempts = 8   // runs of a change that loses races
)

// change is one waiting call of Transact, or of Append, which has no fn.
type change struct {
	ctx   context.Context
	fn    func(ctx context.Context) error
	state *state
	err   error
	turn  chan turn
}

// turn is what a waiting change is told.
type turn bool

const (
	over turn = false // its fate is known
	lead turn = true  // it runs the next commit, for all who wait
)

// state is the transaction that a context carries.
type state struct {
	tx    *sql.Tx
	batch *batch
	items []any        // for the flush before the commit
	after []func(bool) // told whether it was committed
	undo  []func()     // run when the change is rolled back, newest first
	wrote bool         // or may have
}

// tell says whether the transaction was committed.
func (s *state) tell(committed bool) {
	for _, fn := range s.after {
		fn(committed)
	}
}

// batch is one commit, which many changes share.
type batch struct {
	shared map[string]*shared
	apart  bool  // each change, and what is tried, has a savepoint
	broken error // after which it must not be committed
}

// shared is a value that the changes of a commit share.
type shared struct {
	value any
	close func(ctx context.Context, value any) error
}

type stateKey struct{}

func stateOf(ctx context.Context) *state {
	s, _ := ctx.Value(stateKey{}).(*state)
	return s
}

// InTransaction reports whether ctx carries a transaction.
func InTransaction(ctx context.Context) bool { return stateOf(ctx) != nil }

// Tx returns the transaction that ctx carries, for libraries that write in it.
func Tx(ctx context.Context) (*sql.Tx, bool) {
	s := stateOf(ctx)
	if s == nil {
		return nil, false
	}
	s.wrote = true
	return s.tx, true
}

// Transact implements audit.Transact. When it returns nil the change is on the disk.
// A fault.Unavailable means that the outcome is unknown.
func (d *DB) Transact(ctx context.Context, fn func(ctx context.Context) error) error {
	if stateOf(ctx) != nil {
		return fn(ctx)
	}
	return d.submit(ctx, &change{ctx: ctx, fn: fn, turn: make(chan turn, 1)})
}

// Append hands an item to the flush of the transaction of ctx, or of the next commit. When
// it returns nil the item is on the disk.
func (d *DB) Append(ctx context.Context, item any) error {
	if d.Defer(ctx, item) {
		return nil
	}
	return d.submit(ctx, &change{ctx: ctx, state: &state{items: []any{item}}, turn: make(chan turn, 1)})
}

// submit waits for a commit that has the change in it. Whoever comes first leads: it
// commits for all who have come meanwhile, and then passes the lead on, so that a change
// that is alone waits for nobody.
func (d *DB) submit(ctx context.Context, c *change) error {
	for range maxAttempts {
		if err := ctx.Err(); err != nil {
			return err
		}
		leads, err := d.enqueue(c)
		if err != nil {
			return err
		}
		if leads || <-c.turn == lead { // never abandoned: an answer tells what is on the disk
			d.commitNext(c)
		}
		if !isRace(c.err) {
			return c.err
		}
	}
	return fault.Wrap(c.err, fault.Unavailable, "Busy", "too many others change the same object; send the request again")
}

// enqueue adds a change to those that wait, and reports whether it leads.
func (d *DB) enqueue(c *change) (leads bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.failed:
		return false, errFailed()
	default:
	}
	if d.closed {
		return false, fault.New(fault.Unavailable, "ShuttingDown", "the server is shutting down; send the request again")
	}
	leads, d.leading = !d.leading, true
	d.waiting = append(d.waiting, c)
	return leads, nil
}

// commitNext runs the waiting changes, the leader's among them, in one commit, and passes
// the lead to the first of those that have come meanwhile.
func (d *DB) commitNext(leader *change) {
	runtime.Gosched() // who is about to come, comes along: a commit costs the same for one and for many
	d.mu.Lock()
	n := min(len(d.waiting), maxBatch)
	changes := slices.Clone(d.waiting[:n])
	d.waiting = slices.Delete(d.waiting, 0, n)
	d.mu.Unlock()

	d.run(changes)

	d.mu.Lock()
	if len(d.waiting) > 0 {
		d.waiting[0].turn <- lead
	} else {
		d.leading = false
		d.idle.Broadcast()
	}
	d.mu.Unlock()
	for _, c := range changes {
		if c != leader {
			c.turn <- over
		}
	}
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

// OnRollback calls fn if the change of ctx is rolled back while others of its commit are
// not. What it undoes must be a value of Shared.
func (d *DB) OnRollback(ctx context.Context, fn func()) {
	if s := stateOf(ctx); s != nil {
		s.undo = append(s.undo, fn)
	}
}

// Shared returns the value that all changes of a commit have under a name: what open makes
// for the first of them. close runs once, just before the commit. When the change that
// opened it is rolled back the value goes with it, and the next one opens it anew. Outside
// of a transaction it panics.
func (d *DB) Shared(ctx context.Context, name string, open func() (any, error), close func(ctx context.Context, value any) error) (any, error) {
	s := stateOf(ctx)
	if x, ok := s.batch.shared[name]; ok {
		return x.value, nil
	}
	value, err := open()
	if err != nil {
		return nil, err
	}
	s.batch.shared[name] = &shared{value, close}
	d.OnRollback(ctx, func() { delete(s.batch.shared, name) })
	return value, nil
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

// run executes a batch and tells every change its fate.
func (d *DB) run(changes []*change) {
	defer func() {
		if p := recover(); p != nil { // not of a change, which is guarded: what wrote the records is broken
			d.fail(fmt.Errorf("panic: %v", p))
			panic(p)
		}
	}()
	err := d.commit(changes)
	if isUnknown(err) {
		d.fail(err)
	}
	for _, c := range changes {
		if c.err == nil && err != nil {
			c.err = fault.Wrap(err, fault.Unavailable, "StorageUnavailable", "the change could not be stored; read before you send it again")
			if isRace(err) {
				c.err = err
			}
		}
		if c.state != nil {
			c.state.tell(c.err == nil)
		}
	}
}

func (d *DB) fail(err error) {
	d.failOnce.Do(func() { close(d.failed) })
	d.log.Error("storage failed; no write is acknowledged from here on", "error", err)
}

// errApart says that one of many changes failed after it had written something.
var errApart = errors.New("a change must be rolled back alone")

// commit runs the changes in one transaction, at first with no savepoint between them:
// that costs SQLite a copy of every page, and PostgreSQL two round trips. When one of them
// must be rolled back alone, all run again, each in its own savepoint.
func (d *DB) commit(changes []*change) error {
	for _, c := range changes {
		if c.fn != nil {
			c.state = nil // of a run that lost a race
		}
	}
	err := d.attempt(changes, false)
	if !errors.Is(err, errApart) {
		return err
	}
	for _, c := range changes {
		if c.fn != nil && c.state != nil {
			c.state.tell(false)
			c.state = nil
		}
	}
	return d.attempt(changes, true)
}

// attempt runs the changes in one transaction. Its error is that of every change that has
// none of its own.
func (d *DB) attempt(changes []*change, apart bool) (err error) {
	ctx := context.Background() // a caller that gives up must not break the others' commit
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	items := make([]any, 0, len(changes))
	wrote := false
	own := &batch{shared: map[string]*shared{}, apart: apart}
	for _, c := range changes {
		if c.err = c.ctx.Err(); c.err != nil {
			continue
		}
		if c.fn == nil {
			wrote = true
			items = append(items, c.state.items...)
			continue
		}
		c.state = &state{tx: tx, batch: own}
		if err := d.runOne(tx, c, apart); err != nil {
			return err
		}
		switch {
		case own.broken != nil:
			return own.broken
		case c.err == nil:
			wrote = true
			items = append(items, c.state.items...)
		case !apart && len(changes) > 1 && (c.state.wrote || d.dialect == PostgreSQL): // there a refused statement spoils the transaction
			return errApart
		}
	}
	if !wrote {
		return nil
	}
	last := &state{tx: tx, batch: own}
	ctx = context.WithValue(ctx, stateKey{}, last)
	defer func() { last.tell(err == nil) }()
	for len(own.shared) > 0 { // to close one may open another, or the same anew
		for name, x := range own.shared {
			delete(own.shared, name)
			err := x.close(ctx, x.value)
			if own.broken != nil {
				return own.broken
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			break
		}
	}
	if items = append(items, last.items...); len(items) > 0 && d.flush != nil {
		if err := d.flush(ctx, items); err != nil {
			return fmt.Errorf("record: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// runOne runs one change, apart from the others in a savepoint if need be. An error says
// that the whole transaction is broken; the change's own is in c.err.
func (d *DB) runOne(tx *sql.Tx, c *change, apart bool) error {
	ctx := context.WithoutCancel(c.ctx)
	if apart {
		if err := savepoint(ctx, tx, "SAVEPOINT change"); err != nil {
			return err
		}
	}
	c.err = d.guarded(context.WithValue(ctx, stateKey{}, c.state), c.fn)
	if isUnknown(c.err) {
		return c.err
	}
	if c.err != nil {
		if apart {
			if err := savepoint(ctx, tx, "ROLLBACK TO SAVEPOINT change"); err != nil {
				return err
			}
		}
		for _, fn := range slices.Backward(c.state.undo) {
			fn()
		}
	}
	if apart {
		return savepoint(ctx, tx, "RELEASE SAVEPOINT change")
	}
	return nil
}

// Try runs fn in the transaction of ctx. When it fails, what it did is undone, and the
// transaction goes on without it. That takes a savepoint, so at first there is none, and
// when fn fails the commit is begun again with them.
func (d *DB) Try(ctx context.Context, fn func(ctx context.Context) error) error {
	s := stateOf(ctx)
	s.wrote = true
	if !s.batch.apart {
		err := d.guarded(ctx, fn)
		if err != nil {
			s.batch.broken = errApart
		}
		if isUnknown(err) {
			s.batch.broken = err
		}
		return err
	}
	if err := savepoint(ctx, s.tx, "SAVEPOINT try"); err != nil {
		s.batch.broken = err
		return err
	}
	items, after, undo := len(s.items), len(s.after), len(s.undo)
	err := d.guarded(ctx, fn)
	if isUnknown(err) {
		s.batch.broken = err
		return err
	}
	if err != nil {
		s.batch.broken = errors.Join(s.batch.broken, savepoint(ctx, s.tx, "ROLLBACK TO SAVEPOINT try"))
		for _, fn := range slices.Backward(s.undo[undo:]) {
			fn()
		}
		for _, fn := range s.after[after:] {
			fn(false)
		}
		s.items, s.after, s.undo = s.items[:items], s.after[:after], s.undo[:undo]
	}
	s.batch.broken = errors.Join(s.batch.broken, savepoint(ctx, s.tx, "RELEASE SAVEPOINT try"))
	return err
}

func savepoint(ctx context.Context, tx *sql.Tx, command string) error {
	if _, err := tx.ExecContext(ctx, command); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return nil
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
