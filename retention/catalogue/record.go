package catalogue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/crashpoint"
)

// ErrOverlap says that a clip would begin inside time that is accounted for already.
var ErrOverlap = errors.New("the camera's timeline is already accounted for at that time")

// ErrOpenClip says that the camera has a clip whose end is not known yet.
var ErrOpenClip = errors.New("another clip of the camera is still open")

// Reserve writes the row of a clip before its first byte exists, with its sealed header, and closes
// the gap before it. From here on the clip has a deadline, whatever happens to the recorder.
func (c *Catalogue) Reserve(ctx context.Context, clip retention.Clip, header []byte) error {
	return c.within(ctx, "reserving a clip of camera "+string(clip.Camera), func(tx *sql.Tx) error {
		if err := c.inForce(ctx, tx, clip.Permit, clip.PermitVersion); err != nil {
			return err
		}
		resumed, err := c.closeTimeline(ctx, tx, clip.Camera, clip.Start)
		if err != nil {
			return err
		}
		if resumed {
			if err := c.Log.Append(ctx, tx, policy.CameraStartedEntry(c.Actor, string(clip.Camera), refOf(clip).Permit)); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO catalogue_clip
			(id, camera, permit, permit_version, start_us, camera_us, clock_flagged, deadline_us, state, key_day, object_key, codec, node, counted_us)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
			clip.ID, clip.Camera, clip.Permit, clip.PermitVersion, micros(clip.Start), micros(clip.CameraTime), flag(clip.ClockFlagged),
			micros(clip.Deadline), retention.Pending, clip.KeyDay, clip.ObjectKey, clip.Codec, clip.Node, micros(clip.Counted)); err != nil {
			return err
		}
		crashpoint.Here("reserve.row")
		if _, err := tx.ExecContext(ctx, `INSERT INTO catalogue_header (clip, header) VALUES ($1, $2)`, clip.ID, header); err != nil {
			return err
		}
		crashpoint.Here("reserve.header")
		if err := c.Log.Append(ctx, tx, policy.ClipReservedEntry(c.Actor, refOf(clip), clip.Start, clip.Deadline)); err != nil {
			return err
		}
		crashpoint.Here("reserve.logged")
		return nil
	})
}

// End writes how far the clip reaches, before the next one of its camera may begin. It may be repeated.
func (c *Catalogue) End(ctx context.Context, id string, end time.Time, frames int) error {
	_, err := c.DB.ExecContext(ctx, `UPDATE catalogue_clip SET end_us = $1, frames = $2 WHERE id = $3 AND end_us = 0`, micros(end), frames, id)
	if err != nil {
		return fmt.Errorf("ending clip %s: %w", id, err)
	}
	return nil
}

// Commit makes a stored and verified clip readable. clip.State says whether it is Committed or Partial.
// It returns retention.ErrGone when the clip's deadline was faster.
func (c *Catalogue) Commit(ctx context.Context, clip retention.Clip) error {
	entry := policy.ClipCommittedEntry
	switch clip.State {
	case retention.Committed:
	case retention.Partial:
		entry = policy.ClipPartialEntry
	default:
		return fmt.Errorf("committing clip %s: as %q: want %s or %s", clip.ID, clip.State, retention.Committed, retention.Partial)
	}
	return c.within(ctx, "committing clip "+clip.ID, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE catalogue_clip
			SET state = $1, object_version = $2, size = $3, plain_size = $4, sha256 = $5
			WHERE id = $6 AND state = 'pending' AND end_us <> 0`,
			clip.State, clip.Version, clip.Size, clip.PlainSize, clip.SHA256[:], clip.ID)
		err = changedOne(res, err)
		if errors.Is(err, retention.ErrGone) {
			if have, err := oneClip(ctx, tx, `WHERE id = $1`, clip.ID); err == nil && have.State == retention.Pending {
				return ErrOpenClip // not gone, only not ended: its bytes must stay
			}
		}
		if err != nil {
			return err
		}
		crashpoint.Here("commit.marked")
		if err := c.Log.Append(ctx, tx, entry(c.Actor, refOf(clip), policy.Seal{
			SHA256: clip.SHA256, Size: clip.Size, To: clip.End, Frames: clip.Frames,
		})); err != nil {
			return err
		}
		crashpoint.Here("commit.logged")
		return nil
	})
}

// Lose says that nothing of a reserved clip could be kept, and destroys its header.
func (c *Catalogue) Lose(ctx context.Context, clip retention.Clip, reason string) error {
	return c.within(ctx, "giving up clip "+clip.ID, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE catalogue_clip SET state = 'lost' WHERE id = $1 AND state = 'pending'`, clip.ID)
		if err := changedOne(res, err); err != nil {
			return err
		}
		crashpoint.Here("lose.marked")
		if _, err := tx.ExecContext(ctx, `DELETE FROM catalogue_header WHERE clip = $1`, clip.ID); err != nil {
			return err
		}
		crashpoint.Here("lose.shredded")
		if err := c.Log.Append(ctx, tx, policy.ClipLostEntry(c.Actor, refOf(clip), reason)); err != nil {
			return err
		}
		crashpoint.Here("lose.logged")
		return nil
	})
}

// changedOne turns an update that met no row into retention.ErrGone: the clip went another way.
func changedOne(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n != 1 {
		return retention.ErrGone
	}
	return nil
}

// Open lists the clips that a recorder reserved and did not finish.
func (c *Catalogue) Open(ctx context.Context, node string) ([]retention.Clip, error) {
	return clips(ctx, c.DB, `WHERE node = $1 AND (state = 'pending' OR end_us = 0) ORDER BY id`, node)
}

// Recipient is the public half of the day key that seals what is recorded under a permit on a UTC day.
func (c *Catalogue) Recipient(ctx context.Context, permit, day string) (string, error) {
	var r string
	err := c.DB.QueryRowContext(ctx, `SELECT recipient FROM catalogue_recipient WHERE permit = $1 AND day = $2`, permit, day).Scan(&r)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("no day key for permit %s on %s yet: is klarsyn retain running? It mints them", permit, day)
	}
	if err != nil {
		return "", fmt.Errorf("reading the day key's recipient: %w", err)
	}
	return r, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// Covered is where the camera's accounted time ends; zero if it has none.
func (c *Catalogue) Covered(ctx context.Context, id camera.ID) (time.Time, error) {
	return covered(ctx, c.DB, id)
}
