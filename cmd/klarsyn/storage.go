package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"syscall"
	"time"

	"gonum.org/v1/gonum/stat"

	"klarsyn/camera"
)

const (
	storageEvery = time.Minute
	// storageWindow is over how long the rate is told at which storage fills: a day has its hours.
	storageWindow = 24 * time.Hour
	// storageLeast is for how long it must have been watched before a rate is told at all.
	storageLeast = 10 * time.Minute
	// storageWarn is how many days ahead a full storage is told aloud.
	storageWarn = 3.0
)

// storage watches how much room there is for sealed clips, and stops recording before there is none: nothing that was recorded is
// ever deleted to make room, and nothing that is held is touched.
type storage struct {
	folder   string // of a directory store; empty: a server
	capacity uint64 // of a server, in bytes; 0: nobody said
	spare    uint64 // bytes that recording leaves free
	stored   func(context.Context) (int64, error)
	now      func() time.Time
	logger   *slog.Logger

	mu     sync.Mutex
	free   []freeAt // oldest first
	warned time.Time
}

type freeAt struct {
	at    time.Time
	bytes float64
}

// errNoCapacity says that nobody knows how much a server holds.
var errNoCapacity = errors.New("nobody said how much the object store holds: set capacity_gib in square.yaml")

// run measures until ctx ends.
func (s *storage) run(ctx context.Context) {
	for {
		if err := s.measure(ctx); err != nil && !errors.Is(err, errNoCapacity) && ctx.Err() == nil {
			s.logger.Error("how much room there is for clips could not be told", "err", err)
		}
		t := time.NewTimer(storageEvery)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// measure notes how much is free now, and says aloud when that will not last.
func (s *storage) measure(ctx context.Context) error {
	free, err := s.left(ctx)
	if err != nil {
		return err
	}
	now := s.now()
	s.mu.Lock()
	s.free = append(s.free, freeAt{now, free})
	for len(s.free) > 0 && now.Sub(s.free[0].at) > storageWindow {
		s.free = s.free[1:]
	}
	s.mu.Unlock()
	days, known := s.days()
	s.mu.Lock()
	defer s.mu.Unlock()
	if known && days < storageWarn && now.Sub(s.warned) > time.Hour {
		s.warned = now
		s.logger.Warn("storage for clips runs short: when it is full recording stops, and nothing is deleted early; add room",
			"days_left", math.Round(days*10)/10, "free_mib", int64(free)>>20)
	}
	return nil
}

// left is how many bytes are free, of which spare are not for recording.
func (s *storage) left(ctx context.Context) (float64, error) {
	if s.folder != "" {
		var st syscall.Statfs_t
		if err := syscall.Statfs(s.folder, &st); err != nil {
			return 0, fmt.Errorf("object store %s: %w", s.folder, err)
		}
		return float64(st.Bavail) * float64(st.Bsize), nil
	}
	if s.capacity == 0 {
		return 0, errNoCapacity
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	used, err := s.stored(ctx)
	if err != nil {
		return 0, err
	}
	return math.Max(0, float64(s.capacity)-float64(used)), nil
}

// days is in how many days storage is full at the rate of the last day; known is false while that cannot be told. Where nothing
// fills it is infinite.
func (s *storage) days() (days float64, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.free)
	if n < 2 || s.free[n-1].at.Sub(s.free[0].at) < storageLeast {
		return 0, false
	}
	at, free := make([]float64, n), make([]float64, n)
	for i, f := range s.free {
		at[i], free[i] = f.at.Sub(s.free[0].at).Hours()/24, f.bytes
	}
	_, rate := stat.LinearRegression(at, free, nil, false)
	if rate >= 0 {
		return math.Inf(1), true
	}
	return math.Max(0, free[n-1]-float64(s.spare)) / -rate, true
}

// room refuses to record when only what is spared is left. On a server that is as of the last measurement.
func (s *storage) room() error {
	var free float64
	if s.folder != "" {
		var err error
		if free, err = s.left(context.Background()); err != nil {
			return err
		}
	} else {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.free) == 0 {
			return nil
		}
		free = s.free[len(s.free)-1].bytes
	}
	if free >= float64(s.spare) {
		return nil
	}
	// Without the free space in it: it changes, and a gap with another detail is another gap.
	return fmt.Errorf("%w: less than %d MiB are left for clips; add room. Nothing is deleted before its time, and nothing that is held is touched",
		camera.ErrStorageFull, s.spare>>20)
}

// meter tells it. What nobody knows is left out.
func (s *storage) meter(m meter) {
	m.question("klarsyn_storage_free_bytes", "Bytes free for sealed clips, as of the last minute. Left out where nobody knows how much the store holds.",
		func(context.Context) (float64, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.free) == 0 {
				return 0, errNotYet
			}
			return s.free[len(s.free)-1].bytes, nil
		})
	m.question("klarsyn_storage_days_left", "Days until storage is full at the rate of the last day; +Inf where it does not fill. Left out until that can be told.",
		func(context.Context) (float64, error) {
			days, known := s.days()
			if !known {
				return 0, errNotYet
			}
			return days, nil
		})
	m.gauge("klarsyn_storage_full", "1 while nothing is recorded because there is no room for it.", func() int64 {
		if s.room() != nil {
			return 1
		}
		return 0
	})
}

// errNotYet keeps a number out of a scrape that cannot be told yet.
var errNotYet = errors.New("it is not watched for long enough yet")
