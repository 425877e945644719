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
	fault  func(step, key string) (before, after error)
	block  time.Duration // how long the store takes to remove, or to remove slow
	slow   string        // the only clip that it takes long for; "": all
}

func newWorld(t testing.TB) *world {
	return &world{t: t, clips: map[string]*Clip{}, bytes: map[string]int{}, graves: map[string]int{}}
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

func (w *world) Deleting(_ context.Context, behind string, limit int) ([]Clip, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := w.step("resume", "")
	if err := errors.Join(before, after); err != nil {
		return nil, err
	}
	var left []Clip
	for _, id := range slices.Sorted(maps.Keys(w.clips)) {
		if c := w.clips[id]; c.State == Deleting && id > behind && len(left) < limit {
			left = append(left, *c)
		}
	}
	return left, nil
}

func (w *world) Tombstone(_ context.Context, c Clip, at time.Time, removed, listed int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := w.step("tombstone", c.ObjectKey)
	if before != nil {
		return before
	}
	have := w.clips[c.ID]
	if listed != 0 || w.bytes[c.ObjectKey] != 0 {
		w.t.Errorf("clip %s was called gone with %d listed and %d there", c.ID, listed, w.bytes[c.ObjectKey])
	}
	if at.Before(c.Deadline) {
		w.t.Errorf("clip %s was gone at %s, before its deadline %s", c.ID, at, c.Deadline)
	}
	if have.State == Deleting {
		have.State, have.DeletedAt = Deleted, at
		w.graves[c.ID]++
	}
	return after
}

func (w *world) Erase(ctx context.Context, key string) (int, error) {
	if w.block > 0 && (w.slow == "" || key == "key/"+w.slow) {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(w.block):
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := w.step("erase", key)
	if before != nil {
		return 0, before
	}
	if c := w.clips[strings.TrimPrefix(key, "key/")]; c.State != Deleting && c.State != Deleted {
		w.t.Errorf("clip %s was erased while it was %s", c.ID, c.State)
	}
	n := w.bytes[key]
	w.bytes[key] = 0
	return n, after
}

func (w *world) Remains(_ context.Context, key string) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := w.step("list", key)
	return w.bytes[key], errors.Join(before, after)
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

func (w *world) took() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := fmt.Sprint(w.steps)
	w.steps = nil
	return s
}
