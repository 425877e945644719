package object

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"
)

// Owners knows which objects belong to a clip.
type Owners interface {
	// Owner says whether a clip has that key, and whether the clip is live: whether it may have bytes.
	Owner(ctx context.Context, key string) (known, live bool, err error)
	// LogOrphan records that an object that no clip owns is being removed.
	LogOrphan(ctx context.Context, key string, size int64) error
}

// Reapable is what reaping needs of a Store.
type Reapable interface {
	Traces(ctx context.Context, prefix string) iter.Seq2[Trace, error]
	Delete(ctx context.Context, key string) (int, error)
}

// Reaper removes what lies in a store without a clip that owns it: bytes without a row have no
// deadline, so they must not stay. A put races with the expiry of its clip; this is who cleans up.
type Reaper struct {
	Store  Reapable
	Owners Owners
	Prefix string
	// Age is how old an object that no clip has must be (default 1 h): the clock of a store may differ.
	// One whose clip is gone, put by a recorder that was slower than the deadline, goes at once.
	Age time.Duration
	// Every is the time between two listings (default 10 min).
	Every time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// Run reaps until ctx ends; faults are logged and tried again.
func (r *Reaper) Run(ctx context.Context) error {
	if r.Log == nil {
		r.Log = slog.New(slog.DiscardHandler)
	}
	every := r.Every
	if every == 0 {
		every = 10 * time.Minute
	}
	for {
		t := time.NewTimer(every)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		if n, err := r.Reap(ctx); err != nil && ctx.Err() == nil {
			r.Log.Error("stray objects could not all be removed; tried again", "removed", n, "err", err)
		}
	}
}

// Reap makes one pass and returns how many keys it removed.
func (r *Reaper) Reap(ctx context.Context) (int, error) {
	age := r.Age
	if age == 0 {
		age = time.Hour
	}
	limit := r.Now().Add(-age)
	var errs []error
	removed := 0
	for t, err := range r.Store.Traces(ctx, r.Prefix) {
		if err != nil {
			return removed, errors.Join(append(errs, err)...)
		}
		known, live, err := r.Owners.Owner(ctx, t.Key)
		if err != nil {
			return removed, errors.Join(append(errs, err)...)
		}
		if live || !known && t.Modified.After(limit) {
			continue
		}
		if err := r.Owners.LogOrphan(ctx, t.Key, t.Size); err != nil {
			return removed, errors.Join(append(errs, err)...)
		}
		if _, err := r.Store.Delete(ctx, t.Key); err != nil {
			errs = append(errs, fmt.Errorf("removing stray %s: %w", t.Key, err))
			continue
		}
		removed++
	}
	return removed, errors.Join(errs...)
}
