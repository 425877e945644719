package retention

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"klarsyn/retention/crashpoint"
)

// Ledger is where deletion is claimed and proved; each method is one transaction that logs itself.
type Ledger interface {
	// Claim destroys the headers of clips that are due at now and returns them.
	Claim(ctx context.Context, now time.Time, limit int) ([]Clip, error)
	// TakeCharge gives a sweeper up to limit claimed clips whose bytes may still be there and that no other sweeper has
	// in its charge: in order of their ids, from the one after after.
	TakeCharge(ctx context.Context, l Lease, after string, limit int) ([]Charge, error)
	// Bury records that a listing found nothing, and returns the ids of those that it recorded: not of those that were
	// buried before, nor of those that were taken over.
	Bury(ctx context.Context, stones []Tombstone) ([]string, error)
}

// Eraser removes what a store holds of each key, lists what remains, and tells both in the order of the keys. What fails at
// one key keeps no other from being removed.
type Eraser interface {
	Erase(ctx context.Context, keys []string) []Erasure
}

// ErrRemains says that a listing still found something after a deletion.
var ErrRemains = errors.New("the store still lists something of it after its deletion")

// Lags hears how long after its deadline a clip was unreadable, and gone.
type Lags interface {
	Unreadable(lag time.Duration)
	Gone(lag time.Duration)
}

// SweeperConfig is what a Sweeper needs.
type SweeperConfig struct {
	Ledger Ledger
	Eraser Eraser
	Clock  *Clock
	// Scrub, if set, runs after a claim: it empties what a database keeps of deleted rows. It is tried
	// again until it worked.
	Scrub func(ctx context.Context) error
	Lags  Lags // nil: nobody wants to hear
	Log   *slog.Logger
	// Every is the longest time between two looks for due clips (default 1 s).
	Every time.Duration
	// Batch is how many clips are claimed in one transaction, and how many are removed together (default 1000).
	Batch int
	// Timeout is how long one pass may act on the stores (default 20 s). A lease is half as long again.
	Timeout time.Duration
}

// Sweeper keeps the promise of retention: what is due becomes unreadable at once and is then removed,
// listed, and replaced by a tombstone. Any number of sweepers may run; every step may be repeated.
type Sweeper struct {
	cfg  SweeperConfig
	name string // of its leases
	// scrubbed is false while the database may still hold a destroyed header, as it may after a crash.
	scrubbed   atomic.Bool
	scrubbedAt time.Time // owned by shred
	// tried is the id of the last clip that was in its charge: the next pass goes on behind it. Owned by remove.
	tried    string
	stubborn stubborn // owned by remove

	deleted    atomic.Int64
	failures   atomic.Int64
	fenced     atomic.Int64
	lag        atomic.Int64
	shredAlive atomic.Int64 // Unix nanoseconds of the last pass
	clearAlive atomic.Int64
}

// SweepStats are a sweeper's counts since it began.
type SweepStats struct {
	Deleted  int64
	Failures int64
	Fenced   int64         // removals that another sweeper had taken over meanwhile
	MaxLag   time.Duration // from a clip's deadline to the proof that it is gone
	// Heartbeat is when a look for due clips and one for claimed ones last worked, the earlier of the two; zero before.
	Heartbeat time.Time
}

// maxBatch is what one statement and one request of an S3 server take.
const maxBatch = 1000

