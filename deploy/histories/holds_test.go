package histories

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"klarsyn/deploy/world"
	"klarsyn/retention"
)

// wish is what somebody wants to be held.
type wish struct {
	number string
	hold   retention.Hold
	clips  []retention.Clip // as they were before, for one that names clips
}

// wish draws a clip in whatever state, or a stretch of a camera's time.
func (h *history) wish(rt *rapid.T) wish {
	w := wish{number: rapid.SampledFrom([]string{world.CaseA, world.CaseB}).Draw(rt, "case")}
	var all []retention.Clip
	for row, err := range h.world.Books.All(h.ctx) {
		if err != nil {
			rt.Fatal(err)
		}
		all = append(all, row.Clip)
	}
	if len(all) == 0 {
		rt.Skip("there is no clip yet")
	}
	clip := all[rapid.IntRange(0, len(all)-1).Draw(rt, "clip")]
	rt.Logf("clip %s of %s from %s, %s until %s", clip.ID, clip.Camera, clip.Start.Format(time.TimeOnly), clip.State, clip.Deadline.Format(time.TimeOnly))
	if rapid.Bool().Draw(rt, "whole") || clip.End.IsZero() {
		w.hold.Clips, w.clips = []retention.HeldClip{{Clip: clip.ID}}, []retention.Clip{clip}
		return w
	}
	from := time.Duration(rapid.IntRange(-1000, 3000).Draw(rt, "from")) * time.Millisecond
	long := time.Duration(rapid.IntRange(300, 20_000).Draw(rt, "long")) * time.Millisecond
	w.hold.Camera, w.hold.From, w.hold.To = clip.Camera, clip.Start.Add(from), clip.Start.Add(from+long)
	return w
}

// place places a hold. What was refused must have been past keeping.
func (h *history) place(ctx context.Context, w wish) error {
	placed, refused, err := h.world.Place(ctx, w.number, w.hold)
	if err != nil {
		return err
	}
	if len(placed.Clips) > 0 {
		h.holds = append(h.holds, placed.ID)
	}
	for _, r := range refused {
		if r.Reason == "" {
			return errors.New("clip " + r.Clip + " was refused without a reason")
		}
		clip, err := h.world.Books.Clip(ctx, r.Clip)
		if err != nil {
			return err
		}
		sealed := clip.KeyCase != "" && clip.KeyCase != w.number
		if clip.Readable() && !sealed && h.world.Clock.Reading().Before(clip.Deadline) {
			return errors.New("clip " + r.Clip + " was refused, and is " + string(clip.State) + " before its deadline: " + r.Reason)
		}
	}
	return nil
}

func (h *history) hold(rt *rapid.T) {
	w := h.wish(rt)
	h.do(rt, "placing a hold", func(ctx context.Context) error { return h.place(ctx, w) })
}

// some draws a hold in force.
func (h *history) some(rt *rapid.T) string {
	if len(h.holds) == 0 {
		rt.Skip("nothing is held")
	}
	return rapid.SampledFrom(h.holds).Draw(rt, "hold")
}

func (h *history) lift(rt *rapid.T) {
	id := h.some(rt)
	if h.do(rt, "lifting a hold", func(ctx context.Context) error { return h.world.Lift(ctx, id) }) {
		h.holds = slices.DeleteFunc(h.holds, func(s string) bool { return s == id })
	}
}

// together lets people and processes act at the same time: a hold and its refusal, the last hold out and a sweep, a cut and the
// lifting of what it is for meet in one row.
func (h *history) together(rt *rapid.T) {
	w := h.wish(rt)
	lifted := ""
	if len(h.holds) > 0 && rapid.Bool().Draw(rt, "lift") {
		lifted = h.some(rt)
	}
	past := rapid.Bool().Draw(rt, "at a deadline")
	if clip := w.clips; past && len(clip) > 0 && clip[0].Deadline.After(h.world.Wall.Now()) {
		if err := h.world.Wall.Set(clip[0].Deadline.Add(-20 * time.Millisecond)); err != nil {
			rt.Fatal(err)
		}
	}
	h.do(rt, "all at once", func(ctx context.Context) error {
		var g errgroup.Group // one that fails ends no other
		for _, s := range []*retention.Sweeper{h.world.Sweeper, h.world.Another(), h.world.Another()} {
			g.Go(func() error {
				for range 3 {
					if _, err := s.Sweep(ctx); swept(err) != nil {
						return err
					}
				}
				return nil
			})
		}
		g.Go(func() error { return h.place(ctx, w) })
		g.Go(func() error { return h.world.Move(ctx) })
		g.Go(func() error { return h.world.Cut(ctx) })
		g.Go(func() error { return h.world.Barrier.Step(ctx) })
		if lifted != "" {
			h.done["lift"]++
			g.Go(func() error { return h.world.Lift(ctx, lifted) })
		}
		return g.Wait()
	})
	h.known(rt)
}

// known asks which holds are in force.
func (h *history) known(rt *rapid.T) {
	h.holds = nil
	all, err := h.world.Books.Holds(h.ctx, "", true, 1000, "")
	if err != nil {
		rt.Fatal(err)
	}
	for _, hold := range all {
		h.holds = append(h.holds, hold.ID)
	}
	slices.Sort(h.holds)
}
