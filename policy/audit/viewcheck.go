package audit

import (
	"context"
	"database/sql"
	"fmt"

	"klarsyn/policy"
)

// VerifyViewings reads one state of the database and checks invariant I6: every footage response
// belongs to exactly one viewing; every viewing was opened by exactly one leaf, not later than its
// first response; every closed viewing was closed by exactly one leaf; and no leaf tells of a viewing
// that is not there.
func VerifyViewings(ctx context.Context, db *sql.DB, dialect string) (Report, error) {
	engine, err := engineOf(dialect)
	if err != nil {
		return Report{}, fmt.Errorf("verify viewings: %w", err)
	}
	tx, err := db.BeginTx(ctx, &engine.snapshot)
	if err != nil {
		return Report{}, fmt.Errorf("verify viewings: %w", err)
	}
	defer tx.Rollback()
	var report Report
	for _, check := range []func(context.Context, *sql.Tx, *Report) error{responses, openings, strayLeaves} {
		if err := check(ctx, tx, &report); err != nil {
			return Report{}, fmt.Errorf("verify viewings: %w", err)
		}
	}
	return report, nil
}

func responses(ctx context.Context, tx *sql.Tx, report *Report) error {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM audit_response`).Scan(&n); err != nil {
		return err
	}
	report.Checked += n
	return each(ctx, tx, `
		SELECT r.id, r.viewing FROM audit_response r LEFT JOIN audit_viewing v ON v.id = r.viewing WHERE v.id IS NULL`,
		func(id, viewing string) {
			report.add("response "+id, "belongs to viewing %q, which is not there", viewing)
		})
}

// openings walks the viewings with the leaves that should have opened and closed them.
func openings(ctx context.Context, tx *sql.Tx, report *Report) error {
	rows, err := tx.QueryContext(ctx, `
		SELECT v.id, v.clip, v.actor, v.opened, v.closed, o.entry, c.id, c.entry,
		       (SELECT MIN(begun) FROM audit_response r WHERE r.viewing = v.id)
		FROM audit_viewing v
		LEFT JOIN audit_leaf o ON o.id = v.id
		LEFT JOIN audit_leaf c ON c.id = v.closing
		ORDER BY v.id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, clip, actor string
		var opened int64
		var closed, first sql.NullInt64
		var closing sql.NullString
		var openLeaf, closeLeaf []byte
		if err := rows.Scan(&id, &clip, &actor, &opened, &closed, &openLeaf, &closing, &closeLeaf, &first); err != nil {
			return err
		}
		report.Checked++
		place := "viewing " + id
		began, err := decode(openLeaf)
		if err != nil || began.Event != policy.ViewingOpened || began.Object != "clip:"+clip || began.Actor != actor {
			report.add(place, "no entry opened it for %s and clip %s", actor, clip)
		} else if began.Time.UnixMicro() != opened {
			report.add(place, "its entry is of %s, its row says %s", began.Time, micros(opened))
		}
		if first.Valid && first.Int64 < opened {
			report.add(place, "its first response began %s before it was opened", micros(opened).Sub(micros(first.Int64)))
		}
		if !closed.Valid {
			if closing.Valid {
				report.add(place, "is open, but entry %s closed it", closing.String)
			}
			continue
		}
		ended, err := decode(closeLeaf)
		if err != nil || ended.Event != policy.ViewingClosed || ended.Details["viewing"] != id {
			report.add(place, "is closed, but no entry closed it")
		}
	}
	return rows.Err()
}

// strayLeaves finds leaves that open or close a viewing without being the one that its row names.
func strayLeaves(ctx context.Context, tx *sql.Tx, report *Report) error {
	err := each(ctx, tx, `
		SELECT l.id, l.object FROM audit_leaf l LEFT JOIN audit_viewing v ON v.id = l.id
		WHERE l.event = '`+string(policy.ViewingOpened)+`' AND v.id IS NULL`,
		func(leaf, object string) {
			report.add("leaf "+leaf, "opened a viewing of %s that is not there", object)
		})
	if err != nil {
		return err
	}
	return each(ctx, tx, `
		SELECT l.id, l.object FROM audit_leaf l LEFT JOIN audit_viewing v ON v.closing = l.id
		WHERE l.event = '`+string(policy.ViewingClosed)+`' AND v.id IS NULL`,
		func(leaf, object string) {
			report.add("leaf "+leaf, "closed a viewing of %s that is not there or was closed by another entry", object)
		})
}

func each(ctx context.Context, tx *sql.Tx, query string, found func(a, b string)) error {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a, b string
		if err := rows.Scan(&a, &b); err != nil {
			return err
		}
		found(a, b)
	}
	return rows.Err()
}
