package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Ledger is where deletion is claimed and proved; each method is one transaction that logs itself.
type Ledger interface {
	// Claim destroys the headers of clips that are due at now and returns them.
	Claim(ctx context.Context, now time.Time, limit int) ([]Clip, error)
	// Deleting lists claimed clips whose bytes may still be there, in order of their ids, from the one after after.
	Deleting(ctx context.Context, after string, limit int) ([]Clip, error)
	// Tombstone records that a listing found nothing.
	Tombstone(ctx context.Context, c Clip, at time.Time, removed, listed int) error
}

// Eraser removes what a store holds of a key and counts what remains.
type Eraser interface {
	Erase(ctx context.Context, key string) (removed int, err error)
	Remains(ctx context.Context, key string) (int, error)
}

// ErrRemains says that a listing still found something after a deletion.
var ErrRemains = errors.New("the store still lists something of it after its deletion")

// SweeperConfig is what a Sweeper needs.
type SweeperConfig struct {
	Ledger Ledger
	Eraser Eraser
	Clock  *Clock
	// Scrub, if set, runs after a claim: it empties what a database keeps of deleted rows. It is tried
	// again until it worked.
	Scrub func(ctx context.Context) error
	Log   *slog.Logger
	// Every is the longest time between two looks for due clips (default 1 s).
	Every time.Duration
	// Batch is how many clips one transaction claims (default 100).
	Batch int
	// Timeout bounds the deletion of one object (default 30 s).
	Timeout time.Duration
}

// Sweeper keeps the promise of retention: what is due becomes unreadable at once and is then removed,
// listed, and replaced by a tombstone. Any number of sweepers may run; every step may be repeated.
type Sweeper struct {
	cfg SweeperConfig
	// scrubbed is false while the database may still hold a destroyed header, as it may after a crash.
	scrubbed atomic.Bool
	// tried is the id of the last leftover that was tried: the next pass goes on behind it. Owned by Sweep.
	tried    string
	deleted  atomic.Int64
	failures atomic.Int64
	lag      atomic.Int64
}

// SweepStats are a sweeper's counts since it began.
type SweepStats struct {
	Deleted  int64
	Failures int64
	MaxLag   time.Duration // from a clip's deadline to the proof that it is gone
}

// NewSweeper makes a sweeper; it does nothing before Run.
func NewSweeper(cfg SweeperConfig) *Sweeper {
	if cfg.Every == 0 {
		cfg.Every = time.Second
	}
	if cfg.Batch == 0 {
		cfg.Batch = 100
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Sweeper{cfg: cfg}
}

// Stats may be called at any time.
func (s *Sweeper) Stats() SweepStats {
	return SweepStats{Deleted: s.deleted.Load(), Failures: s.failures.Load(), MaxLag: time.Duration(s.lag.Load())}
}

// retell is how long a fault lasts before it is logged again.
const retell = 10 * time.Minute

// Run sweeps until ctx ends. A fault of a store or database is logged, counted and tried again; it
// never ends the sweeper.
func (s *Sweeper) Run(ctx context.Context) error {
	told := map[step]time.Time{}
	for {
		again, faults := s.sweep(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if len(faults) > 0 {
			s.failures.Add(1)
		}
		for _, f := range faults { // a line for each kind: not for each clip, and not for each pass
			if t, ok := told[f.step]; !ok || time.Since(t) >= retell {
				told[f.step] = time.Now()
				s.cfg.Log.Error("deletion is late and is tried again", "err", f)
			}
		}
		if again { // a full batch was claimed: that is progress, whatever else failed
			continue
		}
		t := time.NewTimer(s.cfg.Every)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// Sweep makes one pass: one batch of what is due becomes unreadable, before a store that is slow or away
// could delay that; then its bytes are removed, and what earlier passes could not finish. again reports that there
// may be more that is due.
func (s *Sweeper) Sweep(ctx context.Context) (again bool, err error) {
	again, faults := s.sweep(ctx)
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = f
	}
	return again, errors.Join(errs...)
}

func (s *Sweeper) sweep(ctx context.Context) (again bool, all faults) {
	// Listed before the claim, which would add to it.
	unfinished, err := s.leftovers(ctx)
	all.add(listing, "", err)
	now, err := s.cfg.Clock.Deleting()
	all.add(reading, "", err)
	var due []Clip
	if err == nil {
		due, err = s.cfg.Ledger.Claim(ctx, now, s.cfg.Batch)
		all.add(claiming, "", err)
	}
	if len(due) > 0 {
		s.scrubbed.Store(false)
	}
	if !s.scrubbed.Load() && s.cfg.Scrub != nil {
		err := s.cfg.Scrub(ctx)
		s.scrubbed.Store(err == nil)
		all.add(scrubbing, "", err)
	}
	// What was claimed is unreadable already: removing its bytes needs no clock. A pass begins no removal after
	// Timeout, since others fall due meanwhile. The first half of that is for what is due now, which one that
	// hangs among the leftovers must not delay; the rest is for these, or a slow store would never come to them.
	begun := time.Now()
	rest := due
	for ; len(rest) > 0 && time.Since(begun) < s.cfg.Timeout/2; rest = rest[1:] {
		all.add(s.remove(ctx, rest[0]))
	}
	for ; len(unfinished) > 0 && time.Since(begun) < s.cfg.Timeout; unfinished = unfinished[1:] {
		s.tried = unfinished[0].ID
		all.add(s.remove(ctx, unfinished[0]))
	}
	for ; len(rest) > 0 && time.Since(begun) < s.cfg.Timeout; rest = rest[1:] {
		all.add(s.remove(ctx, rest[0]))
	}
	return len(due) == s.cfg.Batch, all
}

// leftovers is a batch of what earlier passes could not finish, from the one behind that tried last: round and
// round, so that some that hang or fail do not stand before the others.
func (s *Sweeper) leftovers(ctx context.Context) ([]Clip, error) {
	behind, err := s.cfg.Ledger.Deleting(ctx, s.tried, s.cfg.Batch)
	if err != nil || len(behind) == s.cfg.Batch || s.tried == "" {
		return behind, err
	}
	first, err := s.cfg.Ledger.Deleting(ctx, "", s.cfg.Batch-len(behind))
	for _, c := range first {
		if c.ID <= s.tried {
			behind = append(behind, c)
		}
	}
	return behind, err
}

// remove takes a claimed clip from unreadable to gone: remove every trace, prove it by listing, write
// the tombstone. A crash between any two steps is repaired by the next pass. It returns the step that failed.
func (s *Sweeper) remove(ctx context.Context, c Clip) (at step, id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	removed, err := s.cfg.Eraser.Erase(ctx, c.ObjectKey)
	if err != nil {
		return erasing, c.ID, fmt.Errorf("removing clip %s: %w", c.ID, err)
	}
	listed, err := s.cfg.Eraser.Remains(ctx, c.ObjectKey)
	if err != nil {
		return proving, c.ID, fmt.Errorf("proving that clip %s is gone: %w", c.ID, err)
	}
	if listed != 0 {
		return proving, c.ID, fmt.Errorf("clip %s: %d left: %w", c.ID, listed, ErrRemains)
	}
	now := s.cfg.Clock.Now()
	if err := s.cfg.Ledger.Tombstone(ctx, c, now, removed, listed); err != nil {
		return burying, c.ID, err
	}
	s.deleted.Add(1)
	if lag := int64(now.Sub(c.Deadline)); lag > s.lag.Load() {
		s.lag.Store(lag)
	}
	return burying, c.ID, nil
}
