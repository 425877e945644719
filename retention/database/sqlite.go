package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// OpenSQLite opens or makes the database file. It survives power cuts (WAL with full syncs), overwrites
// what is deleted, and lets every transaction that may write take its lock at once, so that two
// processes wait for each other instead of failing half-way.
func OpenSQLite(ctx context.Context, path string) (*sql.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o770); err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	if err := makeFile(path); err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	q := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout), "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)"},
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	db.SetMaxOpenConns(8)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("database %s cannot be opened: %w", path, err)
	}
	return db, nil
}

// makeFile makes an empty file unless there is one. It gets the rights that its folder gives its group,
// whatever the umask: several users share it. SQLite gives those of the file to all it makes beside it.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	st, err := folder.Stat()
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600|st.Mode()&0o060), folder.Sync())
}

// Scrub empties SQLite's write-ahead log, which still holds what was deleted from the tables. It does
// nothing on PostgreSQL, whose log is outside our reach: there the day keys do the forgetting.
//
// Waiting for a reader keeps all writers waiting too, so it gives up soon: ErrScrubBusy says to try again.
func Scrub(ctx context.Context, db *sql.DB, dialect string) error {
	if dialect != SQLite {
		return nil
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("emptying the write-ahead log: %w", err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `PRAGMA busy_timeout = 250`); err != nil {
		return fmt.Errorf("emptying the write-ahead log: %w", err)
	}
	// The connection goes back to the others, who wait longer.
	defer conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf(`PRAGMA busy_timeout = %d`, busyTimeout)) //nolint:errcheck // it only sets a number
	var busy, log, moved int
	if err := conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &log, &moved); err != nil {
		return fmt.Errorf("emptying the write-ahead log: %w", err)
	}
	if busy != 0 {
		return ErrScrubBusy
	}
	return nil
}

// ErrScrubBusy says that somebody reads the write-ahead log, so that it could not be emptied yet.
var ErrScrubBusy = errors.New("emptying the write-ahead log: a reader holds it; it is tried again")

// busyTimeout is how long a statement waits for another process, in milliseconds.
const busyTimeout = 15000
