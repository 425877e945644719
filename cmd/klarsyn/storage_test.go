package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"klarsyn/camera"
)

// A store that fills is told days before it is full, and recording stops while there is still room for deletion.
func TestStorageThatFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		const gib = 1 << 30
		var used atomic.Int64
		s := &storage{capacity: 100 * gib, spare: 2 * gib, now: time.Now, logger: slog.New(slog.NewTextHandler(&said, nil)),
			stored: func(context.Context) (int64, error) { return used.Load(), nil }}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() { defer close(done); s.run(ctx) }()
		synctest.Wait()
		if _, known := s.days(); known {
			t.Error("a rate is told of one measurement")
		}
		// 24 GiB a day: in four days 98 of them are full.
		full := time.Duration(0)
		for minute := range 5 * 24 * 60 {
			used.Store(int64(minute) * gib / 60)
			time.Sleep(time.Minute)
			synctest.Wait()
			at := time.Duration(minute) * time.Minute
			if days, known := s.days(); minute > 60 && minute < 90*60 && (!known || math.Abs(days-(98.0/24-at.Hours()/24)) > 0.02) {
				t.Fatalf("after %s: %g days left, %v", at, days, known)
			}
			if strings.Contains(said.String(), "runs short") && at < 24*time.Hour {
				t.Fatalf("after %s: %s", at, said.String())
			}
			if err := s.room(); err != nil && full == 0 {
				full = at
				if !errors.Is(err, camera.ErrStorageFull) || !strings.Contains(err.Error(), "2048 MiB") {
					t.Errorf("%v", err)
				}
			}
		}
		if want := 98 * time.Hour; full < want || full > want+2*time.Minute {
			t.Errorf("recording stops after %s, want %s", full, want)
		}
		if !strings.Contains(said.String(), "runs short") {
			t.Error("nobody was told")
		}
		// Retention goes on deleting, and recording begins again by itself.
		used.Store(50 * gib)
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := s.room(); err != nil {
			t.Errorf("with room again: %v", err)
		}
		cancel()
		<-done
	})
}

// A store that does not fill has room for ever, and one of unknown size is not guessed at.
func TestStorageThatDoesNotFill(t *testing.T) {
	now := time.Now()
	s := &storage{capacity: 1000, now: func() time.Time { return now }, logger: slog.New(slog.DiscardHandler), stored: func(context.Context) (int64, error) { return 500, nil }}
	for range 30 {
		if err := s.measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	if days, known := s.days(); !known || !math.IsInf(days, 1) {
		t.Errorf("%g days, %v", days, known)
	}
	s.capacity = 0
	if err := s.measure(t.Context()); !errors.Is(err, errNoCapacity) {
		t.Errorf("%v", err)
	}
	if (&storage{}).room() != nil {
		t.Error("recording stops where nobody knows how much room there is")
	}
	s.folder = "/nowhere"
	if err := s.room(); err == nil || errors.Is(err, camera.ErrStorageFull) || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("a disk that is gone: %v", err)
	}
}
