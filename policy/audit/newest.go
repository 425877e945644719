package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
)

// Checkpoint is the newest checkpoint as the log signed it, without what witnesses said of it; fs.ErrNotExist if there is none.
func (l *Log) Checkpoint(ctx context.Context) (string, error) { return CheckpointIn(ctx, l.db) }

// CheckpointIn is the newest checkpoint that somebody else's transaction, or a database, shows.
func CheckpointIn(ctx context.Context, from interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) (string, error) {
	var signed string
	err := from.QueryRowContext(ctx, `SELECT note FROM audit_checkpoint ORDER BY number DESC LIMIT 1`).Scan(&signed)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fs.ErrNotExist
	}
	if err != nil {
		return "", fmt.Errorf("newest checkpoint of the log: %w", err)
	}
	return signed, nil
}
