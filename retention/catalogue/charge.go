package catalogue

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"klarsyn/policy"
	"klarsyn/retention"
)

// chargeable are clips whose header is destroyed but whose bytes may still be there, and that no other sweeper has in its
// charge. Who was here before may take what is his: his pass over it has ended.
func (c *Catalogue) chargeable() string {
	return `WHERE state = 'deleting' AND id > $1 AND (lease_us <= ` + c.databaseTime() + ` OR sweeper = $2) ORDER BY id LIMIT $3`
}

// TakeCharge gives a sweeper up to limit clips that are being deleted, in order of their ids, from the one after after. Until
// the lease ends, by the clock of the database, no other sweeper gets them; each taking has a fence of its own.
func (c *Catalogue) TakeCharge(ctx context.Context, l retention.Lease, after string, limit int) ([]retention.Charge, error) {
	// Asked without a lock first: mostly there is nothing.
	var some bool
	if err := c.DB.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM catalogue_clip WHERE state = 'deleting' AND id > $1)`, after).Scan(&some); err != nil || !some {
		return nil, wrapped("looking for clips to remove", err)
	}
	var taken []retention.Charge
	err := c.within(ctx, "taking charge of clips to remove", func(tx *sql.Tx) error {
		taken = nil
		found, err := clips(ctx, tx, c.chargeable()+c.skippingLocked(), after, l.Sweeper, limit)
		if err != nil || len(found) == 0 {
			return err
		}
		args := []any{l.Sweeper, l.For.Microseconds()}
		for _, clip := range found {
			args = append(args, clip.ID)
		}
		//nolint:gosec // what is put together is the dialect's clock and numbers of parameters
		take := `UPDATE catalogue_clip SET sweeper = $1, fence = fence + 1, lease_us = ` + c.databaseTime() + ` + $2
			WHERE id IN (` + numbered(3, len(found)) + `) RETURNING id, fence`
		rows, err := tx.QueryContext(ctx, take, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		fences := make(map[string]int64, len(found))
		for rows.Next() {
			var id string
			var fence int64
			if err := rows.Scan(&id, &fence); err != nil {
				return err
			}
			fences[id] = fence
		}
		for _, clip := range found {
			taken = append(taken, retention.Charge{Clip: clip, Sweeper: l.Sweeper, Fence: fences[clip.ID]})
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

// Bury ends deletions whose absence was proved by listing, in one transaction with their log entries, and returns the ids of
// those that it ended. It may be repeated: only the first call changes and logs anything. Nor does it where another sweeper
// took charge meanwhile.
func (c *Catalogue) Bury(ctx context.Context, stones []retention.Tombstone) ([]string, error) {
	var buried []string
	err := c.within(ctx, "writing tombstones", func(tx *sql.Tx) error {
		buried = nil
		var entries []policy.Entry
		for _, alike := range alikes(stones) {
			ended, err := bury(ctx, tx, alike)
			if err != nil {
				return err
			}
			for _, t := range alike {
				if !ended[t.ID] {
					continue
				}
				buried = append(buried, t.ID)
				entries = append(entries, policy.ClipDeletedEntry(c.Actor, refOf(t.Clip), policy.Deletion{
					Deadline: t.Deadline, Deleted: t.At, Removed: t.Removed, Listed: t.Listed,
					From: t.Start, To: t.End, SHA256: t.SHA256, Size: t.Size,
				}))
			}
		}
		return c.appendAll(ctx, tx, entries)
	})
	if err != nil {
		return nil, err
	}
	return buried, nil
}

// alikes are the tombstones that one statement writes: mostly all.
func alikes(stones []retention.Tombstone) [][]retention.Tombstone {
	order := func(a, b retention.Tombstone) int {
		return cmp.Or(cmp.Compare(a.Sweeper, b.Sweeper), cmp.Compare(a.Fence, b.Fence), cmp.Compare(a.Removed, b.Removed),
			cmp.Compare(a.Listed, b.Listed), a.At.Compare(b.At))
	}
	sorted := slices.Clone(stones)
	slices.SortStableFunc(sorted, order)
	var groups [][]retention.Tombstone
	for i, t := range sorted {
		if i == 0 || order(sorted[i-1], t) != 0 {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], t)
	}
	return groups
}

// bury writes tombstones that are alike, and says of which clips it did.
func bury(ctx context.Context, tx *sql.Tx, alike []retention.Tombstone) (map[string]bool, error) {
	t := alike[0]
	args := []any{micros(t.At), t.Removed, t.Listed, t.Sweeper, t.Fence}
	for _, t := range alike {
		args = append(args, t.ID)
	}
	//nolint:gosec // what is put together is numbers of parameters
	end := `UPDATE catalogue_clip SET state = 'deleted', deleted_us = $1, removed = $2, listed = $3, lease_us = 0,
		end_us = CASE WHEN end_us = 0 THEN start_us ELSE end_us END -- its recorder never came back to say
		WHERE state = 'deleting' AND sweeper = $4 AND fence = $5 AND id IN (` + numbered(6, len(alike)) + `) RETURNING id`
	rows, err := tx.QueryContext(ctx, end, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ended := make(map[string]bool, len(alike))
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ended[id] = true
	}
	return ended, rows.Err()
}

// together is a log that takes many entries at once.
type together interface {
	AppendAll(ctx context.Context, tx *sql.Tx, entries []policy.Entry) error
}

// appendAll logs entries in the transaction of what they record.
func (c *Catalogue) appendAll(ctx context.Context, tx *sql.Tx, entries []policy.Entry) error {
	if log, ok := c.Log.(together); ok {
		return log.AppendAll(ctx, tx, entries)
	}
	for _, e := range entries {
		if err := c.Log.Append(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
}

// numbered are n parameters from $from on, as a list.
func numbered(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(from + i))
	}
	return b.String()
}

// changed turns an update that met another number of rows into retention.ErrGone: some of them went another way.
func changed(res sql.Result, err error, want int) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n != int64(want) {
		return fmt.Errorf("%d of %d: %w", n, want, retention.ErrGone)
	}
	return nil
}

func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
