package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"klarsyn/policy"
)

const viewingColumns = `id, clip, camera, permit, permit_version, actor, role, session, remote, purpose, kase, opened, active`

// Open stores a viewing with the entry that opens it, or finds the open one that it would repeat: see
// policy.Viewings.
func (l *Log) Open(ctx context.Context, v policy.Viewing, opened policy.Entry) (policy.Viewing, error) {
	if opened.ID != v.ID || opened.Event != policy.ViewingOpened {
		return policy.Viewing{}, fmt.Errorf("open viewing %s: entry %s %s is not the one that opens it", v.ID, opened.ID, opened.Event)
	}
	var found policy.Viewing
	err := l.within(ctx, func(tx *sql.Tx) error {
		var err error
		found, err = scanViewing(tx.QueryRowContext(ctx, `
			INSERT INTO audit_viewing (`+viewingColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			ON CONFLICT (actor, session, clip, purpose, kase) WHERE closed IS NULL
			DO UPDATE SET active = CASE WHEN audit_viewing.active < excluded.active THEN excluded.active ELSE audit_viewing.active END
			RETURNING `+viewingColumns,
			v.ID, v.Clip, v.Camera, v.Permit, v.PermitVersion, v.Subject.Name, string(v.Subject.Role), v.Subject.Session,
			v.Subject.Remote, v.Purpose, v.Case, v.Opened.UnixMicro(), v.Active.UnixMicro()))
		if err != nil {
			return fmt.Errorf("open viewing %s: %w", v.ID, err)
		}
		if found.ID != v.ID {
			return nil
		}
		return l.Append(ctx, tx, opened)
	})
	return found, err
}

// Respond notes that a response begins.
func (l *Log) Respond(ctx context.Context, viewing string, at time.Time) (string, error) {
	id, err := l.ids.next(at)
	if err != nil {
		return "", fmt.Errorf("name a response: %w", err)
	}
	if err := l.room(); err != nil {
		return "", notLogged("response in viewing "+viewing, err)
	}
	err = l.within(ctx, func(tx *sql.Tx) error {
		if err := touch(ctx, tx, viewing, at); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO audit_response (id, viewing, begun, bytes, seconds) VALUES ($1, $2, $3, 0, 0)`,
			id, viewing, at.UnixMicro())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("response in viewing %s: %w", viewing, err)
	}
	return id, nil
}

// touch locks the open viewing against being closed, and marks it active.
func touch(ctx context.Context, tx *sql.Tx, viewing string, at time.Time) error {
	result, err := tx.ExecContext(ctx, `
		UPDATE audit_viewing SET active = CASE WHEN active < $1 THEN $1 ELSE active END WHERE id = $2 AND closed IS NULL`,
		at.UnixMicro(), viewing)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = policy.ErrViewingClosed
	}
	return err
}

// Served notes how a response ended; only its first end counts. The closing entry of a viewing counted its
// responses: what ends after that changes none of them, and is ErrViewingClosed.
func (l *Log) Served(ctx context.Context, response string, at time.Time, bytes int64, seconds float64) error {
	err := l.within(ctx, func(tx *sql.Tx) error {
		var viewing string
		err := tx.QueryRowContext(ctx, `SELECT viewing FROM audit_response WHERE id = $1 AND ended IS NULL`, response).Scan(&viewing)
		if err != nil {
			return err
		}
		if err := touch(ctx, tx, viewing, at); err != nil {
			return err
		}
		var ended string
		return tx.QueryRowContext(ctx, `
			UPDATE audit_response SET ended = $1, bytes = $2, seconds = $3 WHERE id = $4 AND ended IS NULL RETURNING id`,
			at.UnixMicro(), bytes, seconds, response).Scan(&ended)
	})
	if err != nil {
		return fmt.Errorf("end of response %s: %w", response, err)
	}
	return nil
}

// Active marks viewings whose responses still run.
func (l *Log) Active(ctx context.Context, viewings []string, at time.Time) error {
	return l.within(ctx, func(tx *sql.Tx) error {
		for _, viewing := range viewings {
			if err := touch(ctx, tx, viewing, at); err != nil && !errors.Is(err, policy.ErrViewingClosed) {
				return fmt.Errorf("mark viewing %s active: %w", viewing, err)
			}
		}
		return nil
	})
}

// Stale lists open viewings without a sign of life since idleSince.
func (l *Log) Stale(ctx context.Context, idleSince time.Time) ([]policy.Viewing, error) {
	rows, err := l.db.QueryContext(ctx, `
		SELECT `+viewingColumns+` FROM audit_viewing WHERE closed IS NULL AND active <= $1 ORDER BY id LIMIT $2`,
		idleSince.UnixMicro(), maxLimit)
	if err != nil {
		return nil, fmt.Errorf("list idle viewings: %w", err)
	}
	defer rows.Close()
	var stale []policy.Viewing
	for rows.Next() {
		v, err := scanViewing(rows)
		if err != nil {
			return nil, fmt.Errorf("list idle viewings: %w", err)
		}
		stale = append(stale, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list idle viewings: %w", err)
	}
	return stale, nil
}

// Close closes an idle viewing with the entry that says what it came to.
func (l *Log) Close(ctx context.Context, viewing string, at, idleSince time.Time, closed func(policy.Viewing, policy.Totals) policy.Entry) (bool, error) {
	entryID, err := l.ids.next(at)
	if err != nil {
		return false, fmt.Errorf("name the end of viewing %s: %w", viewing, err)
	}
	done := false
	err = l.within(ctx, func(tx *sql.Tx) error {
		v, err := scanViewing(tx.QueryRowContext(ctx, `
			UPDATE audit_viewing SET closed = $1, closing = $2 WHERE id = $3 AND closed IS NULL AND active <= $4
			RETURNING `+viewingColumns, at.UnixMicro(), entryID, viewing, idleSince.UnixMicro()))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		var t policy.Totals
		err = tx.QueryRowContext(ctx, `
			SELECT COUNT(*), COUNT(*) - COUNT(ended), CAST(COALESCE(SUM(bytes), 0) AS BIGINT), COALESCE(SUM(seconds), 0.0)
			FROM audit_response WHERE viewing = $1`, viewing).Scan(&t.Responses, &t.Unfinished, &t.Bytes, &t.Seconds)
		if err != nil {
			return err
		}
		entry := closed(v, t)
		entry.ID = entryID
		done = true
		return l.Append(ctx, tx, entry)
	})
	if err != nil {
		return false, fmt.Errorf("close viewing %s: %w", viewing, err)
	}
	return done, nil
}

func scanViewing(row interface{ Scan(...any) error }) (policy.Viewing, error) {
	var v policy.Viewing
	var role string
	var opened, active int64
	err := row.Scan(&v.ID, &v.Clip, &v.Camera, &v.Permit, &v.PermitVersion, &v.Subject.Name, &role, &v.Subject.Session,
		&v.Subject.Remote, &v.Purpose, &v.Case, &opened, &active)
	v.Subject.Role, v.Opened, v.Active = policy.Role(role), micros(opened), micros(active)
	return v, err
}
