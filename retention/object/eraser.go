package object

import (
	"context"

	"klarsyn/retention"
)

// Eraser is what deletion needs of a Store.
type Eraser struct{ Store Store }

// Erase removes every trace of the keys, and counts by listing what remains.
func (e Eraser) Erase(ctx context.Context, keys []string) []retention.Erasure {
	erased := make([]retention.Erasure, len(keys))
	for i, d := range e.Store.DeleteAll(ctx, keys) {
		erased[i] = retention.Erasure(d)
	}
	return erased
}
