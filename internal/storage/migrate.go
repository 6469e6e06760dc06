package storage

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// migrations are one SQL text for both engines: SQLite takes PostgreSQL's names of
// types for what they are (BYTEA, BIGINT, BOOLEAN), so no second directory is needed.
//
//go:embed migrations/*.sql
var migrations embed.FS

// ErrNewerSchema says that a newer program has written this database.
var ErrNewerSchema = errors.New("the database was written by a newer version of chatelaine; start that version, or restore a backup from before the upgrade")

func (d *DB) migrate(ctx context.Context, check func(context.Context, *DB) error) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	dialect := goose.DialectSQLite3
	if d.dialect == SQLite {
		files = rowKeys{files}
	}
	var options []goose.ProviderOption
	if d.dialect == PostgreSQL { // nodes that start together migrate one after the other
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return fmt.Errorf("migrations: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(dialect, d.writer, files, options...)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if current > target {
		return fmt.Errorf("schema %d, this program knows %d: %w", current, target, ErrNewerSchema)
	}
	if current > 0 && check != nil {
		if err := check(ctx, d); err != nil {
			return err
		}
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// rowKeys is the migrations as SQLite wants them: only a primary key of the type INTEGER,
// which has 64 bits there, is the row's own number and needs no index beside the table.
type rowKeys struct{ fs.FS }

// Open implements fs.FS.
func (k rowKeys) Open(name string) (fs.File, error) {
	f, err := k.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return f, err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return rowKeyFile{f, bytes.NewReader(bytes.ReplaceAll(b, []byte("BIGINT NOT NULL PRIMARY KEY"), []byte("INTEGER NOT NULL PRIMARY KEY")))}, nil
}

type rowKeyFile struct {
	fs.File
	text *bytes.Reader
}

// Read implements fs.File.
func (f rowKeyFile) Read(b []byte) (int, error) { return f.text.Read(b) }
