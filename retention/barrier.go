package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"klarsyn/retention/crashpoint"
)

// BarrierBook says of which clips the store's own legal hold is not what the holds in force want it to be.
type BarrierBook interface {
	// Unbarred lists clips that are held and whose object is stored, where the legal hold is not known to be on; Barred those
	// that no hold keeps, or of which nothing is left to keep, where it may be. Both in order of their ids, from the one after after.
	Unbarred(ctx context.Context, after string, limit int) ([]Clip, error)
	Barred(ctx context.Context, after string, limit int) ([]Clip, error)
	SetBarrier(ctx context.Context, clip string, b BarrierState) error
}

// BarrierState is what is known of an object's legal hold.
type BarrierState int

// What is known of an object's legal hold. It is perhaps on from before it is set until after it was cleared.
const (
	BarrierOff BarrierState = iota
	BarrierPerhaps
	BarrierOn
)

// ErrNoBarrier says that a store has no legal holds: a directory, or a bucket without object lock. Then the rows are the one barrier.
var ErrNoBarrier = errors.New("the store has no legal holds")

// LegalHolder is a store that keeps objects from being deleted by anybody, until that is cleared. An object that is gone is
// cleared. It may fail with ErrNoBarrier.
type LegalHolder interface {
	LegalHold(ctx context.Context, key, version string, on bool) error
}

// Barrier sets the store's own legal hold on what is held, as a second barrier behind the rows, and clears it when the last hold
// is lifted: before that the sweeper could not delete.
type Barrier struct {
	Book  BarrierBook
	Store LegalHolder
	Log   *slog.Logger
	// Every is the time between two looks (default 1 s).
	Every time.Duration
	// Timeout bounds one object (default 10 s).
	Timeout time.Duration

	// none: the store has no legal holds, and gets none while this process runs. Owned by Step.
	none bool
	// on and off are the ids of the last clips that were tried: the next pass goes on behind them, so that those at which the store
	// fails keep no other waiting. Owned by Step.
	on, off string
}

const barrierBatch = 100

// Run keeps legal holds and holds in step until ctx ends; faults are logged and tried again.
func (b *Barrier) Run(ctx context.Context) error {
	every := b.Every
	if every == 0 {
		every = time.Second
	}
	var told time.Time
	for {
		if err := b.Step(ctx); err != nil && ctx.Err() == nil && time.Since(told) >= retell {
			told = time.Now()
			b.Log.Error("the store's legal holds are not in step with the holds; tried again", "err", err)
		}
		t := time.NewTimer(every)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// Step makes one pass. What is to be cleared comes first: a deletion waits for it. It is called from one goroutine.
func (b *Barrier) Step(ctx context.Context) error {
	off, err := b.Book.Barred(ctx, b.off, barrierBatch)
	if err != nil {
		return err
	}
	b.off = lastOf(off)
	var errs []error
	for _, c := range off {
		errs = append(errs, b.put(ctx, c, false, BarrierOff))
	}
	if b.none {
		return errors.Join(errs...)
	}
	on, err := b.Book.Unbarred(ctx, b.on, barrierBatch)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	b.on = lastOf(on)
	for _, c := range on {
		if b.none {
			break
		}
		// Said first: after a crash between the two nobody would clear it.
		if err := b.Book.SetBarrier(ctx, c.ID, BarrierPerhaps); err != nil {
			errs = append(errs, err)
			continue
		}
		crashpoint.Here("hold.barring")
		errs = append(errs, b.put(ctx, c, true, BarrierOn))
	}
	return errors.Join(errs...)
}

// lastOf is where the next pass goes on: behind a whole batch, else from the start.
func lastOf(batch []Clip) string {
	if len(batch) < barrierBatch {
		return ""
	}
	return batch[len(batch)-1].ID
}

func (b *Barrier) put(ctx context.Context, c Clip, on bool, then BarrierState) error {
	timeout := b.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := b.Store.LegalHold(ctx, c.ObjectKey, c.Version, on)
	if errors.Is(err, ErrNoBarrier) {
		b.none = true
		return b.Book.SetBarrier(ctx, c.ID, BarrierOff)
	}
	if err != nil {
		return fmt.Errorf("legal hold of clip %s: %w", c.ID, err)
	}
	crashpoint.Here("hold.barred")
	return b.Book.SetBarrier(ctx, c.ID, then)
}
