package retention

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"klarsyn/retention/crashpoint"
)

// alone is how many clips that hung before are tried at a time, each by itself.
const alone = 8

// rowTime bounds one transaction.
const rowTime = 30 * time.Second

// removal is one pass over what is unreadable and may still be there.
type removal struct {
	*Sweeper
	mu     sync.Mutex
	all    faults
	buried int
}

// remove takes a batch of claimed clips into its charge, and from unreadable to gone: every trace is removed, a listing
// proves it, the tombstone is written. A crash between any two steps is repaired by whoever takes charge next. It needs no
// clock: what was claimed is unreadable already. Its context ends before its lease does, so that it has stopped when another
// sweeper takes over. again reports that there may be more, and that this pass got on.
func (s *Sweeper) remove(ctx context.Context) (again bool, all faults) {
	begun := time.Now()
	charges, err := s.takeCharge(ctx)
	r := removal{Sweeper: s}
	r.all.add(charging, "", err)
	if err == nil {
		s.clearAlive.Store(time.Now().UnixNano())
	}
	if len(charges) == 0 {
		return false, r.all
	}
	crashpoint.Here("delete.charged")
	end := begun.Add(s.cfg.Timeout)
	pass, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	together, hung := s.stubborn.apart(charges, begun)
	var lanes sync.WaitGroup
	if len(together) > 0 {
		lanes.Go(func() { r.erase(pass, s.cfg.Timeout/2, together) })
	}
	queue := make(chan Charge, len(hung))
	for _, c := range hung {
		queue <- c
	}
	close(queue)
	for range min(alone, len(hung)) {
		lanes.Go(func() {
			for c := range queue { // what is not begun comes first in the next pass
				if patience := r.patience(c.ID); time.Until(end) >= patience {
					r.erase(pass, patience, []Charge{c})
				}
			}
		})
	}
	lanes.Wait()
	return len(charges) == s.cfg.Batch && r.buried > 0, r.all
}

// takeCharge goes round: on from the clip behind that tried last, so that some that hang or fail do not stand before the others.
func (s *Sweeper) takeCharge(ctx context.Context) ([]Charge, error) {
	ctx, cancel := context.WithTimeout(ctx, rowTime)
	defer cancel()
	lease := Lease{Sweeper: s.name, For: s.cfg.Timeout * 3 / 2}
	charges, err := s.cfg.Ledger.TakeCharge(ctx, lease, s.tried, s.cfg.Batch)
	if err == nil && len(charges) == 0 && s.tried != "" {
		charges, err = s.cfg.Ledger.TakeCharge(ctx, lease, "", s.cfg.Batch)
	}
	s.tried = ""
	if len(charges) == s.cfg.Batch {
		s.tried = charges[len(charges)-1].ID
	}
	return charges, err
}

// erase removes clips together and buries those that are gone.
func (r *removal) erase(ctx context.Context, patience time.Duration, charges []Charge) {
	keys := make([]string, len(charges))
	for i, c := range charges {
		keys[i] = c.ObjectKey
	}
	bounded, cancel := context.WithTimeout(ctx, patience)
	erased := r.cfg.Eraser.Erase(bounded, keys)
	hung := errors.Is(bounded.Err(), context.DeadlineExceeded)
	cancel()
	crashpoint.Here("delete.listed")

	now := r.cfg.Clock.Proving() // a clock that leapt must not date a proof
	var stones []Tombstone
	r.mu.Lock()
	for i, c := range charges {
		switch e := erased[i]; {
		case e.Err != nil:
			r.all.add(erasing, c.ID, fmt.Errorf("removing clip %s: %w", c.ID, e.Err))
			if hung {
				r.stubborn.add(c.ID, r.cfg.Timeout/2)
			}
		case e.Left != 0:
			r.all.add(proving, c.ID, fmt.Errorf("clip %s: %d left: %w", c.ID, e.Left, ErrRemains))
		default:
			stones = append(stones, Tombstone{Charge: c, At: now, Removed: e.Removed})
		}
	}
	r.mu.Unlock()
	r.bury(context.WithoutCancel(ctx), stones)
}

// bury writes tombstones. The pass may be over meanwhile: what was proved stays true, and the fence says whose it is.
func (r *removal) bury(ctx context.Context, stones []Tombstone) {
	if len(stones) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, rowTime)
	defer cancel()
	buried, err := r.cfg.Ledger.Bury(ctx, stones)
	crashpoint.Here("delete.buried")
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.all.add(burying, stones[0].ID, err)
		return
	}
	r.buried += len(buried)
	r.deleted.Add(int64(len(buried)))
	r.fenced.Add(int64(len(stones) - len(buried)))
	done := make(map[string]bool, len(buried))
	for _, id := range buried {
		done[id] = true
	}
	for _, t := range stones {
		delete(r.stubborn, t.ID)
		if !done[t.ID] {
			continue
		}
		lag := t.At.Sub(t.Deadline)
		r.lag.Store(max(r.lag.Load(), int64(lag)))
		if r.cfg.Lags != nil {
			r.cfg.Lags.Gone(lag)
		}
	}
}

// patience is how long a clip that hung before may take by itself: each time longer, since a store may be that slow.
func (r *removal) patience(id string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return min(r.cfg.Timeout*3/4, r.cfg.Timeout/4<<min(r.stubborn[id].times, 3))
}

// stubborn are clips at which a store hung, by id: each is tried by itself from then on, ever more seldom, so that it keeps
// no other waiting.
type stubborn map[string]hang

type hang struct {
	times int // by itself
	next  time.Time
}

const (
	maxStubborn = 1000
	longest     = 6 // doublings of the pause between two tries: ten minutes
	// forget is when a clip that was not tried again is somebody else's, or gone.
	forget = time.Hour
)

// add is guarded by the lock of the pass.
func (s stubborn) add(id string, pause time.Duration) {
	h, known := s[id]
	if !known && len(s) >= maxStubborn {
		return
	}
	h.next = time.Now()
	if known {
		h.times++
		h.next = h.next.Add(pause << min(h.times, longest))
	}
	s[id] = h
}

// apart says which clips are removed together, and which by themselves; those that hung a short while ago wait.
func (s stubborn) apart(charges []Charge, now time.Time) (together, hung []Charge) {
	maps.DeleteFunc(s, func(_ string, h hang) bool { return now.Sub(h.next) > forget })
	for _, c := range charges {
		switch h, known := s[c.ID]; {
		case !known:
			together = append(together, c)
		case !now.Before(h.next):
			hung = append(hung, c)
		}
	}
	slices.SortStableFunc(hung, func(a, b Charge) int { return s[a.ID].next.Compare(s[b.ID].next) }) // who waits longest first
	return together, hung
}
