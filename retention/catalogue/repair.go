package catalogue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"klarsyn/policy"
	"klarsyn/retention"
)

// What a checker repairs. Each repair is one transaction that asks once more whether it is needed, changes only what is wrong
// then, and logs itself; false says that there was nothing to do. None makes anything readable, or lets go of what is held.

// DropHeader destroys the header of a clip that must have none: it is gone, or held past its deadline, and then only if every
// hold that keeps it has what opens it.
func (c *Catalogue) DropHeader(ctx context.Context, id string) (bool, error) {
	return c.repair(ctx, policy.KindClip, id, "a sealed header was left", "destroyed", `DELETE FROM catalogue_header WHERE clip = $1 AND EXISTS (
		SELECT 1 FROM catalogue_clip c WHERE c.id = $1 AND (c.state IN ('lost', 'deleting', 'deleted') OR c.cased_us <> 0 AND c.key_case = '' AND c.holds > 0
			AND EXISTS (SELECT 1 FROM catalogue_held d JOIN catalogue_hold h ON h.id = d.hold WHERE d.clip = c.id AND d.over_us = 0 AND h.lifted_us = 0)
			AND NOT EXISTS (SELECT 1 FROM catalogue_held d WHERE d.clip = c.id AND d.over_us = 0
				AND (d.header IS NULL OR length(d.header) = 0 OR d.file_key IS NULL OR length(d.file_key) = 0))))`, id)
}

// DropKept destroys what a hold still keeps of clips that it let go.
func (c *Catalogue) DropKept(ctx context.Context, hold string) (bool, error) {
	return c.repair(ctx, policy.KindHold, hold, "what opens a clip was left with a hold that let it go", "destroyed",
		`UPDATE catalogue_held SET header = NULL, file_key = NULL WHERE hold = $1 AND over_us <> 0 AND (header IS NOT NULL OR file_key IS NOT NULL)`, hold)
}

// EndDeleted gives a deleted clip the end that a deletion gives where no recorder did: its camera can record again.
func (c *Catalogue) EndDeleted(ctx context.Context, id string) (bool, error) {
	return c.repair(ctx, policy.KindClip, id, "it was deleted and had no end", "ended where it began",
		`UPDATE catalogue_clip SET end_us = start_us WHERE id = $1 AND end_us = 0 AND state = 'deleted'`, id)
}

// repair runs a statement, and logs it if it changed something.
func (c *Catalogue) repair(ctx context.Context, kind policy.Kind, id, reason, result, statement string, args ...any) (bool, error) {
	var n int64
	err := c.within(ctx, "repairing "+kind.Of(id), func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		if n, err = res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return c.Log.Append(ctx, tx, policy.RepairedEntry(c.Actor, kind, id, reason, result))
	})
	return n > 0 && err == nil, err
}

// ErrHoldsUnsure says that rows and log name other holds: then it is no repair to count the rows.
var ErrHoldsUnsure = errors.New("rows and log name other holds on the clip: restore the rows of holds from a backup of the catalogue")

// Recount counts the holds on a clip again, where deletion looks. logged are those that the log says are in force: without as
// many rows a clip would be let go that somebody needs.
func (c *Catalogue) Recount(ctx context.Context, id string, logged []string) (bool, error) {
	changed := false
	err := c.within(ctx, "counting the holds on clip "+id, func(tx *sql.Tx) error {
		changed = false
		clip, err := oneClip(ctx, tx, `WHERE id = $1`+c.locked(), id)
		if err != nil {
			return err
		}
		if clip.State != retention.Pending && !clip.Readable() {
			return nil
		}
		n, known, err := heldBy(ctx, tx, id, logged)
		switch {
		case err != nil:
			return err
		case n == clip.Holds:
			return nil
		case n < clip.Holds && known != len(logged):
			return ErrHoldsUnsure
		}
		// What nothing keeps is due again, if its deadline has passed.
		if _, err := tx.ExecContext(ctx, `UPDATE catalogue_clip SET holds = $1, cased_us = CASE WHEN $1 > 0 THEN cased_us ELSE 0 END WHERE id = $2`, n, id); err != nil {
			return err
		}
		changed = true
		return c.Log.Append(ctx, tx, policy.RepairedEntry(c.Actor, policy.KindClip, id, fmt.Sprintf("it counted %d holds", clip.Holds), fmt.Sprintf("%d keep it", n)))
	})
	return changed && err == nil, err
}

// heldBy is how many holds in force keep a clip, and how many of those that the log names are among them.
func heldBy(ctx context.Context, q querier, id string, logged []string) (n, known int, err error) {
	rows, err := q.QueryContext(ctx, `SELECT d.hold FROM catalogue_held d JOIN catalogue_hold h ON h.id = d.hold
		WHERE d.clip = $1 AND d.over_us = 0 AND h.lifted_us = 0`, id)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	in := map[string]bool{}
	for _, hold := range logged {
		in[hold] = true
	}
	for rows.Next() {
		var hold string
		if err := rows.Scan(&hold); err != nil {
			return 0, 0, err
		}
		n++
		if in[hold] {
			known++
		}
	}
	return n, known, rows.Err()
}
