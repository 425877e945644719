package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Led reports whether some process holds the sequencer's lease at now. A checker asks it, to know
// whether leaves that wait for a number are late or only waiting for the next start.
func Led(ctx context.Context, db *sql.DB, now time.Time) (bool, error) {
	var expires int64
	err := db.QueryRowContext(ctx, `SELECT expires FROM audit_sequencer WHERE id = 1 AND holder <> ''`).Scan(&expires)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask for the sequencer's lease: %w", err)
	}
	return now.Before(micros(expires)), nil
}
