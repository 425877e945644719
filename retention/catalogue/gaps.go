package catalogue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

// Interrupt opens a gap at g.From. A gap that is open already goes on if it has the same cause and
// detail, and otherwise ends where the new one begins. Time before g.From that nobody accounted for is
// our fault, whatever the cause of the gap. While a clip of the camera has no end nobody knows where a
// gap could begin: then it is ErrOpenClip, and the next clip accounts for the time. opened is false if the gap
// was open already.
func (c *Catalogue) Interrupt(ctx context.Context, g camera.Gap) (opened bool, err error) {
	g.Detail = bounded(g.Detail)
	err = c.within(ctx, "recording a gap of camera "+string(g.Camera), func(tx *sql.Tx) error {
		opened = false
		if err := c.lockTimeline(ctx, tx, g.Camera); err != nil {
			return err
		}
		open, id, err := openGap(ctx, tx, g.Camera)
		if err != nil {
			return err
		}
		if id != "" && sameCause(open.Gap, g) {
			return nil
		}
		from := instant(micros(g.From))
		if id != "" {
			// A cause that changes within the same instant replaces nothing: causes keep their order.
			from = later(from, open.From)
			if err := endGap(ctx, tx, id, open.From, from); err != nil {
				return err
			}
		} else {
			if err := noOpenClip(ctx, tx, g.Camera); err != nil {
				return err
			}
			end, err := covered(ctx, tx, g.Camera)
			if err != nil {
				return err
			}
			if !end.IsZero() && from.After(end) {
				if err := insertGap(ctx, tx, unaccounted(g.Camera), end, from); err != nil {
					return err
				}
			}
			from = later(from, end)
		}
		if err := insertGap(ctx, tx, g, from, time.Time{}); err != nil {
			return err
		}
		opened = true
		stop := policy.Stop{Cause: string(g.Cause), Detail: g.Detail, From: from, Permit: g.Permit, Clause: g.Clause}
		if g.Cause.Refusal() {
			return c.Log.Append(ctx, tx, policy.CameraRefusedEntry(c.Actor, string(g.Camera), stop))
		}
		return c.Log.Append(ctx, tx, policy.CameraStoppedEntry(c.Actor, string(g.Camera), stop))
	})
	return opened && err == nil, err
}

// closeTimeline makes the camera's accounted time reach exactly to at: it ends the open gap, or fills
// what nobody accounted for. resumed reports whether recording had been interrupted.
func (c *Catalogue) closeTimeline(ctx context.Context, tx *sql.Tx, cam camera.ID, at time.Time) (resumed bool, err error) {
	at = instant(micros(at)) // as precise as what it is compared with
	if err := c.lockTimeline(ctx, tx, cam); err != nil {
		return false, err
	}
	if err := noOpenClip(ctx, tx, cam); err != nil {
		return false, err
	}
	open, id, err := openGap(ctx, tx, cam)
	if err != nil {
		return false, err
	}
	if id != "" {
		if at.Before(open.From) {
			return false, ErrOverlap
		}
		return true, endGap(ctx, tx, id, open.From, at)
	}
	end, err := covered(ctx, tx, cam)
	switch {
	case err != nil:
		return false, err
	case end.IsZero():
		return true, nil
	case at.Before(end):
		return false, fmt.Errorf("%w: it reaches to %s", ErrOverlap, stamp(end))
	case at.Equal(end):
		return false, nil
	}
	return true, insertGap(ctx, tx, unaccounted(cam), end, at)
}

// sameCause reports whether a gap goes on.
func sameCause(a, b camera.Gap) bool {
	return a.Cause == b.Cause && a.Detail == b.Detail && a.Permit == b.Permit && a.Clause == b.Clause
}

// unaccounted is the cause of time that nobody gave a cause for.
func unaccounted(cam camera.ID) camera.Gap {
	return camera.Gap{Camera: cam, Cause: camera.OurFault, Detail: retention.Unaccounted}
}

const openClip = `SELECT EXISTS (SELECT 1 FROM catalogue_clip WHERE camera = $1 AND end_us = 0)`

// noOpenClip refuses with ErrOpenClip while a clip of the camera has no end.
func noOpenClip(ctx context.Context, tx *sql.Tx, cam camera.ID) error {
	var unended bool
	if err := tx.QueryRowContext(ctx, openClip, cam).Scan(&unended); err != nil {
		return err
	}
	if unended {
		return ErrOpenClip
	}
	return nil
}

