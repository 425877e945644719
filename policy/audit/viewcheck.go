package audit

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strconv"
	"time"

	"klarsyn/policy"
)

// VerifyViewings reads one state of the database and checks invariant I6: every footage response
// belongs to exactly one viewing; every viewing was opened by exactly one leaf, not later than its
// first response; every closed viewing was closed by exactly one leaf, not earlier than its last response;
// both leaves say of it what its row says, and the closing one what its responses add up to; and no leaf
// tells of a viewing that is not there.
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
	for _, check := range []func(context.Context, *sql.Tx, *Report) error{responses, viewings, strayLeaves} {
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

// storedViewing is a viewing's row with the leaves that should have opened and closed it, and what its
// responses come to.
type storedViewing struct {
	policy.Viewing
	policy.Totals
	opened              int64
	begins              int64 // when the oldest entry that is kept was numbered; 0 while nothing was pruned
	closed              sql.NullInt64
	closing             sql.NullString
	openLeaf, closeLeaf []byte
	first, last         sql.NullInt64 // when the first response began, and the last one began or ended
}

func viewings(ctx context.Context, tx *sql.Tx, report *Report) error {
	rows, err := tx.QueryContext(ctx, `
		SELECT v.id, v.clip, v.camera, v.permit, v.permit_version, v.actor, v.role, v.session, v.remote, v.purpose, v.kase,
		       v.opened, v.closed, v.closing, COALESCE(ol.entry, op.entry), COALESCE(cl.entry, cp.entry), r.first_at, r.last_at,
		       COALESCE(r.n, 0), COALESCE(r.unfinished, 0), CAST(COALESCE(r.bytes, 0) AS BIGINT), COALESCE(r.seconds, 0.0),
		       COALESCE((SELECT sequenced FROM audit_leaf WHERE seq > 0 AND seq = (SELECT first_leaf FROM audit_sequencer WHERE id = 1)), 0)
		FROM audit_viewing v
		LEFT JOIN audit_leaf ol ON ol.id = v.id LEFT JOIN audit_pending op ON op.id = v.id
		LEFT JOIN audit_leaf cl ON cl.id = v.closing LEFT JOIN audit_pending cp ON cp.id = v.closing
		LEFT JOIN (
			SELECT viewing, COUNT(*) AS n, COUNT(*) - COUNT(ended) AS unfinished, SUM(bytes) AS bytes, SUM(seconds) AS seconds,
			       MIN(begun) AS first_at, MAX(CASE WHEN ended > begun THEN ended ELSE begun END) AS last_at
			FROM audit_response GROUP BY viewing) r ON r.viewing = v.id
		ORDER BY v.id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var v storedViewing
		var role string
		err := rows.Scan(&v.ID, &v.Clip, &v.Camera, &v.Permit, &v.PermitVersion, &v.Subject.Name, &role, &v.Subject.Session,
			&v.Subject.Remote, &v.Purpose, &v.Case, &v.opened, &v.closed, &v.closing, &v.openLeaf, &v.closeLeaf, &v.first, &v.last,
			&v.Responses, &v.Unfinished, &v.Bytes, &v.Seconds, &v.begins)
		if err != nil {
			return err
		}
		v.Subject.Role = policy.Role(role)
		report.Checked++
		v.checkOpening(report)
		v.checkClosing(report)
	}
	return rows.Err()
}

func (v *storedViewing) checkOpening(report *Report) {
	place := "viewing " + v.ID
	began, err := decode(v.openLeaf)
	if v.openLeaf == nil && v.opened < v.begins {
		// It was open when the log's own retention took the entry that opened it; the one that closed it is left.
		return
	}
	if err != nil || began.Event != policy.ViewingOpened {
		report.add(place, "no entry opened it")
	} else {
		v.compare(report, began, "opened", v.opened)
	}
	if v.first.Valid && v.first.Int64 < v.opened {
		report.add(place, "its first response began %s before it was opened", micros(v.opened).Sub(micros(v.first.Int64)))
	}
}

func (v *storedViewing) checkClosing(report *Report) {
	place := "viewing " + v.ID
	if !v.closed.Valid {
		if v.closing.Valid {
			report.add(place, "is open, but entry %s closed it", v.closing.String)
		}
		return
	}
	ended, err := decode(v.closeLeaf)
	if err != nil || ended.Event != policy.ViewingClosed || ended.Details["viewing"] != v.ID {
		report.add(place, "is closed, but no entry closed it")
		return
	}
	v.compare(report, ended, "closed", v.closed.Int64)
	for _, total := range []struct {
		name string
		rows int64
	}{{"responses", int64(v.Responses)}, {"unfinished", int64(v.Unfinished)}, {"bytes", v.Bytes}} {
		if said := ended.Details[total.name]; said != strconv.FormatInt(total.rows, 10) {
			report.add(place, "the entry that closed it says %s %q, its responses come to %d", total.name, said, total.rows)
		}
	}
	// The entry rounds to milliseconds, and sums of fractions depend on their order.
	seconds, err := strconv.ParseFloat(ended.Details["seconds"], 64)
	if err != nil || !(math.Abs(seconds-v.Seconds) < 0.002) {
		report.add(place, "the entry that closed it says seconds %q, its responses come to %.3f", ended.Details["seconds"], v.Seconds)
	}
	if v.last.Valid && v.last.Int64 > v.closed.Int64 {
		report.add(place, "a response began or ended %s after it was closed", micros(v.last.Int64).Sub(micros(v.closed.Int64)))
	}
}

// compare holds the row against the entry that opened or closed it. What differs is named and not quoted:
// a case number has no place in a checker's output.
func (v *storedViewing) compare(report *Report, e policy.Entry, what string, at int64) {
	for _, field := range []struct {
		name       string
		row, entry any
	}{
		{"clip", "clip:" + v.Clip, e.Object},
		{"camera", v.Camera, e.Details["camera"]},
		{"permit", v.Permit, e.Permit},
		{"permit version", v.PermitVersion, e.PermitVersion},
		{"actor", v.Subject.Name, e.Actor},
		{"role", v.Subject.Role, e.Role},
		{"session", v.Subject.Session, e.Session},
		{"remote address", v.Subject.Remote, e.Remote},
		{"purpose", v.Purpose, e.Purpose},
		{"case", v.Case, e.Case},
	} {
		if field.row != field.entry {
			report.add("viewing "+v.ID, "its %s is not that of the entry that %s it", field.name, what)
		}
	}
	if e.Time.UnixMicro() != at {
		report.add("viewing "+v.ID, "the entry that %s it is of %s, its row says %s", what, e.Time.Format(time.RFC3339Nano), micros(at).Format(time.RFC3339Nano))
	}
}

// strayLeaves finds leaves that open or close a viewing without being the one that its row names.
func strayLeaves(ctx context.Context, tx *sql.Tx, report *Report) error {
	for _, query := range []string{
		`SELECT l.entry FROM audit_leaf l
		LEFT JOIN audit_viewing o ON o.id = l.id LEFT JOIN audit_viewing c ON c.closing = l.id
		WHERE l.event IN ('viewing-opened', 'viewing-closed') AND o.id IS NULL AND c.id IS NULL`,
		`SELECT p.entry FROM audit_pending p
		LEFT JOIN audit_viewing o ON o.id = p.id LEFT JOIN audit_viewing c ON c.closing = p.id
		WHERE o.id IS NULL AND c.id IS NULL`,
	} {
		rows, err := tx.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var entry []byte
			if err := rows.Scan(&entry); err != nil {
				return err
			}
			e, err := decode(entry)
			if err != nil {
				continue // Verify finds it
			}
			switch e.Event {
			case policy.ViewingOpened:
				report.add("leaf "+e.ID, "opened a viewing of %s that is not there", e.Object)
			case policy.ViewingClosed:
				report.add("leaf "+e.ID, "closed a viewing of %s that is not there or was closed by another entry", e.Object)
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	return nil
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
