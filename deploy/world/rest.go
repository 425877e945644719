package world

import (
	"context"
	"fmt"
	"time"
)

// Patience is how much of a world's time passes before a process that starts may take over what another one had begun.
const Patience = 30 * time.Second

// Step is one thing that somebody does.
type Step struct {
	Name string
	Do   func(context.Context) error
}

// InOrder takes steps one after the other, up to one that fails.
func InOrder(ctx context.Context, steps []Step) error {
	for _, s := range steps {
		if err := s.Do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// Rest brings to rest what is there, as processes do that start after a crash: it may be repeated, and it may die, too.
func (w *World) Rest(ctx context.Context) error {
	if w.Intake == nil {
		if err := w.Recover(ctx); err != nil {
			return fmt.Errorf("the recorder starts: %w", err)
		}
	}
	// The lease of a sequencer that died, and a cut that nobody finishes, are over by then: by the clock of the log, too, which may be
	// ahead of one that was set back.
	now := w.Wall.Now()
	if logged := w.Clock.Logging(); logged.After(now) {
		now = logged
	}
	if err := w.Wall.Set(now.Add(Patience)); err != nil {
		return err
	}
	err := InOrder(ctx, []Step{
		{Name: "the leases of the dead end", Do: w.Outlive},
		{Name: "a rotation is ended", Do: w.endRotation},
		{Name: "keys are tended", Do: w.Tender.Tend},
		{Name: "clips are stored", Do: w.Move},
		{Name: "parts are cut out", Do: w.Cut},
		{Name: "the store holds what is held", Do: w.Barrier.Step},
		{Name: "what is due is deleted", Do: w.Sweep},
		{Name: "stray objects are reaped", Do: w.Reap},
		{Name: "keys are tended again", Do: w.Tender.Tend},
		{Name: "the log is numbered", Do: w.Log.Sequence},
	})
	if err != nil {
		return fmt.Errorf("coming to rest: %w", err)
	}
	return nil
}

// Move stores what waits in the spool.
func (w *World) Move(ctx context.Context) error { return w.Intake.Move(ctx) }

// Cut cuts out the parts that holds ask for.
func (w *World) Cut(ctx context.Context) error {
	_, err := w.Cutter.Cut(ctx)
	return err
}

// Reap removes what lies in the store and has no row.
func (w *World) Reap(ctx context.Context) error {
	_, err := w.Reaper.Reap(ctx)
	return err
}

// Outlive lets the leases of sweepers that died end: they go by the clock of the database, which is nobody's to set.
func (w *World) Outlive(ctx context.Context) error {
	_, err := w.DB.ExecContext(ctx, `UPDATE catalogue_clip SET lease_us = 0 WHERE lease_us <> 0`)
	return err
}

// endRotation runs a rotation again that somebody began: it is under way as long as there is a master key before.
func (w *World) endRotation(ctx context.Context) error {
	under, err := w.Rotating(ctx)
	if err != nil || !under {
		return err
	}
	return w.Rotate(ctx)
}
