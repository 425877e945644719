package catalogue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"klarsyn/camera"
	"klarsyn/retention"
)

// Search lists a camera's clips that touch [from, to), oldest first, at most limit of them, those after
// the clip id after if it is not empty. Deleted clips are not listed: Deletions lists those.
func (c *Catalogue) Search(ctx context.Context, cam camera.ID, from, to time.Time, limit int, after string) ([]retention.Clip, error) {
	return clips(ctx, c.DB, `WHERE camera = $1 AND start_us < $3 AND (end_us > $2 OR end_us = 0) AND id > $4
		AND parent = '' AND state IN ('pending', 'committed', 'partial', 'lost') ORDER BY id LIMIT $5`,
		cam, micros(from), micros(to), after, limit)
}

// Spans are a camera's clips that touch [from, to), oldest first, in whatever state: also what is left of those that are gone.
func (c *Catalogue) Spans(ctx context.Context, cam camera.ID, from, to time.Time) ([]retention.Clip, error) {
	return clips(ctx, c.DB, `WHERE camera = $1 AND start_us < $3 AND (end_us > $2 OR end_us = 0) AND parent = '' ORDER BY start_us, id`, cam, micros(from), micros(to))
}

// Cuts are parts of a camera's clips that cases keep and that touch [from, to), oldest first.
func (c *Catalogue) Cuts(ctx context.Context, cam camera.ID, from, to time.Time) ([]retention.Clip, error) {
	return clips(ctx, c.DB, `WHERE parent <> '' AND camera = $1 AND start_us < $3 AND end_us > $2 AND holds > 0 ORDER BY start_us, id`, cam, micros(from), micros(to))
}

// Clip is one clip in whatever state, or retention.ErrNotFound.
func (c *Catalogue) Clip(ctx context.Context, id string) (retention.Clip, error) {
	return oneClip(ctx, c.DB, `WHERE id = $1`, id)
}

// Header is a clip's sealed header, or retention.ErrGone once it was destroyed.
func (c *Catalogue) Header(ctx context.Context, id string) ([]byte, error) {
	var h []byte
	err := c.DB.QueryRowContext(ctx, `SELECT header FROM catalogue_header WHERE clip = $1`, id).Scan(&h)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, retention.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading the header of clip %s: %w", id, err)
	}
	return h, nil
}

// Deletions lists what is left of clips deleted within [from, to), newest first, at most limit of
// them, those before the clip id after if it is not empty; an empty camera means all.
func (c *Catalogue) Deletions(ctx context.Context, cam camera.ID, from, to time.Time, limit int, after string) ([]retention.Proof, error) {
	rows, err := c.DB.QueryContext(ctx, `SELECT id, camera, permit, permit_version, start_us, end_us, sha256, deadline_us,
			shredded_us, deleted_us, removed, listed
		FROM catalogue_clip WHERE state = 'deleted' AND (camera = $1 OR $1 = '') AND deleted_us >= $2 AND deleted_us < $3
			AND ($4 = '' OR deleted_us < (SELECT deleted_us FROM catalogue_clip WHERE id = $4)
				OR (deleted_us = (SELECT deleted_us FROM catalogue_clip WHERE id = $4) AND id < $4))
		ORDER BY deleted_us DESC, id DESC LIMIT $5`, cam, micros(from), micros(to), after, limit)
	if err != nil {
		return nil, fmt.Errorf("reading deletions: %w", err)
	}
	defer rows.Close()
	var out []retention.Proof
	for rows.Next() {
		var p retention.Proof
		var sum []byte
		var start, end, deadline, shredded, deleted int64
		if err := rows.Scan(&p.Clip, &p.Camera, &p.Permit, &p.PermitVersion, &start, &end, &sum, &deadline,
			&shredded, &deleted, &p.Versions, &p.Listed); err != nil {
			return nil, fmt.Errorf("reading deletions: %w", err)
		}
		copy(p.SHA256[:], sum)
		p.From, p.To, p.Deadline = instant(start), instant(end), instant(deadline)
		p.ShreddedAt, p.DeletedAt = instant(shredded), instant(deleted)
		out = append(out, p)
	}
	return out, rows.Err()
}
