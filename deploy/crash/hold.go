package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"klarsyn/camera"
	"klarsyn/deploy/crash/world"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/object"
	"klarsyn/retention/vault"
)

// Two people, as lifting takes.
var (
	lead   = policy.Subject{Name: "eva", Role: policy.InvestigationLead, Session: "s2"}
	second = policy.Subject{Name: "ulf", Role: policy.InvestigationLead, Session: "s3"}
)

// The cases of a world's holds.
const (
	caseA = "0105-K7-26"
	caseB = "0105-K8-26"
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
	}{{"k1", caseA, false}, {"k2", caseA, true}, {"k4", caseA, false}, {"k4", caseB, false}, {"k6", caseB, true}} {
		c, err := d.newest(ctx, one.camera)
		if err != nil {
			return err
		}
		h := retention.Hold{
			Kind: retention.Evidence, Case: one.number, Basis: "RB 27:1", Requester: "eva", Approver: "eva", Review: d.Wall.Now().AddDate(0, 1, 0),
		}
		if one.part {
			h.Camera, h.From, h.To = one.camera, c.Start.Add(1500*time.Millisecond), c.Start.Add(2500*time.Millisecond)
		} else {
			h.Clips = []retention.HeldClip{{Clip: c.ID}}
		}
		placed, refused, err := d.Custody.Place(ctx, lead, h)
		if err != nil {
			return fmt.Errorf("holding clip %s of camera %s: %w", c.ID, one.camera, err)
		}
		if len(refused) > 0 || len(placed.Clips) == 0 {
			return fmt.Errorf("clip %s of camera %s was not held: %v", c.ID, one.camera, refused)
		}
		told := world.Told{Hold: placed.ID}
		for _, p := range placed.Clips {
			told.Clips = append(told.Clips, p.Clip)
		}
		if err := d.Tell(world.Word{Told: &told}); err != nil {
			return err
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
	return d.Wall.Set(d.Wall.Now().Add(patience))
}

func (d *day) cut(ctx context.Context) error {
	_, err := d.Cutter.Cut(ctx)
	return err
}

// liftEarly lifts one of two holds on a clip, before its deadline: the other one goes on.
func (d *day) liftEarly(ctx context.Context) error {
	c, err := d.newest(ctx, "k4")
	if err != nil {
		return err
	}
	holds, err := d.Books.Holds(ctx, caseA, true, 100, "")
	if err != nil {
		return err
	}
	for _, h := range holds {
		h, err := d.Books.Hold(ctx, h.ID)
		if err != nil {
			return err
		}
		if len(h.Clips) == 1 && h.Clips[0].Clip == c.ID {
			return d.lift(ctx, h.ID)
		}
	}
	return errors.New("nothing of case " + caseA + " holds the clip that is held twice")
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
		if err := d.lift(ctx, h.ID); err != nil {
			return err
		}
	}
	return nil
}

func (d *day) lift(ctx context.Context, id string) error {
	if err := d.Books.AskLift(ctx, lead, id, "the case is closed"); err != nil {
		return err
	}
	// That it will be lifted is written down first: whether it was, is told by the hold alone.
	if err := d.Tell(world.Word{Lifting: id}); err != nil {
		return err
	}
	if err := d.Books.Lift(ctx, second, id); err != nil {
		return err
	}
	return d.Tell(world.Word{Told: &world.Told{Hold: id, Lifted: true}})
}
