package audit

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"klarsyn/policy/audit/leaf"
)

// number gives the leaves their numbers, and stores the tiles that the tree grew by.
func number(ctx context.Context, tx *sql.Tx, t *edge, leaves []pending, stamp time.Time) error {
	const rowsAtOnce = 100
	for begin := 0; begin < len(leaves); begin += rowsAtOnce {
		some := leaves[begin:min(begin+rowsAtOnce, len(leaves))]
		first := t.Size()
		var move, remove inserted
		for i, p := range some {
			// What somebody else than Append put there is numbered all the same, and found by no search: a checker finds it.
			e, _ := decode(p.entry)
			move.row(first+int64(i), p.id, stamp.UnixMicro(), p.at, string(e.Event), e.Actor, e.Object, e.Case, p.entry)
			remove.value(p.id)
			if err := t.add(ctx, tx, leaf.Hash(p.entry, stamp)); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO audit_leaf (seq, id, sequenced, at, event, actor, object, kase, entry) VALUES `+move.text(), move.args...); err != nil { //nolint:gosec // only placeholders are joined
			return fmt.Errorf("number leaves: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM audit_pending WHERE id IN (`+remove.text()+`)`, remove.args...); err != nil { //nolint:gosec // only placeholders are joined
			return fmt.Errorf("number leaves: %w", err)
		}
	}
	return t.store(ctx, tx)
}

// inserted collects values for one statement, and the placeholders that stand for them.
type inserted struct {
	args []any
	rows []string
}

func (in *inserted) row(values ...any) {
	var row inserted
	for _, v := range values {
		in.args = append(in.args, v)
		row.rows = append(row.rows, fmt.Sprintf("$%d", len(in.args)))
	}
	in.rows = append(in.rows, "("+row.text()+")")
}

func (in *inserted) value(v any) {
	in.args = append(in.args, v)
	in.rows = append(in.rows, fmt.Sprintf("$%d", len(in.args)))
}

func (in *inserted) text() string { return strings.Join(in.rows, ", ") }
