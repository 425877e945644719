// Package fsck checks the invariants of a whole installation, from the outside: rows against objects and against the log,
// headers against deadlines, keys against what they seal, the timeline against itself. Checking reads only. What is safe to
// repair it names, and repairs through the hands of others if it is asked to.
package fsck

import (
	"context"
	"fmt"
	"iter"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/object"
)

// Level is how deep objects are looked into.
type Level int

// The levels. Each checks what the ones before it check.
const (
	Hash     Level = iota // every object is read
	Size                  // the listing's sizes
	Presence              // whether the listing names it
)

// Books are the rows to check.
type Books interface {
	// All yields every clip ever reserved, with whether its header still exists, ordered by camera and start.
	All(ctx context.Context) iter.Seq2[retention.Row, error]
	Gaps(ctx context.Context, cam string) ([]retention.Gap, error)
	// Clip is one clip as it is now, or retention.ErrNotFound.
	Clip(ctx context.Context, id string) (retention.Clip, error)
	// Versions are all permit versions with what became of them.
	Versions(ctx context.Context) ([]policy.Version, error)
}

// HoldBooks are the rows of holds.
type HoldBooks interface {
	// Holds are all holds there ever were, without what they keep.
	Holds(ctx context.Context) ([]retention.Hold, error)
	// Held is what each of them keeps, and what it kept before it let go.
	Held(ctx context.Context) ([]retention.HeldRow, error)
}

// Store is the object store to check.
type Store interface {
	Traces(ctx context.Context, prefix string) iter.Seq2[object.Trace, error]
	Stat(ctx context.Context, key string) (object.Info, error)
	Verify(ctx context.Context, key string) (object.Info, error)
}

// Check is what to check, and against which time.
type Check struct {
	Books     Books
	HoldBooks HoldBooks
	Store     Store
	Now       time.Time
	Level     Level
	// Workers is how many objects are read at a time (default 4).
	Workers int
	// Grace is how long after its deadline a clip may still have a header or bytes: a sweeper works in seconds.
	Grace time.Duration
	// Stray is how old an object without a row may be: the reaper waits an hour before it removes one.
	Stray time.Duration
	// Backgrounds lists the cameras whose background could be opened, with its deadline; nil where none are kept.
	Backgrounds func(context.Context) (map[camera.ID]time.Time, error)
	// Spool lists the clips that have files in the spool; nil where there is no spool.
	Spool func() ([]string, error)
	// Opens proves that the key of a case opens what a hold keeps of a clip; nil where nobody may open anything, and NotOpened
	// says why.
	Opens     func(ctx context.Context, clip, caseNumber string) error
	NotOpened string
	// LegallyHeld says whether the store's own legal hold is on an object; nil where the store has none.
	LegallyHeld func(ctx context.Context, key, version string) (bool, error)
	// Keys are the keys that exist; nil where they may not be read, and NoKeys says why.
	Keys   Keys
	NoKeys string
	// Recipients are the day keys whose public half recorders can find; nil where there are none.
	Recipients func(context.Context) ([]policy.DayKey, error)
	// Replay makes the states of all clips from the log alone; nil where that is not asked for, and NoLog says why.
	Replay func(context.Context) (Story, error)
	NoLog  string
	// Progress, if set, hears how far it came: it is called from several goroutines.
	Progress func(what string, done int)
}

// rule checks an invariant, or two that are seen in the same place: each clip's row passes it once, in the order of Books.All, and
// then it says what it found.
type rule interface {
	row(ctx context.Context, row retention.Row) error
	done(ctx context.Context) ([]Result, error)
}

// Run checks all that can be seen in rows, objects and keys. The log's own invariants are policy/audit's to check. An error means
// that something could not be read, not that it is wrong.
func Run(ctx context.Context, c Check) ([]Result, error) {
	if c.Workers <= 0 {
		c.Workers = 4
	}
	if c.Progress == nil {
		c.Progress = func(string, int) {}
	}
	ctx, cancel := context.WithCancel(ctx) // whatever still works when this ends
	defer cancel()
	rules, err := c.rules(ctx)
	if err != nil {
		return nil, err
	}
	n := 0
	for row, err := range c.Books.All(ctx) {
		if err != nil {
			return nil, fmt.Errorf("fsck: %w", err)
		}
		for _, r := range rules {
			if err := r.row(ctx, row); err != nil {
				return nil, fmt.Errorf("fsck: %w", err)
			}
		}
		if n++; n%progressEvery == 0 {
			c.Progress("clips checked", n)
		}
	}
	var results []Result
	for i, r := range rules {
		found, err := r.done(ctx)
		if err != nil {
			return nil, fmt.Errorf("fsck: %w", err)
		}
		results = append(results, found...)
		rules[i] = nil // what it remembered of every clip
	}
	for i := range results {
		results[i].Judge()
	}
	return results, nil
}

// progressEvery is how many rows or objects pass between two words of progress.
const progressEvery = 1000

// rules reads all but the rows of clips: the store is listed before those are read, and what is put meanwhile has a row by then.
// So are gaps, holds and keys; what looks wrong for that alone is looked at again.
func (c Check) rules(ctx context.Context) ([]rule, error) {
	listed, err := c.list(ctx)
	if err != nil {
		return nil, err
	}
	holds, err := c.loadHolds(ctx)
	if err != nil {
		return nil, fmt.Errorf("fsck: %w", err)
	}
	due, err := c.due(listed, holds)
	if err != nil {
		return nil, err
	}
	permitted, err := c.permitted(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := c.keys(ctx, holds)
	if err != nil {
		return nil, err
	}
	tiles, err := c.tiles(ctx)
	if err != nil {
		return nil, err
	}
	stored, logged := c.stored(ctx, listed), c.logged(holds)
	// What is held asks what the log says of it, and which objects were missed.
	return []rule{c.objects(listed), stored, due, permitted, c.headers(holds), keys, tiles, exports{}, logged, c.held(holds, stored, logged)}, nil
}

// late reports whether the clip should be gone, with some grace for the sweeper. A hold that was lifted after the deadline let
// the clip go only then.
func (c Check) late(clip retention.Clip, let time.Time) bool {
	due := clip.Deadline
	if let.After(due) {
		due = let
	}
	return c.Now.After(due.Add(c.Grace))
}

// exports is I13.
type exports struct{}

func (exports) row(context.Context, retention.Row) error { return nil }

func (exports) done(context.Context) ([]Result, error) {
	r := Result{ID: "I13", What: "every export names clips that existed, and verifies offline", Verdict: Nothing}
	r.skip("exports: this version makes none")
	return []Result{r}, nil
}
