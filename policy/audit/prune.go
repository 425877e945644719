package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit/leaf"
)

// maxPruned bounds how many bundles of entries go in one transaction.
const maxPruned = 40

// prunable is what is older than the log is kept, in whole bundles. Hashes stay: with them every proof that was
// ever given still holds, and new ones of what is left can be made.
type prunable struct {
	entry, checkpoint int64 // the first that are kept
	keep              policy.Period
	more              bool // there is more than one transaction should remove
	any               bool
}

// prunable finds what was numbered before the log's own retention.
func (l *Log) prunable(ctx context.Context, tx *sql.Tx, now time.Time) (prunable, error) {
	p := prunable{keep: *l.keep}
	var size int64
	err := tx.QueryRowContext(ctx, `SELECT size, first_leaf, first_checkpoint FROM audit_sequencer WHERE id = 1`).Scan(&size, &p.entry, &p.checkpoint)
	if err != nil {
		return p, fmt.Errorf("prune the log: %w", err)
	}
	bundles := min(size/leaf.Width-p.entry/leaf.Width, maxPruned+1)
	var failed error
	// Numbering times grow with the numbers, so the first bundle that is too young is found by halving.
	old := sort.Search(int(bundles), func(i int) bool {
		var sequenced int64
		last := p.entry + int64(i+1)*leaf.Width - 1
		if err := tx.QueryRowContext(ctx, `SELECT sequenced FROM audit_leaf WHERE seq = $1`, last).Scan(&sequenced); err != nil {
			failed = errors.Join(failed, err)
			return true
		}
		return l.keep.After(micros(sequenced)).After(now)
	})
	if failed != nil {
		return p, fmt.Errorf("prune the log: %w", failed)
	}
	if old == 0 {
		return p, nil
	}
	p.any, p.more = true, old > maxPruned
	p.entry += int64(min(old, maxPruned)) * leaf.Width
	var first sql.NullInt64
	err = tx.QueryRowContext(ctx, `SELECT MIN(number) FROM audit_checkpoint WHERE size > $1`, p.entry).Scan(&first)
	if err != nil {
		return p, fmt.Errorf("prune the log: %w", err)
	}
	if first.Valid {
		p.checkpoint = max(p.checkpoint, (first.Int64-1)/leaf.Width*leaf.Width+1)
	}
	return p, nil
}

// pruning is what the log says of it; verify.PrunedEvent and its details are read back by whoever checks.
func (p prunable) pruning() policy.Pruning {
	return policy.Pruning{FirstEntry: p.entry, FirstCheckpoint: p.checkpoint, Keep: p.keep.String()}
}

// remove removes the entries, the checkpoints of which no bundle is left, and the viewings that ended then.
func (p prunable) remove(ctx context.Context, tx *sql.Tx) error {
	if !p.any {
		return nil
	}
	for _, statement := range []struct {
		text string
		args []any
	}{
		{`DELETE FROM audit_response WHERE viewing IN (SELECT v.id FROM audit_viewing v JOIN audit_leaf c ON c.id = v.closing WHERE c.seq < $1)`, []any{p.entry}},
		{`DELETE FROM audit_viewing WHERE closing IN (SELECT id FROM audit_leaf WHERE event = $2 AND seq < $1)`, []any{p.entry, string(policy.ViewingClosed)}},
		{`DELETE FROM audit_leaf WHERE seq < $1`, []any{p.entry}},
		{`DELETE FROM audit_checkpoint WHERE number < $1 AND rotation = 0`, []any{p.checkpoint}},
		{`DELETE FROM audit_cosignature WHERE number < $1`, []any{p.checkpoint}},
		{`UPDATE audit_sequencer SET first_leaf = $1, first_checkpoint = $2 WHERE id = 1`, []any{p.entry, p.checkpoint}},
	} {
		if _, err := tx.ExecContext(ctx, statement.text, statement.args...); err != nil {
			return fmt.Errorf("prune the log: %w", err)
		}
	}
	return nil
}
