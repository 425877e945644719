package catalogue

import (
	"context"
	"database/sql"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
)

// holdOver is the deadline of a clip that is held: it needs its day key no longer, and from here on only the keys of the cases
// that hold it open it. A clip that is sealed to its case keeps its header.
func (c *Catalogue) holdOver(ctx context.Context, tx *sql.Tx, clip retention.Clip, now time.Time) error {
	res, err := tx.ExecContext(ctx, `UPDATE catalogue_clip SET cased_us = $1 WHERE id = $2 AND holds > 0 AND cased_us = 0`, micros(now), clip.ID)
	if err := changedOne(res, err); err != nil {
		return err
	}
	if clip.KeyCase == "" {
		if _, err := tx.ExecContext(ctx, `DELETE FROM catalogue_header WHERE clip = $1`, clip.ID); err != nil {
			return err
		}
	}
	return c.Log.Append(ctx, tx, policy.ClipHeldOverEntry(c.Actor, refOf(clip), clip.Deadline))
}
