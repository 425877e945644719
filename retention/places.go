package retention

import (
	"context"
	"fmt"
)

// Place is one of those where something of a clip may lie.
type Place struct {
	Name   string
	Eraser Eraser
}

// Places are all that is removed with a clip, in this order. What else is ever made of one and kept elsewhere, such as
// pictures of it or a copy that waits to be handed out, gets a place here: a clip is gone when nothing of it is left in any.
type Places []Place

// Erase removes the keys from every place. A place that fails keeps no other from being cleared, but the clip is not gone.
func (ps Places) Erase(ctx context.Context, keys []string) []Erasure {
	all := make([]Erasure, len(keys))
	for _, p := range ps {
		for i, e := range p.Eraser.Erase(ctx, keys) {
			all[i].Removed += e.Removed
			all[i].Left += e.Left
			if e.Err != nil && all[i].Err == nil {
				all[i].Err = fmt.Errorf("%s: %w", p.Name, e.Err)
			}
		}
	}
	return all
}
