package audit

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/replay"
)

// replayedAtOnce is how many entries one statement of Replay reads.
const replayedAtOnce = 1000

// Replay makes the states of all clips from the entries of the stored log, those that wait for their number included. It holds
// nothing between two statements: what is logged meanwhile may be in it or not, and whoever compares it with rows that change
// compares again what differs. It does not check the log; Verify does.
func Replay(ctx context.Context, db *sql.DB, dialect string) (*replay.Clips, error) {
	clips, err := replayed(ctx, db, dialect)
	if err != nil {
		return nil, fmt.Errorf("replay the audit log: %w", err)
	}
	return clips, nil
}

func replayed(ctx context.Context, db *sql.DB, dialect string) (*replay.Clips, error) {
	engine, err := engineOf(dialect)
	if err != nil {
		return nil, err
	}
	clips, next := &replay.Clips{}, int64(0)
	for {
		n, err := clipEntries(ctx, db, clips, &next)
		if err != nil {
			return nil, err
		}
		if n < replayedAtOnce {
			break
		}
	}
	// An entry gets its number in one transaction with leaving those that wait: one state of both shows it once.
	tx, err := db.BeginTx(ctx, &engine.snapshot)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	for {
		n, err := clipEntries(ctx, tx, clips, &next)
		if err != nil {
			return nil, err
		}
		if n < replayedAtOnce {
			break
		}
	}
	return clips, unnumbered(ctx, tx, clips)
}

// clipEntries takes in the next entries that say something of clips, and says how many those were.
func clipEntries(ctx context.Context, from queryer, clips *replay.Clips, next *int64) (int, error) {
	args := []any{*next, replayedAtOnce}
	var places []string
	for _, event := range replay.Events() {
		args = append(args, event)
		places = append(places, fmt.Sprintf("$%d", len(args)))
	}
	rows, err := from.QueryContext(ctx, `SELECT seq, sequenced, entry FROM audit_leaf
		WHERE seq >= $1 AND event IN (`+strings.Join(places, ", ")+`) ORDER BY seq LIMIT $2`, args...)
	if err != nil {
		return 0, fmt.Errorf("read leaves: %w", err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var seq, sequenced int64
		var entry []byte
		if err := rows.Scan(&seq, &sequenced, &entry); err != nil {
			return n, fmt.Errorf("read leaves: %w", err)
		}
		*next = seq + 1
		if err := add(clips, leaf.Record(entry, micros(sequenced))); err != nil {
			return n, fmt.Errorf("entry %d: %w", seq, err)
		}
	}
	if err := rows.Err(); err != nil {
		return n, fmt.Errorf("read leaves: %w", err)
	}
	return n, nil
}

// unnumbered takes in what waits for its number, in the order in which it will get it.
func unnumbered(ctx context.Context, tx *sql.Tx, clips *replay.Clips) error {
	rows, err := tx.QueryContext(ctx, `SELECT id, at, entry FROM audit_pending ORDER BY id`)
	if err != nil {
		return fmt.Errorf("read leaves that wait: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var p pending
		if err := rows.Scan(&p.id, &p.at, &p.entry); err != nil {
			return fmt.Errorf("read leaves that wait: %w", err)
		}
		if err := add(clips, leaf.Record(p.entry, micros(p.at))); err != nil {
			return fmt.Errorf("leaf %s: %w", p.id, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read leaves that wait: %w", err)
	}
	return nil
}

func add(clips *replay.Clips, record []byte) error {
	l, err := leaf.Parse(record)
	if err != nil {
		return err
	}
	return clips.Add(l)
}
