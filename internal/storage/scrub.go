package storage

import (
	"context"
	"fmt"
	"time"
)

// scrubPatience is how long a scrub holds up the writer while readers are in its way.
const scrubPatience = 100 * time.Millisecond

// Erased says that the running change removes what must not stay on the disk. The database
// file forgets it at the commit (secure_delete), the log of SQLite at the next Scrub.
func (d *DB) Erased(ctx context.Context) {
	d.AfterCommit(ctx, func(committed bool) {
		if committed {
			d.erased.Store(true)
		}
	})
}

// Scrub empties the log of SQLite when something was erased since it did so last, and once
// for what a process before this one may have erased: a log that
// is only written over keeps what was in it for as long as nobody writes that much. Where
// a reader is in the way it leaves that to the next Scrub. PostgreSQL looks after its log
// itself.
func (d *DB) Scrub(ctx context.Context) error {
	if d.dialect != SQLite || !d.erased.Swap(false) {
		return nil
	}
	done, err := d.truncateLog(ctx)
	if !done {
		d.erased.Store(true)
	}
	return err
}

func (d *DB) truncateLog(ctx context.Context) (done bool, err error) {
	conn, err := d.writer.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", scrubPatience.Milliseconds())); err != nil {
		return false, err
	}
	var busy, pages, moved int
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	if _, back := conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout.Milliseconds())); err == nil {
		err = back
	}
	return err == nil && busy == 0, err
}
