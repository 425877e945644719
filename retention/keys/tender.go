package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"klarsyn/retention/crashpoint"
)

const (
	// daysAhead is for how many days after the open one a key is ready, so that recording goes on
	// while the minter is down.
	daysAhead = 2
	// grace is how long after midnight the key of the day before may still be asked for: a clip is
	// sealed to the day of its first frame.
	grace = 10 * time.Minute
	// caseGrace is how long the key of a case stays after somebody asked for it: the hold that it was asked for may not be
	// committed yet.
	caseGrace = time.Hour
)

// Board knows what keys are for.
type Board interface {
	DayBoard
	CaseBoard
}

// DayBoard is where the public halves of day keys hang, for recorders to find.
type DayBoard interface {
	PublishRecipient(ctx context.Context, permit, day, recipient string) error
	WithdrawRecipient(ctx context.Context, permit, day string) error
	// KeyNeeded reports whether a clip that is not deleted was sealed to the key.
	KeyNeeded(ctx context.Context, permit, day string) (bool, error)
}

// CaseBoard knows which cases hold something.
type CaseBoard interface {
	// CaseNeeded reports whether a hold of the case is in force, or something is left that its key sealed.
	CaseNeeded(ctx context.Context, caseNumber string) (bool, error)
	LogCaseKeyMinted(ctx context.Context, caseNumber string) error
	LogCaseKeyDestroyed(ctx context.Context, caseNumber string) error
}

// Tender mints day keys ahead of time and destroys those, of days and of cases, that nothing needs any more.
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
	faults   atomic.Int64
}

// Faults is how many rounds could not do all that was to be done.
func (t *Tender) Faults() int64 { return t.faults.Load() }

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
			t.Log.Error("keys are not in order; tried again", "err", err)
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
	err := t.tend(ctx)
	if err != nil {
		t.faults.Add(1)
	}
	return err
}

func (t *Tender) tend(ctx context.Context) error {
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
	// By the clock that stamped when they were asked for.
	since := t.Store.Now().Add(-caseGrace)
	cases, err := t.Store.unaskedCases(ctx, since)
	errs = append(errs, err)
	for _, c := range cases {
		errs = append(errs, t.retireCase(ctx, c, since))
	}
	if !t.scrubbed && t.Scrub != nil {
		err := t.Scrub(ctx)
		t.scrubbed = err == nil
		errs = append(errs, err)
		crashpoint.Here("retire.scrubbed")
	}
	return errors.Join(errs...)
}

// mint comes before publishing: a recipient whose identity was never kept would seal footage for nobody.
func (t *Tender) mint(ctx context.Context, k Key) error {
	recipient, minted, err := t.Store.Mint(ctx, k)
	if err != nil {
		return err
	}
	if minted {
		crashpoint.Here("mint.kept")
	}
	err = t.Board.PublishRecipient(ctx, k.Permit, k.Day, recipient)
	if minted && err == nil {
		crashpoint.Here("mint.published")
	}
	return err
}

func (t *Tender) retire(ctx context.Context, k Key) error {
	needed, err := t.Board.KeyNeeded(ctx, k.Permit, k.Day)
	if err != nil || needed {
		return err
	}
	if err := t.Board.WithdrawRecipient(ctx, k.Permit, k.Day); err != nil {
		return err
	}
	crashpoint.Here("retire.withdrawn")
	t.scrubbed = false
	if _, err := t.Store.Destroy(ctx, k); err != nil {
		return fmt.Errorf("its clips are gone, but: %w", err)
	}
	crashpoint.Here("retire.destroyed")
	return nil
}

// retireCase destroys the key of a case that no hold needs any more, with a word in the log before.
func (t *Tender) retireCase(ctx context.Context, caseNumber string, since time.Time) error {
	needed, err := t.Board.CaseNeeded(ctx, caseNumber)
	if err != nil || needed {
		return err
	}
	if err := t.Board.LogCaseKeyDestroyed(ctx, caseNumber); err != nil {
		return err
	}
	crashpoint.Here("case.logged")
	t.scrubbed = false
	destroyed, err := t.Store.DestroyCase(ctx, caseNumber, since)
	if err != nil {
		return fmt.Errorf("what it sealed is gone, but: %w", err)
	}
	crashpoint.Here("case.destroyed")
	if destroyed {
		return nil
	}
	// Somebody asked for it between the look and the end: it stays, and the log must say so.
	if _, err := t.Store.caseRecipient(ctx, caseNumber); errors.Is(err, ErrNoKey) {
		return nil
	} else if err != nil {
		return err
	}
	return t.Board.LogCaseKeyMinted(ctx, caseNumber)
}
