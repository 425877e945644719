// Package fsck checks the invariants of a whole installation, from the outside: rows against objects,
// headers against deadlines, the timeline against itself. It reads only, and it reports what it finds;
// it mends nothing.
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

// Result is what became of one invariant.
type Result struct {
	ID         string   `json:"id"`
	What       string   `json:"what"`
	Checked    int      `json:"checked"`
	Violations []string `json:"violations"`
	// Skipped names what could not be looked into, and why: of that nothing is said.
	Skipped []string `json:"skipped,omitempty"`
}

func (r *Result) broken(format string, args ...any) {
	r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
}

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

// Store is the object store to check.
type Store interface {
	Traces(ctx context.Context, prefix string) iter.Seq2[object.Trace, error]
	Verify(ctx context.Context, key string) (object.Info, error)
}

// Check is what to check, and against which time.
type Check struct {
	Books Books
	Store Store
	Now   time.Time
	// Grace is how long after its deadline a clip may still have a header or bytes: a sweeper works in seconds.
	Grace time.Duration
	// Stray is how old an object without a row may be: the reaper waits an hour before it removes one.
	Stray time.Duration
	// Backgrounds lists the cameras whose background could be opened, with its deadline; nil where none are kept.
	Backgrounds func(context.Context) (map[camera.ID]time.Time, error)
	// Spool lists the clips that have files in the spool; nil where there is no spool.
	Spool func() ([]string, error)
}

// Run checks I1, I2, I3, I5, I9 and I12. The log's own invariants are policy/audit's to check. An error means
// that something could not be read, not that it is wrong.
func Run(ctx context.Context, c Check) ([]Result, error) {
	// The store is listed before the rows are read: what is put meanwhile has a row by then.
	traces, err := c.list(ctx, "")
	if err != nil {
		return nil, err
	}
	rows, err := c.rows(ctx)
	if err != nil {
		return nil, err
	}
	var results []Result
	for _, check := range []func(context.Context, []retention.Row, map[string][]object.Trace) (Result, error){
		c.everyObjectHasARow, c.committedIsStored, c.dueIsGone, c.deadlinesFollowPermits, c.headersAreUnique, c.timeIsTiled,
	} {
		r, err := check(ctx, rows, traces)
		if err != nil {
			return nil, err
		}
		if r.Violations == nil {
			r.Violations = []string{}
		}
		results = append(results, r)
	}
	return results, nil
}

func (c Check) list(ctx context.Context, prefix string) (map[string][]object.Trace, error) {
	traces := map[string][]object.Trace{}
	for t, err := range c.Store.Traces(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("fsck: %w", err)
		}
		traces[t.Key] = append(traces[t.Key], t)
	}
	return traces, nil
}

func (c Check) rows(ctx context.Context) ([]retention.Row, error) {
	var rows []retention.Row
	for row, err := range c.Books.All(ctx) {
		if err != nil {
			return nil, fmt.Errorf("fsck: %w", err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// late reports whether the clip should be gone, with some grace for the sweeper.
func (c Check) late(clip retention.Clip) bool { return c.Now.After(clip.Deadline.Add(c.Grace)) }
