package main

import (
	"context"
	"math/rand/v2"
	"time"

	"klarsyn/deploy/world"
)

// day is one day of a world, which the plan goes through from noon to the next.
type day struct {
	*world.World
	seed  uint64
	round int
	rand  *rand.Rand
}

// plan takes every step that a world has, with every kind of clip and hold, one after the other: where it dies follows from the
// point and the passing alone.
func (d *day) plan(ctx context.Context) error {
	d.rand = rand.New(rand.NewPCG(d.seed, uint64(d.round)))
	if err := d.Wall.Advance(d.Wall.Now().Truncate(time.Hour).Add(time.Hour)); err != nil {
		return err
	}
	return world.InOrder(ctx, []world.Step{
		{Name: "the recorder starts", Do: d.Recover},
		{Name: "keys are minted", Do: d.Tender.Tend},
		{Name: "cameras are recorded", Do: d.record},
		{Name: "a recorder dies and starts again", Do: d.Recover},
		{Name: "clips are stored", Do: d.Move},
		{Name: "holds are placed", Do: d.hold},
		{Name: "the store goes away while a part is cut out", Do: d.cutInVain},
		{Name: "parts are cut out", Do: d.Cut},
		{Name: "the store holds what is held", Do: d.Barrier.Step},
		{Name: "the master key is rotated", Do: d.Rotate},
		{Name: "a hold is lifted before the deadline", Do: d.liftEarly},
		{Name: "a clip waits in the spool", Do: d.late},
		{Name: "the deadline passes", Do: d.deadline},
		{Name: "holds are lifted after the deadline", Do: d.liftLate},
		{Name: "the store lets go of what was held", Do: d.Barrier.Step},
		{Name: "what they kept is deleted", Do: d.Sweep},
		{Name: "a day passes and keys are destroyed", Do: d.tomorrow},
	})
}

// record takes clips of every size: of one chunk and of several, closed and cut off, with something to keep and with nothing.
func (d *day) record(ctx context.Context) error {
	for _, t := range []world.Take{
		{Camera: "k1", Seconds: 5, Bytes: 30_000 + d.rand.IntN(10_000)}, // held as a whole
		{Camera: "k2", Seconds: 6, Bytes: 50 + d.rand.IntN(300)},        // a part of it is held
		{Camera: "k3", Seconds: 2, Bytes: 4000 + d.rand.IntN(9000)},     // not held
		{Camera: "k4", Seconds: 3, Bytes: 100 + d.rand.IntN(30_000)},    // held twice
		{Camera: "k5", Seconds: 2, Bytes: 200, Cut: true},               // of which nothing can be kept
		{Camera: "k6", Seconds: 5, Bytes: 70_000, Cut: true},            // of which a part can
	} {
		if _, err := d.Show(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// late records a clip that expires before it is stored.
func (d *day) late(ctx context.Context) error {
	_, err := d.Show(ctx, world.Take{Camera: "k7", Seconds: 1, Bytes: 700})
	return err
}

func (d *day) deadline(ctx context.Context) error {
	if err := d.Wall.Set(d.Wall.Now().Add(world.Retention + time.Minute)); err != nil {
		return err
	}
	return d.Sweep(ctx)
}

// tomorrow comes a quarter past midnight: until ten past, the key of the day before may still be asked for.
func (d *day) tomorrow(ctx context.Context) error {
	now := d.Wall.Now()
	if err := d.Wall.Set(now.Truncate(24 * time.Hour).Add(24*time.Hour + 15*time.Minute)); err != nil {
		return err
	}
	return d.Tender.Tend(ctx)
}
