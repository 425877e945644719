package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// The bounds of PostgreSQL's own patience: nothing of ours takes as long, so what does is stuck.
const (
	statementTimeout = 30 * time.Second
	lockTimeout      = 15 * time.Second // as busyTimeout
	idleInTx         = time.Minute
	connectTimeout   = 5 * time.Second
)

// OpenPostgres opens a PostgreSQL database: postgres://USER@HOST:PORT/DATABASE, with its password in a
// passfile (passfile=FILE in the address, PGPASSFILE, or ~/.pgpass) or none. A connection that breaks is
// replaced; what was asked over it fails.
func OpenPostgres(ctx context.Context, address string) (*sql.DB, error) {
	cfg, err := pgx.ParseConfig(address)
	if err != nil {
		// Not its cause: it may quote the address, and with it a password.
		return nil, errors.New("database: not an address: want postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full")
	}
	name := fmt.Sprintf("database %s at %s:%d", cfg.Database, cfg.Host, cfg.Port)
	cfg.ConnectTimeout = connectTimeout
	for parameter, value := range map[string]string{
		"application_name": "klarsyn", "timezone": "UTC",
		"statement_timeout": millis(statementTimeout), "lock_timeout": millis(lockTimeout),
		"idle_in_transaction_session_timeout": millis(idleInTx),
		// What is acknowledged survives a power cut, whatever the server's default is.
		"synchronous_commit": "on",
	} {
		cfg.RuntimeParams[parameter] = value
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(4)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("%s cannot be opened: %w", name, err)
	}
	var version int
	if err := db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		db.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if version < 150000 {
		db.Close()
		return nil, fmt.Errorf("%s is PostgreSQL %d: want 15 or newer", name, version/10000)
	}
	return db, nil
}

func millis(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
