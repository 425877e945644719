package keys

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"klarsyn/retention/crashpoint"
)

// Mark is the master key that something was sealed under: its name, and which version of it.
type Mark struct {
	Name    string
	Version int64
}

// errLeft says that what was sealed lies under a master key that is being left: nobody will be able to open it.
var errLeft = errors.New("the master key was rotated meanwhile")

// sealTries is how often a value is sealed anew because the master key was rotated just then.
const sealTries = 3

// sealAndKeep seals plain and keeps it in a row. A rotation destroys the master key before it once every row is resealed: a row
// that comes after that, and was sealed before it, would be lost. args is asked for each time that it was sealed, right before it is kept.
func (s *Store) sealAndKeep(ctx context.Context, plain []byte, insert string, args func(sealed []byte) ([]any, error)) (kept bool, err error) {
	for range sealTries {
		var sealed []byte
		var mark Mark
		var row []any
		if sealed, mark, err = s.Sealer.Seal(ctx, plain); err != nil {
			return false, err
		}
		crashpoint.Here("mint.sealed")
		if row, err = args(sealed); err != nil {
			return false, err
		}
		if kept, err = s.keep(ctx, mark, insert, row); !errors.Is(err, errLeft) {
			return kept, err
		}
		if r, ok := s.Sealer.(interface{ Reload() error }); ok {
			if reloadErr := r.Reload(); reloadErr != nil {
				return false, errors.Join(err, reloadErr)
			}
		}
	}
	return false, fmt.Errorf("%w: keys are sealed under another one now; write it as master: into the configuration and start this process again", err)
}

// keep inserts first and looks at the master key then: the rotation keeps everybody from inserting while it says which one holds.
func (s *Store) keep(ctx context.Context, mark Mark, insert string, args []any) (kept bool, err error) {
	tx, err := s.DB.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	res, err := tx.ExecContext(ctx, insert, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return false, err
	}
	held, err := masterOf(ctx, tx)
	if err != nil {
		return false, err
	}
	if held.Name != "" && (held.Name != mark.Name || held.Version > mark.Version) {
		return false, errLeft
	}
	return n == 1, tx.Commit()
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// masterOf is the master key that holds; without a name if none was ever rotated.
func masterOf(ctx context.Context, q querier) (held masterRow, err error) {
	err = q.QueryRowContext(ctx, `SELECT name, version, leaving, step FROM keys_master`).Scan(&held.Name, &held.Version, &held.leaving, &held.step)
	if errors.Is(err, sql.ErrNoRows) {
		return masterRow{}, nil
	}
	if err != nil {
		return masterRow{}, fmt.Errorf("reading which master key holds: %w", err)
	}
	return held, nil
}

type masterRow struct {
	Mark
	leaving, step string
}
