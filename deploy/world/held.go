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
		if clip.State == retention.Lost {
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
		case errors.Is(err, retention.ErrNoHold):
			c.broken("hold %s was accepted, and is not there", id)
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
	clip, err := c.world.Books.Clip(ctx, name)
	if err != nil {
		c.broken("hold %s let go of clip %s, and %q is not there: %v", h.ID, id, name, err)
		return nil
	}
	if !clip.Held() || !clip.Readable() && clip.State != retention.Lost {
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
