package catalogue_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"klarsyn/retention"
)

// shared is a store that all sweepers share and that notes who acts on what. Some acts hang until their sweeper gives them up,
// which it must have done before its lease ends.
type shared struct {
	mu     sync.Mutex
	t      *testing.T
	acting map[string]string // who acts on a key now
	acts   map[string]int
	holds  map[string]bool // whether its bytes are there
	hangs  int             // how often it still hangs
}

// visitor is the store as one sweeper knows it.
type visitor struct {
	*shared
	name string
}

func (v visitor) Erase(ctx context.Context, keys []string) []retention.Erasure {
	if v.enter(keys) {
		<-ctx.Done()
	} else {
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(20 * time.Millisecond)):
		}
	}
	return v.leave(keys, ctx.Err())
}

// enter notes who acts on what, and says whether to hang.
func (v visitor) enter(keys []string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, key := range keys {
		if other, taken := v.acting[key]; taken {
			v.t.Errorf("%s acts on %s, and so does %s", v.name, key, other)
		}
		v.acting[key] = v.name
		v.acts[key]++
	}
	hang := v.hangs > 0 && rand.IntN(2) == 0
	if hang {
		v.hangs--
	}
	return hang
}

func (v visitor) leave(keys []string, err error) []retention.Erasure {
	v.mu.Lock()
	defer v.mu.Unlock()
	erased := make([]retention.Erasure, len(keys))
	for i, key := range keys {
		delete(v.acting, key)
		if erased[i].Err = err; err == nil && v.holds[key] {
			erased[i].Removed, v.holds[key] = 1, false
		}
	}
	return erased
}

// Twenty sweepers with clocks that are hours apart: no two of them act on one clip at a time, though many hang and are taken
// over, and each clip is claimed once and has one tombstone.
func twentySweepers(t *testing.T, b *books) {
	const clips, sweepers = 200, 20
	store := &shared{t: t, acting: map[string]string{}, acts: map[string]int{}, holds: map[string]bool{}, hangs: 8}
	from := start
	for range clips {
		c := b.put("k1", from, from.Add(time.Second), retention.Committed)
		store.holds[c.ObjectKey] = true
		from = from.Add(time.Second)
	}
	entries := b.entries()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for i := range sweepers {
		skew := time.Duration(i-sweepers/2) * time.Hour
		now := from.Add(24*time.Hour + skew)
		begun := time.Now()
		s := retention.NewSweeper(retention.SweeperConfig{
			Ledger: b.Catalogue, Eraser: visitor{store, now.Format(time.TimeOnly)}, Batch: 20, Timeout: 600 * time.Millisecond, Every: 20 * time.Millisecond,
			Clock: retention.NewClock(func() time.Time { return now.Add(time.Since(begun)) }, now.Add(-time.Minute), false),
		})
		all.Go(func() { _ = s.Run(ctx) })
	}
	for ctx.Err() == nil {
		left, err := b.Backlog(ctx, from.Add(100*time.Hour))
		if err == nil && left == (retention.Backlog{}) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	all.Wait()
	repeated := 0
	for key, there := range store.holds {
		if there {
			t.Errorf("%s is still there", key)
		}
		if store.acts[key] > 1 {
			repeated++
		}
	}
	if repeated == 0 {
		t.Error("nothing hung and was tried again: the test does not test what it says")
	}
	if n := b.entries() - entries; n != 2*clips {
		t.Errorf("%d log entries for %d clips, want two for each", n, clips)
	}
}