// Gaps lists a camera's gaps that touch [from, to), oldest first; an empty camera means all.
func (c *Catalogue) Gaps(ctx context.Context, cam camera.ID, from, to time.Time) ([]retention.Gap, error) {
	rows, err := c.DB.QueryContext(ctx, `SELECT camera, from_us, to_us, cause, detail, permit, clause FROM catalogue_gap
		WHERE (camera = $1 OR $1 = '') AND from_us < $3 AND (to_us > $2 OR to_us = 0) ORDER BY camera, from_us, id`,
		cam, micros(from), micros(to))
	if err != nil {
		return nil, fmt.Errorf("reading gaps: %w", err)
	}
	defer rows.Close()
	var out []retention.Gap
	for rows.Next() {
		g, err := scanGap(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("reading gaps: %w", err)
		}
		out = append(out, g)
	}
	return out, rows.Err()
}

// OpenGap is the gap that the camera is in now, if it is in one.
func (c *Catalogue) OpenGap(ctx context.Context, cam camera.ID) (retention.Gap, bool, error) {
	g, id, err := openGap(ctx, c.DB, cam)
	return g, id != "", err
}

func scanGap(scan func(...any) error) (retention.Gap, error) {
	var g retention.Gap
	var from, to int64
	err := scan(&g.Camera, &from, &to, &g.Cause, &g.Detail, &g.Permit, &g.Clause)
	g.From, g.To = instant(from), instant(to)
	return g, err
}

func openGap(ctx context.Context, q querier, cam camera.ID) (retention.Gap, string, error) {
	var id string
	g, err := scanGap(func(dest ...any) error {
		return q.QueryRowContext(ctx, `SELECT id, camera, from_us, to_us, cause, detail, permit, clause FROM catalogue_gap WHERE camera = $1 AND to_us = 0`, cam).
			Scan(append([]any{&id}, dest...)...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return retention.Gap{}, "", nil
	}
	if err != nil {
		return retention.Gap{}, "", fmt.Errorf("reading the open gap of camera %s: %w", cam, err)
	}
	return g, id, nil
}

// endGap gives a gap its end; one that lasted no time is removed, since it accounts for nothing.
func endGap(ctx context.Context, tx *sql.Tx, id string, from, to time.Time) error {
	if !to.After(from) {
		_, err := tx.ExecContext(ctx, `DELETE FROM catalogue_gap WHERE id = $1`, id)
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE catalogue_gap SET to_us = $1 WHERE id = $2`, micros(to), id)
	return err
}

func insertGap(ctx context.Context, tx *sql.Tx, g camera.Gap, from, to time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO catalogue_gap (id, camera, from_us, to_us, cause, detail, permit, clause) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		ulid.Make().String(), g.Camera, micros(from), micros(to), g.Cause, g.Detail, g.Permit, g.Clause)
	return err
}

// bounded keeps a message from a camera or a disk from filling the catalogue.
func bounded(s string) string {
	if len(s) > 300 {
		return strings.ToValidUTF8(s[:300], "")
	}
	return s
}

// covered is where the accounted time of a camera ends.
func covered(ctx context.Context, q querier, cam camera.ID) (time.Time, error) {
	var us int64
	err := q.QueryRowContext(ctx, `SELECT COALESCE(MAX(t), 0) FROM (
		SELECT t FROM (SELECT CASE WHEN end_us > start_us THEN end_us ELSE start_us END AS t
			FROM catalogue_clip WHERE camera = $1 AND parent = '' ORDER BY start_us DESC, end_us DESC LIMIT 1) AS clip
		UNION ALL
		SELECT t FROM (SELECT CASE WHEN to_us > from_us THEN to_us ELSE from_us END AS t
			FROM catalogue_gap WHERE camera = $1 ORDER BY from_us DESC LIMIT 1) AS gap) AS last`, cam).Scan(&us)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading where the timeline of camera %s ends: %w", cam, err)
	}
	return instant(us), nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// RecordingSince is where the camera's last gap ended, or its first clip began if it never had one. It is
// zero if the camera never recorded, and if it showed no life since alive: its newest clip ended before
// that, or has no end and began before that, because its recorder died. It means nothing while a gap is open.
func (c *Catalogue) RecordingSince(ctx context.Context, cam camera.ID, alive time.Time) (time.Time, error) {
	var us, life int64
	err := c.DB.QueryRowContext(ctx, `SELECT
		COALESCE((SELECT MAX(to_us) FROM catalogue_gap WHERE camera = $1 AND to_us > 0),
			(SELECT MIN(start_us) FROM catalogue_clip WHERE camera = $1 AND parent = ''), 0),
		COALESCE((SELECT CASE WHEN end_us > 0 THEN end_us ELSE start_us END FROM catalogue_clip
			WHERE camera = $1 AND parent = '' ORDER BY start_us DESC, end_us DESC LIMIT 1), 0)`, cam).Scan(&us, &life)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading since when camera %s records: %w", cam, err)
	}
	if life < micros(alive) {
		return time.Time{}, nil
	}
	return instant(us), nil
}
