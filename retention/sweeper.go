package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Ledger is where deletion is claimed and proved; each method is one transaction that logs itself.
type Ledger interface {
	// Claim destroys the headers of clips that are due at now and returns them.
	Claim(ctx context.Context, now time.Time, limit int) ([]Clip, error)
	// Deleting lists claimed clips whose bytes may still be there.
	Deleting(ctx context.Context, limit int) ([]Clip, error)
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

// Run sweeps until ctx ends. A fault of a store or database is logged, counted and tried again; it
// never ends the sweeper.
func (s *Sweeper) Run(ctx context.Context) error {
	var last string
	for {
		again, err := s.Sweep(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.failures.Add(1)
			if err.Error() != last { // one line per fault, not one per second
				last = err.Error()
				s.cfg.Log.Error("deletion is late and is tried again", "err", err)
			}
		} else {
			last = ""
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
// could delay that; then its bytes are removed; then what earlier passes could not finish. again reports
// that there may be more that is due.
func (s *Sweeper) Sweep(ctx context.Context) (again bool, err error) {
	var errs []error
	// Listed before the claim, which would add to it.
	unfinished, err := s.cfg.Ledger.Deleting(ctx, s.cfg.Batch)
	errs = append(errs, err)
	now, err := s.cfg.Clock.Deleting()
	var due []Clip
	if err == nil {
		due, err = s.cfg.Ledger.Claim(ctx, now, s.cfg.Batch)
	}
	errs = append(errs, err)
	if len(due) > 0 {
		s.scrubbed.Store(false)
	}
	if !s.scrubbed.Load() && s.cfg.Scrub != nil {
		err := s.cfg.Scrub(ctx)
		s.scrubbed.Store(err == nil)
		errs = append(errs, err)
	}
	// What was claimed is unreadable already: removing its bytes needs no clock. In no fixed order, so
	// that one that hangs does not stand before the same others each time.
	rand.Shuffle(len(unfinished), func(i, j int) { unfinished[i], unfinished[j] = unfinished[j], unfinished[i] })
	patience := time.Now().Add(s.cfg.Timeout)
	for _, c := range append(due, unfinished...) {
		if time.Now().After(patience) { // others fall due meanwhile
			break
		}
		errs = append(errs, s.remove(ctx, c))
	}
	return len(due) == s.cfg.Batch, errors.Join(errs...)
}

// remove takes a claimed clip from unreadable to gone: remove every trace, prove it by listing, write
// the tombstone. A crash between any two steps is repaired by the next pass.
func (s *Sweeper) remove(ctx context.Context, c Clip) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	removed, err := s.cfg.Eraser.Erase(ctx, c.ObjectKey)
	if err != nil {
		return fmt.Errorf("removing clip %s: %w", c.ID, err)
	}
	listed, err := s.cfg.Eraser.Remains(ctx, c.ObjectKey)
	if err != nil {
		return fmt.Errorf("proving that clip %s is gone: %w", c.ID, err)
	}
	if listed != 0 {
		return fmt.Errorf("clip %s: %d left: %w", c.ID, listed, ErrRemains)
	}
	at := s.cfg.Clock.Now()
	if err := s.cfg.Ledger.Tombstone(ctx, c, at, removed, listed); err != nil {
		return err
	}
	s.deleted.Add(1)
	if lag := int64(at.Sub(c.Deadline)); lag > s.lag.Load() {
		s.lag.Store(lag)
	}
	return nil
}
