package audit

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"klarsyn/policy"
)

// Query selects entries; what is zero selects everything.
type Query struct {
	From, To     int64          // sequence numbers, From inclusive, To exclusive; To 0: to the end
	Since, Until time.Time      // of the entries' own time, Since inclusive, Until exclusive
	Events       []policy.Event // any of them
	Actor        string
	Object       string // "clip:01J…", "camera:k1"
	Case         string
	Newest       bool // newest first
	Limit        int  // 0: 100; at most 1000
}

// Numbered is an entry with its place in the log.
type Numbered struct {
	Seq       int64     `json:"seq"`
	Sequenced time.Time `json:"sequenced"`
	policy.Entry
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Entries lists sequenced entries in the order of the log: at most a second old ones are not in it yet.
func (l *Log) Entries(ctx context.Context, q Query) ([]Numbered, error) {
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	conditions, args := []string{"seq >= $1"}, []any{q.From}
	where := func(condition string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(condition, len(args)))
	}
	if q.To > 0 {
		where("seq < $%d", q.To)
	}
	if !q.Since.IsZero() {
		where("at >= $%d", q.Since.UnixMicro())
	}
	if !q.Until.IsZero() {
		where("at < $%d", q.Until.UnixMicro())
	}
	if len(q.Events) > 0 {
		var any []string
		for _, event := range q.Events {
			args = append(args, string(event))
			any = append(any, fmt.Sprintf("$%d", len(args)))
		}
		conditions = append(conditions, "event IN ("+strings.Join(any, ", ")+")")
	}
	for _, equal := range []struct{ column, value string }{
		{"actor", q.Actor}, {"object", q.Object}, {"kase", q.Case},
	} {
		if equal.value != "" {
			where(equal.column+" = $%d", equal.value)
		}
	}
	order := "seq"
	if q.Newest {
		order = "seq DESC"
	}
	args = append(args, min(q.Limit, maxLimit))
	rows, err := l.db.QueryContext(ctx, fmt.Sprintf(
		`SELECT seq, sequenced, entry FROM audit_leaf WHERE %s ORDER BY %s LIMIT $%d`,
		strings.Join(conditions, " AND "), order, len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	defer rows.Close()
	var found []Numbered
	for rows.Next() {
		var n Numbered
		var sequenced int64
		var leaf []byte
		if err := rows.Scan(&n.Seq, &sequenced, &leaf); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		if n.Entry, err = decode(leaf); err != nil {
			return nil, fmt.Errorf("entry %d: %w: %w", n.Seq, ErrDamaged, err)
		}
		n.Sequenced = micros(sequenced)
		found = append(found, n)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return found, nil
}

// Grown is how many entries got their number since then.
func (l *Log) Grown(ctx context.Context, since time.Time) (int64, error) {
	var n int64
	if err := l.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM audit_leaf WHERE at >= $1`, since.UnixMicro()).Scan(&n); err != nil {
		return 0, fmt.Errorf("growth of the audit log: %w", err)
	}
	return n, nil
}

// Size is the number of sequenced entries.
func (l *Log) Size(ctx context.Context) (int64, error) {
	var size int64
	if err := l.db.QueryRowContext(ctx, `SELECT size FROM audit_sequencer WHERE id = 1`).Scan(&size); err != nil {
		return 0, fmt.Errorf("size of the audit log: %w", err)
	}
	return size, nil
}

// Pending is the number of committed entries that are not sequenced yet, and the time of the oldest:
// a number that stays above zero for seconds means that nobody sequences.
func (l *Log) Pending(ctx context.Context) (n int64, oldest time.Time, err error) {
	var at sql.NullInt64
	if err := l.db.QueryRowContext(ctx, `SELECT COUNT(*), MIN(at) FROM audit_pending`).Scan(&n, &at); err != nil {
		return 0, time.Time{}, fmt.Errorf("pending entries of the audit log: %w", err)
	}
	if at.Valid {
		oldest = micros(at.Int64)
	}
	return n, oldest, nil
}

// LastTime is the time of the newest entry, sequenced or not, or of the newest checkpoint if that is later; zero if there is
// neither. A clock that shows less was set back, one that shows much more jumped: an entry that was stamped before the newest
// checkpoint would look like one that was kept from its number.
func (l *Log) LastTime(ctx context.Context) (time.Time, error) {
	var entry, checkpoint int64
	err := l.db.QueryRowContext(ctx, `
		SELECT COALESCE((SELECT at FROM audit_pending ORDER BY id DESC LIMIT 1), (SELECT at FROM audit_leaf ORDER BY seq DESC LIMIT 1), 0),
		       COALESCE((SELECT sequenced FROM audit_sequencer WHERE id = 1), 0)`).Scan(&entry, &checkpoint)
	if err != nil {
		return time.Time{}, fmt.Errorf("time of the newest entry: %w", err)
	}
	if entry == 0 && checkpoint == 0 {
		return time.Time{}, nil
	}
	return micros(max(entry, checkpoint)), nil
}
