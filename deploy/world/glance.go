package world

import (
	"context"
	"time"

	"klarsyn/retention"
)

// Glance says what is wrong with a world where things are under way: what must hold at every moment. What is due opens for nobody,
// what is held opens for its case, what is neither opens; away says that the store is not to be reached, so that nothing does.
func (c *Checker) Glance(ctx context.Context, w *World, away bool) ([]string, error) {
	c.atRest = false
	return c.look(ctx, w, func(ctx context.Context) error {
		return c.each(ctx, func(ctx context.Context, row retention.Row) error { return c.glance(ctx, row.Clip, away) })
	}, c.holds)
}

// soon is how near its deadline a clip may be for nobody to say whether it opens.
const soon = 5 * time.Second

func (c *Checker) glance(ctx context.Context, clip retention.Clip, away bool) error {
	due := !c.now.Before(clip.Deadline)
	cases, err := c.world.Books.CasesOf(ctx, clip.ID)
	if err != nil {
		return err
	}
	if clip.Held() != (len(cases) > 0) {
		c.broken("clip %s is held %d times, and by the cases %v", clip.ID, clip.Holds, cases)
	}
	if away || !clip.Readable() && len(cases) > 0 {
		cases = nil
	}
	for _, number := range cases {
		if err := c.opens(ctx, clip, number); err != nil {
			return err
		}
	}
	switch {
	case due || clip.KeyCase != "" || clip.State == retention.Deleting || clip.State == retention.Deleted:
		return c.closed(ctx, clip, "another-case")
	case clip.Readable() && !away && clip.Deadline.Sub(c.now) > soon:
		return c.opens(ctx, clip, "0105-K1-26")
	}
	return nil
}
