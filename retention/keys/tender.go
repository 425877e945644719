package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	// daysAhead is for how many days after the open one a key is ready, so that recording goes on
	// while the minter is down.
	daysAhead = 2
	// grace is how long after midnight the key of the day before may still be asked for: a clip is
	// sealed to the day of its first frame.
	grace = 10 * time.Minute
)

// Board is where the public halves hang, for recorders to find.
type Board interface {
	PublishRecipient(ctx context.Context, permit, day, recipient string) error
	WithdrawRecipient(ctx context.Context, permit, day string) error
	// KeyNeeded reports whether a clip that is not deleted was sealed to the key.
	KeyNeeded(ctx context.Context, permit, day string) (bool, error)
}

// Tender mints day keys ahead of time and destroys those that no clip needs any more.
type Tender struct {
	Store *Store
	Board Board
	// Permits names the permits that need keys at a time.
	Permits func(at time.Time) []string
	Now     func() time.Time
	Log     *slog.Logger
	// Scrub, if set, runs after keys were destroyed: it empties what a database keeps of deleted rows.
	Scrub func(ctx context.Context) error
	// Every is the time between two rounds (default 10 s).
	Every time.Duration
	// Wake, if set, begins a round at once: a permit that is new needs its key before its first picture.
	Wake <-chan struct{}

	// scrubbed is false while a destroyed key may still lie in the database's log, as after a crash.
	scrubbed bool
}

// Run tends the keys until ctx ends; faults are logged and tried again.
func (t *Tender) Run(ctx context.Context) error {
	if t.Log == nil {
		t.Log = slog.New(slog.DiscardHandler)
	}
	every := t.Every
	if every == 0 {
		every = 10 * time.Second
	}
	for {
		if err := t.Tend(ctx); err != nil && ctx.Err() == nil {
			t.Log.Error("day keys are not in order; tried again", "err", err)
		}
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-t.Wake:
			timer.Stop()
		}
	}
}

// Tend makes one round. It is called from one goroutine.
func (t *Tender) Tend(ctx context.Context) error {
	now := t.Now().UTC()
	var errs []error
	for ahead := range daysAhead + 1 {
		at := now.AddDate(0, 0, ahead)
		for _, permit := range t.Permits(at) {
			errs = append(errs, t.mint(ctx, Key{permit, at.Format(time.DateOnly)}))
		}
	}
	old, err := t.Store.Before(ctx, now.Add(-grace).Format(time.DateOnly))
	errs = append(errs, err)
	for _, k := range old {
		errs = append(errs, t.retire(ctx, k))
	}
	if !t.scrubbed && t.Scrub != nil {
		err := t.Scrub(ctx)
		t.scrubbed = err == nil
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// mint comes before publishing: a recipient whose identity was never kept would seal footage for nobody.
func (t *Tender) mint(ctx context.Context, k Key) error {
	recipient, _, err := t.Store.Mint(ctx, k)
	if err != nil {
		return err
	}
	return t.Board.PublishRecipient(ctx, k.Permit, k.Day, recipient)
}

func (t *Tender) retire(ctx context.Context, k Key) error {
	needed, err := t.Board.KeyNeeded(ctx, k.Permit, k.Day)
	if err != nil || needed {
		return err
	}
	if err := t.Board.WithdrawRecipient(ctx, k.Permit, k.Day); err != nil {
		return err
	}
	t.scrubbed = false
	if _, err := t.Store.Destroy(ctx, k); err != nil {
		return fmt.Errorf("its clips are gone, but: %w", err)
	}
	return nil
}
