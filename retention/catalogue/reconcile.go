package catalogue

import (
	"context"
	"database/sql"
	"errors"

	"klarsyn/policy"
	"klarsyn/retention"
)

// Missing gives up a clip whose object is not in the store any more, although its row says so: rows and objects are of different
// times. What is held stays as it is, for people to look into; lost is false then.
func (c *Catalogue) Missing(ctx context.Context, clip retention.Clip, reason string) (lost bool, err error) {
	err = c.within(ctx, "giving up clip "+clip.ID, func(tx *sql.Tx) error {
		lost = false
		res, err := tx.ExecContext(ctx, `UPDATE catalogue_clip SET state = 'lost' WHERE id = $1 AND holds = 0 AND state IN ('committed', 'partial')`, clip.ID)
		if err = changedOne(res, err); errors.Is(err, retention.ErrGone) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM catalogue_header WHERE clip = $1`, clip.ID); err != nil {
			return err
		}
		lost = true
		return c.Log.Append(ctx, tx, policy.ClipLostEntry(c.Actor, refOf(clip), reason))
	})
	return lost && err == nil, err
}

// FoundVersion notes of which version a clip's object is, where the row was made again without knowing it.
func (c *Catalogue) FoundVersion(ctx context.Context, key, version string) error {
	_, err := c.DB.ExecContext(ctx, `UPDATE catalogue_clip SET object_version = $1 WHERE object_key = $2 AND object_version = '' AND state IN ('committed', 'partial')`, version, key)
	return err
}

// ByKey is the clip that an object belongs to, or retention.ErrNotFound.
func (c *Catalogue) ByKey(ctx context.Context, key string) (retention.Clip, error) {
	return oneClip(ctx, c.DB, `WHERE object_key = $1`, key)
}
