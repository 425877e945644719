package database

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Time is the clock of a PostgreSQL server. SQLite has none of its own.
func Time(ctx context.Context, db *sql.DB) (time.Time, error) {
	var us int64
	if err := db.QueryRowContext(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`).Scan(&us); err != nil {
		return time.Time{}, fmt.Errorf("asking the database for the time: %w", err)
	}
	return time.UnixMicro(us).UTC(), nil
}
