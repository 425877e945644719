package identity

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Distrust is for accounts that were put back from a backup: nobody is logged in any more, and those that were changed since the
// backup was made may not log in until somebody has looked: one of them may have been disabled, or have lost a role. It says how
// many those are.
func Distrust(ctx context.Context, tx *sql.Tx, changed []string, now time.Time) (int, error) {
	if _, err := tx.ExecContext(ctx, `DELETE FROM identity_session`); err != nil {
		return 0, fmt.Errorf("ending the sessions of a backup: %w", err)
	}
	disabled := 0
	for _, name := range changed {
		res, err := tx.ExecContext(ctx, `UPDATE identity_account SET disabled = COALESCE(disabled, $1), changed = $1 WHERE name = $2`, now.UnixMicro(), name)
		if err != nil {
			return disabled, fmt.Errorf("disabling an account of a backup: %w", err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return disabled, err
		}
		disabled += int(n)
	}
	return disabled, nil
}
