package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"klarsyn/deploy/crash/world"
)

// day is one day of a world, which the plan goes through from noon to the next.
type day struct {
	*world.World
	seed  uint64
	round int
	rand  *rand.Rand
}

// step is one thing that somebody does.
type step struct {
	name string
	do   func(context.Context) error
}

// plan takes every step that a world has, with every kind of clip and hold, one after the other: where it dies follows from the
// point and the passing alone.
func (d *day) plan(ctx context.Context) error {
	d.rand = rand.New(rand.NewPCG(d.seed, uint64(d.round)))
	if err := d.Wall.Advance(d.Wall.Now().Truncate(time.Hour).Add(time.Hour)); err != nil {
		return err
	}
	for _, s := range []step{
		{"the recorder starts", d.Recover},
		{"keys are minted", d.Tender.Tend},
		{"cameras are recorded", d.record},
		{"a recorder dies and starts again", d.Recover},
		{"clips are stored", d.move},
		{"holds are placed", d.hold},
		{"the store goes away while a part is cut out", d.cutInVain},
		{"parts are cut out", d.cut},
		{"the store holds what is held", d.Barrier.Step},
		{"the master key is rotated", d.Rotate},
		{"a hold is lifted before the deadline", d.liftEarly},
		{"a clip waits in the spool", d.late},
		{"the deadline passes", d.deadline},
		{"holds are lifted after the deadline", d.liftLate},
		{"the store lets go of what was held", d.Barrier.Step},
		{"what they kept is deleted", d.Sweep},
		{"a day passes and keys are destroyed", d.tomorrow},
	} {
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// rest brings to rest what is there, as processes do that start after a crash: it may be repeated, and it may die, too.
func (d *day) rest(ctx context.Context) error {
	if d.Intake == nil {
		if err := d.Recover(ctx); err != nil {
			return fmt.Errorf("the recorder starts: %w", err)
		}
	}
	// The lease of a sequencer that died, and a cut that nobody finishes, are over by then.
	if err := d.Wall.Set(d.Wall.Now().Add(patience)); err != nil {
		return err
	}
	for _, s := range []step{
		{"the leases of the dead end", d.Outlive},
		{"a rotation is ended", d.endRotation},
		{"keys are tended", d.Tender.Tend},
		{"clips are stored", d.move},
		{"parts are cut out", d.cut},
		{"the store holds what is held", d.Barrier.Step},
		{"what is due is deleted", d.Sweep},
		{"stray objects are reaped", d.reap},
		{"keys are tended again", d.Tender.Tend},
		{"the log is numbered", d.Log.Sequence},
	} {
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("coming to rest: %s: %w", s.name, err)
		}
	}
	return nil
}

// patience is how much of the world's time passes before a process that starts may take over what another one had begun.
const patience = 30 * time.Second

func (d *day) move(ctx context.Context) error { return d.Intake.Move(ctx) }

// endRotation runs a rotation again that somebody began: it is under way as long as there is a master key before.
func (d *day) endRotation(ctx context.Context) error {
	under, err := d.Rotating(ctx)
	if err != nil || !under {
		return err
	}
	return d.Rotate(ctx)
}

func (d *day) reap(ctx context.Context) error {
	_, err := d.Reaper.Reap(ctx)
	return err
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
		if err := d.take(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// take records from now on. That it is about to is written down first: whatever is found later was shown to a camera.
func (d *day) take(ctx context.Context, t world.Take) error {
	t.Start = d.Clock.Receiving().Truncate(time.Microsecond).Add(time.Second)
	if err := d.Tell(world.Word{Take: &t}); err != nil {
		return err
	}
	return d.Record(ctx, t)
}

// late records a clip that expires before it is stored.
func (d *day) late(ctx context.Context) error {
	return d.take(ctx, world.Take{Camera: "k7", Seconds: 1, Bytes: 700})
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
