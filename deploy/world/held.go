package world

import (
	"context"
	"errors"
	"slices"
	"time"

	"klarsyn/retention"
)

// cases wants a clip to open for every case that holds it, before its deadline and after, and for no other.
func (c *Checker) cases(ctx context.Context, clip retention.Clip, due bool) error {
	cases, err := c.world.Books.CasesOf(ctx, clip.ID)
	if err != nil {
		return err
	}
	if clip.Held() != (len(cases) > 0) {
		c.broken("clip %s is held %d times, and by the cases %v", clip.ID, clip.Holds, cases)
	}
	for _, number := range cases {
		if clip.Size == 0 && !clip.Readable() { // nothing of it could be kept
			continue
		}
		if err := c.opens(ctx, clip, number); err != nil {
			return err
		}
	}
	if due && clip.Held() && !slices.Contains(cases, "another-case") {
		return c.closed(ctx, clip, "another-case")
	}
	return nil
}

// holds checks what people were told: a hold that was accepted is in force until it is lifted.
func (c *Checker) holds(ctx context.Context) error {
	for id, told := range c.told {
		have, err := c.world.Books.Hold(ctx, id)
		switch {
		case errors.Is(err, retention.ErrNoHold) && c.restored && c.lifting[id]: // placed and lifted since the backup
			continue
		case errors.Is(err, retention.ErrNoHold):
			c.broken("hold %s of clips %v was accepted, and is not there", id, told.Clips)
			continue
		case err != nil:
			return err
		case told.Lifted && have.InForce():
			c.broken("hold %s was said to be lifted, and is in force", id)
		case !have.InForce() && !c.lifting[id]:
			c.broken("hold %s is lifted, and nobody lifted it", id)
		}
		if !have.InForce() {
			continue
		}
		for _, clip := range told.Clips {
			if err := c.kept(ctx, have, clip); err != nil {
				return err
			}
		}
	}
	return nil
}

// kept wants a hold in force to keep a clip that its holder was told of: all of it, or, since it was cut out, the part that was
// asked for.
func (c *Checker) kept(ctx context.Context, h retention.Hold, id string) error {
	at := slices.IndexFunc(h.Clips, func(p retention.HeldClip) bool { return p.Clip == id })
	if at < 0 {
		c.broken("hold %s was said to keep clip %s, and does not", h.ID, id)
		return nil
	}
	part := h.Clips[at]
	name := id
	if !part.Over.IsZero() {
		name = part.Cut
	}
	if c.restored && name == "" { // nothing was left of it with which it could be held again
		if clip, err := c.world.Books.Clip(ctx, id); err != nil || clip.State == retention.Deleting || clip.State == retention.Deleted {
			return err
		}
	}
	clip, err := c.world.Books.Clip(ctx, name)
	if err != nil {
		c.broken("hold %s let go of clip %s, and %q is not there: %v", h.ID, id, name, err)
		return nil
	}
	if c.restored && clip.Size == 0 && (clip.State == retention.Deleting || clip.State == retention.Deleted) {
		return nil // it was lost with a backup, and replaying its deletion let go of it
	}
	// Of what was lost before it was stored, or with a backup, there is nothing to keep beyond its deadline.
	kept := clip.Readable() || clip.Size == 0 && (clip.State != retention.Pending || !c.atRest)
	if !clip.Held() || !kept {
		c.broken("hold %s keeps clip %s as %s, which is %s and held %d times", h.ID, id, name, clip.State, clip.Holds)
	}
	if name != id && (clip.Parent != id || clip.KeyCase != h.Case || clip.Start.After(part.From) || !part.To.IsZero() && clip.End.Before(part.To)) {
		c.broken("hold %s keeps %s of clip %s, for case %q, from %s to %s: want %s to %s", h.ID, name, clip.Parent, clip.KeyCase,
			clip.Start.Format(time.RFC3339Nano), clip.End.Format(time.RFC3339Nano), part.From.Format(time.RFC3339Nano), part.To.Format(time.RFC3339Nano))
	}
	return nil
}

// Told is what somebody who placed a hold was told of it.
type Told struct {
	Hold   string   `json:"hold"`
	Clips  []string `json:"clips,omitempty"`
	Lifted bool     `json:"lifted,omitempty"`
}
