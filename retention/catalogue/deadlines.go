package catalogue

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
)

// Moved is what a decision did to clips that are stored already.
type Moved struct {
	Clips int   `json:"clips"` // whose deadline came nearer
	Bytes int64 `json:"bytes"` // sealed
	Due   int   `json:"due"`   // of those: due at once
}

func (m *Moved) add(o Moved) {
	m.Clips, m.Bytes, m.Due = m.Clips+o.Clips, m.Bytes+o.Bytes, m.Due+o.Due
}

// moveDeadlines moves the deadlines of what is stored under a permit down to what until says, never up.
func (c *Catalogue) moveDeadlines(ctx context.Context, tx *sql.Tx, permit, rule string, until func(time.Time) time.Time) (Moved, error) {
	return c.move(ctx, tx, rule, "the permit keeps footage for a shorter time", func(counted time.Time, _ retention.Clip) time.Time { return until(counted) },
		`permit = $1 AND state IN ('pending', 'committed', 'partial', 'lost')`, permit)
}

// eraseUnlawful makes due at once what was collected under a permit, by that version and those before it, from the instant on
// from which it was no permit. A version that took its place is another decision, and what was collected under it stays.
func (c *Catalogue) eraseUnlawful(ctx context.Context, tx *sql.Tx, p policy.Permit, s policy.Step) (Moved, error) {
	from := s.At
	if !s.Effective.IsZero() && s.Effective.Before(from) {
		from = s.Effective
	}
	now := c.Now()
	return c.move(ctx, tx, p.Ref()+" unlawful", "collected unlawfully: "+s.Reason, func(time.Time, retention.Clip) time.Time { return now },
		`permit = $1 AND state IN ('pending', 'committed', 'partial', 'lost') AND (end_us > $2 OR end_us = 0)
			AND permit_version <= $3`, p.ID, micros(from), p.Version)
}

// move gives the clips of a condition earlier deadlines, each with a word in the log.
func (c *Catalogue) move(ctx context.Context, tx *sql.Tx, rule, reason string, to func(counted time.Time, clip retention.Clip) time.Time, where string, args ...any) (Moved, error) {
	var moved Moved
	rows, err := tx.QueryContext(ctx, `SELECT counted_us, `+clipColumns+` FROM catalogue_clip WHERE `+where, args...) //nolint:gosec,sqlclosecheck // the conditions are written above; it is closed below
	if err != nil {
		return moved, err
	}
	defer rows.Close()
	type change struct {
		clip retention.Clip
		to   time.Time
	}
	var changes []change
	for rows.Next() {
		var us int64
		clip, err := scanClip(func(dest ...any) error { return rows.Scan(append([]any{&us}, dest...)...) })
		if err != nil {
			return moved, err
		}
		counted := instant(us)
		if us == 0 {
			counted = clip.Start
		}
		if deadline := instant(micros(to(counted, clip))); deadline.Before(clip.Deadline) {
			changes = append(changes, change{clip, deadline})
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil { // closed before the transaction goes on
		return moved, err
	}
	slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.clip.ID, b.clip.ID) }) // as everybody locks them
	now := c.Now()
	for _, ch := range changes {
		if _, err := tx.ExecContext(ctx, `UPDATE catalogue_clip SET deadline_us = $1, rule = $2 WHERE id = $3 AND deadline_us > $1`,
			micros(ch.to), rule, ch.clip.ID); err != nil {
			return moved, err
		}
		if err := c.Log.Append(ctx, tx, policy.DeletionPlannedEntry(c.Actor, refOf(ch.clip), ch.clip.Deadline, ch.to, reason)); err != nil {
			return moved, err
		}
		moved.Clips++
		moved.Bytes += ch.clip.Size
		if !now.Before(ch.to) {
			moved.Due++
		}
	}
	return moved, nil
}
