package world

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// Wall is a system clock that a world's people set. It ticks like any other, and stands in a file, so that a process that
// starts after a crash reads the time that the one before it had.
type Wall struct {
	path string

	mu   sync.Mutex
	base time.Time // what it was set to last
	set  time.Time // when that was
}

// OpenWall reads the clock, or makes one that stands at start.
func OpenWall(path string, start time.Time) (*Wall, error) {
	w := &Wall{path: path}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return w, w.Set(start)
	}
	if err != nil {
		return nil, fmt.Errorf("the world's clock: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("the world's clock: %w", err)
	}
	w.base, w.set = at, time.Now()
	return w, nil
}

// Now is the time that the clock shows.
func (w *Wall) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.base.Add(time.Since(w.set))
}

// Set sets the clock, forward or back, for this process and those after it.
func (w *Wall) Set(at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.base, w.set = at.UTC(), time.Now()
	// A new file in the place of the old one: a crash must not leave half a time.
	if err := os.WriteFile(w.path+".new", []byte(w.base.Format(time.RFC3339Nano)), 0o600); err != nil {
		return fmt.Errorf("the world's clock: %w", err)
	}
	if err := os.Rename(w.path+".new", w.path); err != nil {
		return fmt.Errorf("the world's clock: %w", err)
	}
	return nil
}

// Advance sets the clock forward, unless it is later already.
func (w *Wall) Advance(to time.Time) error {
	if !w.Now().Before(to) {
		return nil
	}
	return w.Set(to)
}
