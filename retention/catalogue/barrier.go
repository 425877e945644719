package catalogue

import (
	"context"
	"fmt"

	"klarsyn/retention"
)

const unbarred = `WHERE ((holds > 0 AND barrier < 2) OR (holds = 0 AND barrier > 0)) AND holds > 0 AND state IN ('committed', 'partial') ORDER BY id LIMIT $1`

const barred = `WHERE ((holds > 0 AND barrier < 2) OR (holds = 0 AND barrier > 0)) AND holds = 0 ORDER BY id LIMIT $1`

// Unbarred lists clips that are held and stored, where the store's legal hold is not known to be on.
func (c *Catalogue) Unbarred(ctx context.Context, limit int) ([]retention.Clip, error) {
	return clips(ctx, c.DB, unbarred, limit)
}

// Barred lists clips that no hold keeps, where the store's legal hold may still be on.
func (c *Catalogue) Barred(ctx context.Context, limit int) ([]retention.Clip, error) {
	return clips(ctx, c.DB, barred, limit)
}

// SetBarrier says what is known of the legal hold of a clip's object.
func (c *Catalogue) SetBarrier(ctx context.Context, clip string, b retention.BarrierState) error {
	if _, err := c.DB.ExecContext(ctx, `UPDATE catalogue_clip SET barrier = $1 WHERE id = $2`, int(b), clip); err != nil {
		return fmt.Errorf("noting the legal hold of clip %s: %w", clip, err)
	}
	return nil
}
