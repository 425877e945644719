package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
)

// CopySQLite writes one state of a database that is in use into a new file, and returns once that survives a power cut. The
// copy is written row by row, so that it holds nothing of what was deleted: no page, no log. Nobody who writes waits for it.
func CopySQLite(ctx context.Context, db *sql.DB, path string) error {
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("copying a database: %s is there already", path)
	}
	// SQLite fills a file that is there and empty, and so the mode is ours from its first byte on.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("copying a database: %w", err)
	}
	defer f.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO $1`, path); err != nil {
		return errors.Join(fmt.Errorf("copying a database: %w", err), os.Remove(path))
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("copying a database: %w", err)
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("copying a database: %w", err)
	}
	defer folder.Close()
	return folder.Sync()
}

// ReadSQLite opens a file that nobody writes, and writes nothing beside it.
func ReadSQLite(ctx context.Context, path string) (*sql.DB, error) {
	q := url.Values{"mode": {"ro"}, "immutable": {"1"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	db.SetMaxOpenConns(4)
	var verdict string
	err = db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict)
	if err == nil && verdict != "ok" {
		err = errors.New(verdict)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database %s is damaged: %w", path, err), db.Close())
	}
	return db, nil
}

// Unshared makes the database one file, which only works while nobody else has it open: ErrShared.
func Unshared(ctx context.Context, path string) error {
	q := url.Values{"_pragma": {"busy_timeout(1000)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: q.Encode()}).String())
	if err != nil {
		return fmt.Errorf("database %s: %w", path, err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var mode string
	err = db.QueryRowContext(ctx, `PRAGMA journal_mode = DELETE`).Scan(&mode)
	var refused *sqlite.Error
	if err == nil && mode != "delete" || errors.As(err, &refused) && refused.Code()&0xff == sqliteBusy {
		return fmt.Errorf("database %s: %w", path, ErrShared)
	}
	if err != nil {
		return fmt.Errorf("database %s: %w", path, err)
	}
	return nil
}

// sqliteBusy is SQLITE_BUSY.
const sqliteBusy = 5

// ErrShared says that another process has the database open.
var ErrShared = errors.New("another process has it open: stop serve, ingest and retain first")
