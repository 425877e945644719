package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"klarsyn/camera"
	"klarsyn/deploy/world"
	"klarsyn/retention"
	"klarsyn/retention/object"
	"klarsyn/retention/vault"
)

// newest is the camera's newest clip that may have footage.
func (d *day) newest(ctx context.Context, cam camera.ID) (retention.Clip, error) {
	clips, err := d.Books.Holdable(ctx, cam, time.Time{}.Add(1), d.Wall.Now().Add(time.Hour))
	if err != nil {
		return retention.Clip{}, err
	}
	if len(clips) == 0 {
		return retention.Clip{}, fmt.Errorf("camera %s has no clip to hold", cam)
	}
	return clips[len(clips)-1], nil
}

// hold places holds: on a whole clip, on a part of one, on one clip for two cases, and on a stretch of a camera that was cut off.
func (d *day) hold(ctx context.Context) error {
	for _, one := range []struct {
		camera camera.ID
		number string
		part   bool
	}{{"k1", world.CaseA, false}, {"k2", world.CaseA, true}, {"k4", world.CaseA, false}, {"k4", world.CaseB, false}, {"k6", world.CaseB, true}} {
		c, err := d.newest(ctx, one.camera)
		if err != nil {
			return err
		}
		var h retention.Hold
		if one.part {
			h.Camera, h.From, h.To = one.camera, c.Start.Add(1500*time.Millisecond), c.Start.Add(2500*time.Millisecond)
		} else {
			h.Clips = []retention.HeldClip{{Clip: c.ID}}
		}
		placed, refused, err := d.Place(ctx, one.number, h)
		if err != nil {
			return fmt.Errorf("holding clip %s of camera %s: %w", c.ID, one.camera, err)
		}
		if len(refused) > 0 || len(placed.Clips) == 0 {
			return fmt.Errorf("clip %s of camera %s was not held: %v", c.ID, one.camera, refused)
		}
	}
	return nil
}

// away is a store that is away.
type away struct{ vault.Putter }

func (away) Put(_ context.Context, key string, _ io.Reader, _ int64, _ [sha256.Size]byte) (object.Info, error) {
	return object.Info{}, fmt.Errorf("putting %s: %w", key, object.ErrUnreachable)
}

// cutInVain begins cuts that end without their bytes, until they count as given up.
func (d *day) cutInVain(ctx context.Context) error {
	cutter := *d.Cutter
	cutter.Store = away{d.Store}
	if _, err := cutter.Cut(ctx); !errors.Is(err, object.ErrUnreachable) {
		return fmt.Errorf("cutting without a store: %w", err)
	}
	return d.Wall.Set(d.Wall.Now().Add(world.Patience))
}

// liftEarly lifts one of two holds on a clip, before its deadline: the other one goes on.
func (d *day) liftEarly(ctx context.Context) error {
	c, err := d.newest(ctx, "k4")
	if err != nil {
		return err
	}
	holds, err := d.Books.Holds(ctx, world.CaseA, true, 100, "")
	if err != nil {
		return err
	}
	for _, h := range holds {
		h, err := d.Books.Hold(ctx, h.ID)
		if err != nil {
			return err
		}
		if len(h.Clips) == 1 && h.Clips[0].Clip == c.ID {
			return d.Lift(ctx, h.ID)
		}
	}
	return errors.New("nothing of case " + world.CaseA + " holds the clip that is held twice")
}

// liftLate lifts what is left, or in some rounds only some of it: the next day's round finds it held beyond its deadline.
func (d *day) liftLate(ctx context.Context) error {
	holds, err := d.Books.Holds(ctx, "", true, 100, "")
	if err != nil {
		return err
	}
	for _, h := range holds {
		if d.round%3 != 2 && d.rand.IntN(4) == 0 {
			continue
		}
		if err := d.Lift(ctx, h.ID); err != nil {
			return err
		}
	}
	return nil
}