// NewSweeper makes a sweeper; it does nothing before Run.
func NewSweeper(cfg SweeperConfig) *Sweeper {
	if cfg.Every == 0 {
		cfg.Every = time.Second
	}
	if cfg.Batch == 0 || cfg.Batch > maxBatch {
		cfg.Batch = maxBatch
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 20 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Sweeper{cfg: cfg, name: rand.Text(), stubborn: stubborn{}}
}

// Stats may be called at any time.
func (s *Sweeper) Stats() SweepStats {
	st := SweepStats{
		Deleted: s.deleted.Load(), Failures: s.failures.Load(), Fenced: s.fenced.Load(), MaxLag: time.Duration(s.lag.Load()),
	}
	if alive := min(s.shredAlive.Load(), s.clearAlive.Load()); alive != 0 {
		st.Heartbeat = time.Unix(0, alive).UTC()
	}
	return st
}

// retell is how long a fault lasts before it is logged again.
const retell = 10 * time.Minute

// scrubEvery is how soon what was destroyed by others is scrubbed, too.
const scrubEvery = time.Minute

// Run sweeps until ctx ends. A fault of a store or database is logged, counted and tried again; it
// never ends the sweeper. What is due is looked for apart from what is removed: a store that is slow or hangs
// keeps nothing readable.
func (s *Sweeper) Run(ctx context.Context) error {
	claimed := make(chan struct{}, 1)
	var both sync.WaitGroup
	both.Go(func() {
		s.repeat(ctx, nil, func(ctx context.Context) (bool, faults) {
			n, all := s.shred(ctx)
			if n > 0 {
				select {
				case claimed <- struct{}{}:
				default: // it is awake already
				}
			}
			return n == s.cfg.Batch, all
		})
	})
	both.Go(func() { s.repeat(ctx, claimed, s.remove) })
	both.Wait()
	return nil
}

// repeat makes pass after pass: at once while there is more, else when it is woken, at the latest after Every.
func (s *Sweeper) repeat(ctx context.Context, woken <-chan struct{}, pass func(context.Context) (again bool, all faults)) {
	told := map[step]time.Time{}
	for {
		again, all := pass(ctx)
		if ctx.Err() != nil {
			return
		}
		if len(all) > 0 {
			s.failures.Add(1)
		}
		for _, f := range all { // a line for each kind: not for each clip, and not for each pass
			if t, ok := told[f.step]; !ok || time.Since(t) >= retell {
				told[f.step] = time.Now()
				s.cfg.Log.Error("deletion is late and is tried again", "err", f)
			}
		}
		if again {
			continue
		}
		t := time.NewTimer(s.cfg.Every)
		select {
		case <-ctx.Done():
		case <-woken:
		case <-t.C:
		}
		t.Stop()
	}
}

// Sweep makes one pass of each: a batch of what is due becomes unreadable, then a batch of what was claimed is
// removed. again reports that there may be more that is due.
func (s *Sweeper) Sweep(ctx context.Context) (again bool, err error) {
	n, all := s.shred(ctx)
	_, rest := s.remove(ctx)
	var errs []error
	for _, f := range append(all, rest...) {
		errs = append(errs, f)
	}
	return n == s.cfg.Batch, errors.Join(errs...)
}

// shred makes one batch of what is due unreadable, and says how many.
func (s *Sweeper) shred(ctx context.Context) (n int, all faults) {
	now, err := s.cfg.Clock.Deleting()
	all.add(reading, "", err)
	var due []Clip
	if err == nil {
		bounded, cancel := context.WithTimeout(ctx, rowTime)
		due, err = s.cfg.Ledger.Claim(bounded, now, s.cfg.Batch)
		cancel()
		all.add(claiming, "", err)
	}
	if err == nil {
		s.shredAlive.Store(time.Now().UnixNano())
	}
	if len(due) > 0 {
		crashpoint.Here("delete.claimed")
		s.scrubbed.Store(false)
		for _, c := range due {
			if s.cfg.Lags != nil {
				s.cfg.Lags.Unreadable(now.Sub(c.Deadline))
			}
		}
	}
	// Headers and sealed keys are destroyed elsewhere, too: when a deadline passes under a hold, when one is lifted.
	if (!s.scrubbed.Load() || time.Since(s.scrubbedAt) >= scrubEvery) && s.cfg.Scrub != nil {
		bounded, cancel := context.WithTimeout(ctx, rowTime)
		err := s.cfg.Scrub(bounded)
		cancel()
		s.scrubbed.Store(err == nil)
		s.scrubbedAt = time.Now()
		all.add(scrubbing, "", err)
		crashpoint.Here("delete.scrubbed")
	}
	return len(due), all
}
