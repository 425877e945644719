package catalogue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
)

const dueClips = `WHERE deadline_us <= $1 AND cased_us = 0 AND state IN ('pending', 'committed', 'partial', 'lost')
	ORDER BY deadline_us LIMIT $2`

// Claim takes up to limit clips whose deadline is at or before now: in one transaction their headers
// are destroyed, so that nobody can read them from this instant on, and the log says so. Those that are held are not
// returned: they lose their day key's header, and from here on only the keys of their cases open them.
func (c *Catalogue) Claim(ctx context.Context, now time.Time, limit int) ([]retention.Clip, error) {
	var claimed []retention.Clip
	err := c.within(ctx, "claiming clips that are due", func(tx *sql.Tx) error {
		claimed = nil
		due, err := clips(ctx, tx, dueClips+c.skippingLocked(), micros(now), limit)
		if err != nil {
			return err
		}
		var entries []policy.Entry
		args := []any{micros(now)}
		for _, clip := range due {
			if clip.Held() && clip.State != retention.Lost { // of what was lost there is nothing to keep
				if err := c.holdOver(ctx, tx, clip, now); err != nil {
					return err
				}
				continue
			}
			entries = append(entries, policy.ClipShreddedEntry(c.Actor, refOf(clip), clip.Deadline, string(clip.State)))
			args = append(args, clip.ID)
			clip.State = retention.Deleting
			claimed = append(claimed, clip)
		}
		if len(claimed) == 0 {
			return nil
		}
		//nolint:gosec // what is put together is numbers of parameters
		res, err := tx.ExecContext(ctx, `UPDATE catalogue_clip SET state = 'deleting', shredded_us = $1
			WHERE state IN ('pending', 'committed', 'partial', 'lost') AND id IN (`+numbered(2, len(claimed))+`)`, args...)
		if err := changed(res, err, len(claimed)); err != nil {
			return err
		}
		//nolint:gosec // as above
		if _, err := tx.ExecContext(ctx, `DELETE FROM catalogue_header WHERE clip IN (`+numbered(1, len(claimed))+`)`, args[1:]...); err != nil {
			return err
		}
		return c.appendAll(ctx, tx, entries)
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// Owner says whether a clip has that object key, and whether it may still have bytes.
func (c *Catalogue) Owner(ctx context.Context, key string) (known, live bool, err error) {
	var state retention.State
	err = c.DB.QueryRowContext(ctx, `SELECT state FROM catalogue_clip WHERE object_key = $1`, key).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("looking up object %s: %w", key, err)
	}
	return true, state != retention.Deleted && state != retention.Lost, nil
}

// PublishRecipient makes the public half of a freshly minted day key known to the recorders, and logs it.
// One that stands there already is replaced if it differs: its secret half was lost with the key store,
// and what is sealed to it nobody can open.
func (c *Catalogue) PublishRecipient(ctx context.Context, permit, day, recipient string) error {
	return c.within(ctx, "publishing a day key's recipient", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO catalogue_recipient (permit, day, recipient) VALUES ($1, $2, $3)
			ON CONFLICT (permit, day) DO UPDATE SET recipient = excluded.recipient WHERE catalogue_recipient.recipient <> excluded.recipient`,
			permit, day, recipient)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return c.Log.Append(ctx, tx, policy.DayKeyMintedEntry(c.Actor, policy.DayKey{Permit: permit, Day: day}))
	})
}

const keyNeeded = `SELECT EXISTS (SELECT 1 FROM catalogue_clip WHERE permit = $1 AND key_day = $2 AND state <> 'deleted' AND cased_us = 0 AND key_case = '')`

// KeyNeeded reports whether a clip that is not deleted is opened by that day key: one that is held past its deadline is not.
func (c *Catalogue) KeyNeeded(ctx context.Context, permit, day string) (bool, error) {
	var needed bool
	if err := c.DB.QueryRowContext(ctx, keyNeeded, permit, day).Scan(&needed); err != nil {
		return false, fmt.Errorf("looking for clips of day key %s %s: %w", permit, day, err)
	}
	return needed, nil
}

// WithdrawRecipient removes the public half and logs that the day key is being destroyed. It comes
// before the destruction: a crash between the two destroys a little later, never without a word.
func (c *Catalogue) WithdrawRecipient(ctx context.Context, permit, day string) error {
	return c.within(ctx, "withdrawing a day key's recipient", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM catalogue_recipient WHERE permit = $1 AND day = $2`, permit, day)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return c.Log.Append(ctx, tx, policy.DayKeyDestroyedEntry(c.Actor, policy.DayKey{Permit: permit, Day: day}))
	})
}

// LogOrphan records that an object that no clip owns is being removed.
func (c *Catalogue) LogOrphan(ctx context.Context, key string, size int64) error {
	return c.Log.Record(ctx, policy.OrphanDeletedEntry(c.Actor, key, size))
}
