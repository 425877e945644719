package catalogue

import (
	"context"
	"fmt"
)

const stored = `SELECT COALESCE(SUM(size), 0) FROM catalogue_clip WHERE state IN ('committed', 'partial', 'deleting')`

// Stored is how many sealed bytes lie in the store: those that are being deleted, too.
func (c *Catalogue) Stored(ctx context.Context) (int64, error) {
	var n int64
	if err := c.DB.QueryRowContext(ctx, stored).Scan(&n); err != nil {
		return 0, fmt.Errorf("adding up what is stored: %w", err)
	}
	return n, nil
}
