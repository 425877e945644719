package retention

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var errFault = errors.New("fault")

// world is ledger and store in memory. It polices the sweeper: nothing is erased that is still readable,
// nothing is called gone that is there, and nobody claims what is not due. Every step may be made to
// fail, before or after it was applied.
type world struct {
	mu     sync.Mutex
	t      testing.TB
	clips  map[string]*Clip
	bytes  map[string]int // by key: versions in the store
	steps  []string
	graves map[string]int // tombstones by clip
	leases map[string]leased
	fault  func(step, key string) (before, after error)
	block  time.Duration // how long the store takes to remove, or to remove slow
	slow   string        // the only clip that it takes long for; "": all
}

// leased is who has a clip in its charge.
type leased struct {
	by    string
	ends  time.Time
	fence int64
}

func newWorld(t testing.TB) *world {
	return &world{t: t, clips: map[string]*Clip{}, bytes: map[string]int{}, graves: map[string]int{}, leases: map[string]leased{}}
}

// add puts a committed clip with one object into the world.
func (w *world) add(id string, deadline time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clips[id] = &Clip{ID: id, ObjectKey: "key/" + id, State: Committed, Deadline: deadline}
	w.bytes["key/"+id] = 1
}

// step notes a step and asks for its faults.
func (w *world) step(name, key string) (before, after error) {
	w.steps = append(w.steps, strings.TrimSpace(name+" "+strings.TrimPrefix(key, "key/")))
	if w.fault == nil {
		return nil, nil
	}
	return w.fault(name, key)
}

func (w *world) Claim(_ context.Context, now time.Time, limit int) ([]Clip, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := w.step("claim", "")
	if before != nil {
		return nil, before
	}
	var due []Clip
	for _, id := range slices.Sorted(maps.Keys(w.clips)) {
		c := w.clips[id]
		if c.State == Committed && !now.Before(c.Deadline) && len(due) < limit {
			c.State = Deleting
			due = append(due, *c)
		}
	}
	if after != nil {
		return nil, after
	}
	return due, nil
}

func (w *world) TakeCharge(_ context.Context, l Lease, behind string, limit int) ([]Charge, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := w.step("charge", "")
	if before != nil {
		return nil, before
	}
	var left []Charge
	for _, id := range slices.Sorted(maps.Keys(w.clips)) {
		held := w.leases[id]
		if held.by != l.Sweeper && time.Now().Before(held.ends) {
			continue
		}
		if c := w.clips[id]; c.State == Deleting && id > behind && len(left) < limit {
			w.leases[id] = leased{by: l.Sweeper, ends: time.Now().Add(l.For), fence: held.fence + 1}
			left = append(left, Charge{Clip: *c, Sweeper: l.Sweeper, Fence: held.fence + 1})
		}
	}
	if after != nil {
		return nil, after
	}
	return left, nil
}

func (w *world) Bury(_ context.Context, stones []Tombstone) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var buried []string
	for _, s := range stones {
		before, after := w.step("bury", s.ObjectKey)
		if before != nil {
			return nil, before
		}
		have := w.clips[s.ID]
		if held := w.leases[s.ID]; held.by != s.Sweeper || held.fence != s.Fence {
			continue
		}
		if s.Listed != 0 || w.bytes[s.ObjectKey] != 0 {
			w.t.Errorf("clip %s was called gone with %d listed and %d there", s.ID, s.Listed, w.bytes[s.ObjectKey])
		}
		if s.At.Before(s.Deadline) {
			w.t.Errorf("clip %s was gone at %s, before its deadline %s", s.ID, s.At, s.Deadline)
		}
		if have.State == Deleting {
			have.State, have.DeletedAt = Deleted, s.At
			w.graves[s.ID]++
			buried = append(buried, s.ID)
		}
		if after != nil {
			return nil, after
		}
	}
	return buried, nil
}

// Erase hangs as a whole where one of the keys does, as a request for many would.
func (w *world) Erase(ctx context.Context, keys []string) []Erasure {
	erased := make([]Erasure, len(keys))
	if w.block > 0 && (w.slow == "" || slices.Contains(keys, "key/"+w.slow)) {
		select {
		case <-ctx.Done():
			for i := range erased {
				erased[i].Err = ctx.Err()
			}
			return erased
		case <-time.After(w.block):
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, key := range keys {
		erased[i] = w.erase(key)
	}
	return erased
}

func (w *world) erase(key string) Erasure {
	before, after := w.step("erase", key)
	if before != nil {
		return Erasure{Err: before}
	}
	id := strings.TrimPrefix(key, "key/")
	if c := w.clips[id]; c.State != Deleting && c.State != Deleted {
		w.t.Errorf("clip %s was erased while it was %s", c.ID, c.State)
	}
	n := w.bytes[key]
	w.bytes[key] = 0
	if after != nil {
		return Erasure{Err: after}
	}
	if err := errors.Join(w.step("list", key)); err != nil {
		return Erasure{Err: err}
	}
	return Erasure{Removed: n, Left: w.bytes[key]}
}

func (w *world) scrub(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := w.step("scrub", "")
	return errors.Join(before, after)
}

// gone checks that every clip has exactly one tombstone and no byte.
func (w *world) gone() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, c := range w.clips {
		if c.State != Deleted || w.graves[id] != 1 || w.bytes[c.ObjectKey] != 0 {
			w.t.Errorf("clip %s is %s, has %d tombstones and %d versions", id, c.State, w.graves[id], w.bytes[c.ObjectKey])
		}
	}
}

func (w *world) state(id string) State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clips[id].State
}

// snapshot is how all clips stand now.
func (w *world) snapshot() map[string]Clip {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]Clip{}
	for id, c := range w.clips {
		all[id] = *c
	}
	return all
}

func (w *world) took() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := fmt.Sprint(w.steps)
	w.steps = nil
	return s
}
