package catalogue

import (
	"context"
	"fmt"

	"klarsyn/retention"
)

const unbarred = `WHERE ((holds > 0 AND barrier < 2) OR (holds = 0 AND barrier > 0)) AND holds > 0 AND state IN ('committed', 'partial') AND id > $1 ORDER BY id LIMIT $2`

const barred = `WHERE ((holds > 0 AND barrier < 2) OR (holds = 0 AND barrier > 0)) AND barrier > 0
	AND (holds = 0 OR state IN ('lost', 'deleting')) AND id > $1 ORDER BY id LIMIT $2`

// Unbarred lists clips that are held and stored, where the store's legal hold is not known to be on: in order of their ids, from the
// one after after.
func (c *Catalogue) Unbarred(ctx context.Context, after string, limit int) ([]retention.Clip, error) {
	return clips(ctx, c.DB, unbarred, after, limit)
}

// Barred lists clips that no hold keeps, or of which nothing is left to keep, where the store's legal hold may still be on, in the same order.
func (c *Catalogue) Barred(ctx context.Context, after string, limit int) ([]retention.Clip, error) {
	return clips(ctx, c.DB, barred, after, limit)
}

// SetBarrier says what is known of the legal hold of a clip's object.
func (c *Catalogue) SetBarrier(ctx context.Context, clip string, b retention.BarrierState) error {
	if _, err := c.DB.ExecContext(ctx, `UPDATE catalogue_clip SET barrier = $1 WHERE id = $2`, int(b), clip); err != nil {
		return fmt.Errorf("noting the legal hold of clip %s: %w", clip, err)
	}
	return nil
}
