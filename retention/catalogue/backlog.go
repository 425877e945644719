package catalogue

import (
	"context"
	"fmt"
	"time"

	"klarsyn/retention"
)

// What is due and not held, and what is being deleted: each has an index of its own, so that no question costs more for what
// is stored or for the tombstones of what was.
const (
	undeleted = `cased_us = 0 AND state IN ('pending', 'committed', 'partial', 'lost')`
	notHeld   = `(holds = 0 OR state = 'lost')`

	oldestReadable  = `SELECT COALESCE((SELECT deadline_us FROM catalogue_clip WHERE ` + undeleted + ` AND ` + notHeld + ` ORDER BY deadline_us LIMIT 1), 0)`
	oldestRemaining = `SELECT COALESCE((SELECT deadline_us FROM catalogue_clip WHERE state = 'deleting' ORDER BY deadline_us LIMIT 1), 0)`
	dueBacklog      = `SELECT count(*) FROM (SELECT 1 FROM catalogue_clip WHERE ` + undeleted + ` AND ` + notHeld + ` AND deadline_us <= $1 LIMIT $2) AS due`
	removalBacklog  = `SELECT count(*) FROM (SELECT 1 FROM catalogue_clip WHERE state = 'deleting' AND deadline_us <= $1 LIMIT $2) AS left_over`
)

// countedTo is where counting a backlog ends: what is beyond is as bad.
const countedTo = 100_000

// OldestUndeleted is the earliest deadline of a clip that is not held and still has a trace anywhere; zero if there is none.
func (c *Catalogue) OldestUndeleted(ctx context.Context) (time.Time, error) {
	readable, err := c.deadline(ctx, oldestReadable)
	if err != nil {
		return time.Time{}, err
	}
	remaining, err := c.deadline(ctx, oldestRemaining)
	if err != nil {
		return time.Time{}, err
	}
	if readable.IsZero() || !remaining.IsZero() && remaining.Before(readable) {
		return remaining, nil
	}
	return readable, nil
}

func (c *Catalogue) deadline(ctx context.Context, query string) (time.Time, error) {
	var us int64
	if err := c.DB.QueryRowContext(ctx, query).Scan(&us); err != nil {
		return time.Time{}, fmt.Errorf("reading deadlines: %w", err)
	}
	return instant(us), nil
}

// Backlog counts what deletion is behind with at a time, each to a hundred thousand.
func (c *Catalogue) Backlog(ctx context.Context, now time.Time) (retention.Backlog, error) {
	var b retention.Backlog
	if err := c.DB.QueryRowContext(ctx, dueBacklog, micros(now), countedTo).Scan(&b.Due); err != nil {
		return b, fmt.Errorf("counting clips that are due: %w", err)
	}
	// A clip may be made unreadable before its deadline: the end of time counts them all.
	if err := c.DB.QueryRowContext(ctx, removalBacklog, endOfTime, countedTo).Scan(&b.Removal); err != nil {
		return b, fmt.Errorf("counting clips that are being removed: %w", err)
	}
	return b, nil
}

const endOfTime = int64(1<<63 - 1)

// Overdue counts clips that were due before the given time, are not held, and still have a trace; to a hundred thousand of
// either kind.
func (c *Catalogue) Overdue(ctx context.Context, before time.Time) (int, error) {
	last := micros(before) - 1
	var due, remaining int
	if err := c.DB.QueryRowContext(ctx, dueBacklog, last, countedTo).Scan(&due); err != nil {
		return 0, fmt.Errorf("counting overdue clips: %w", err)
	}
	if err := c.DB.QueryRowContext(ctx, removalBacklog, last, countedTo).Scan(&remaining); err != nil {
		return 0, fmt.Errorf("counting overdue clips: %w", err)
	}
	return due + remaining, nil
}
