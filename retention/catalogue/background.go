package catalogue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"klarsyn/camera"
)

// KeepBackground notes the key of a camera's background. The one before can be opened no more.
func (c *Catalogue) KeepBackground(ctx context.Context, cam camera.ID, identity string, deadline time.Time) error {
	_, err := c.DB.ExecContext(ctx, `INSERT INTO catalogue_background (camera, identity, deadline_us) VALUES ($1, $2, $3)
		ON CONFLICT (camera) DO UPDATE SET identity = excluded.identity, deadline_us = excluded.deadline_us`, cam, identity, micros(deadline))
	if err != nil {
		return fmt.Errorf("keeping the key of the background of camera %s: catalogue: %w", cam, err)
	}
	return nil
}

// BackgroundKey is the key of a camera's background; empty if there is none whose deadline lies after now.
func (c *Catalogue) BackgroundKey(ctx context.Context, cam camera.ID, now time.Time) (string, error) {
	var identity string
	err := c.DB.QueryRowContext(ctx, `SELECT identity FROM catalogue_background WHERE camera = $1 AND deadline_us > $2`, cam, micros(now)).Scan(&identity)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("reading the key of the background of camera %s: catalogue: %w", cam, err)
	}
	return identity, nil
}

// ExpireBackgrounds destroys the keys whose deadline is at or before now, and says how many those were.
func (c *Catalogue) ExpireBackgrounds(ctx context.Context, now time.Time) (int, error) {
	res, err := c.DB.ExecContext(ctx, `DELETE FROM catalogue_background WHERE deadline_us <= $1`, micros(now))
	if err != nil {
		return 0, fmt.Errorf("destroying the keys of old backgrounds: catalogue: %w", err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// Backgrounds lists the cameras that have a background, with its deadline.
func (c *Catalogue) Backgrounds(ctx context.Context) (map[camera.ID]time.Time, error) {
	rows, err := c.DB.QueryContext(ctx, `SELECT camera, deadline_us FROM catalogue_background`)
	if err != nil {
		return nil, fmt.Errorf("listing backgrounds: catalogue: %w", err)
	}
	defer rows.Close()
	out := map[camera.ID]time.Time{}
	for rows.Next() {
		var cam camera.ID
		var us int64
		if err := rows.Scan(&cam, &us); err != nil {
			return nil, fmt.Errorf("listing backgrounds: catalogue: %w", err)
		}
		out[cam] = instant(us)
	}
	return out, rows.Err()
}
