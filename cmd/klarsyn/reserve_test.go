package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
	"klarsyn/policy"
	"klarsyn/policy/audit"
)

// The reserve is real room: it is given up on a full disk, and made again when there is room beside it.
func TestReserve(t *testing.T) {
	disk := testenv.Tmpfs(t, 40)
	r := &reserve{path: filepath.Join(disk, "reserve"), size: 16 << 20, beside: 8 << 20}
	if !errors.Is(r.kept(), errSpent) {
		t.Error("it is kept before it was made")
	}
	if made, err := r.make(); err != nil || !made || r.kept() != nil {
		t.Fatalf("made %v, error %v", made, err)
	}
	if free, err := freeIn(disk); err != nil || free > 25<<20 {
		t.Errorf("%d bytes are free beside it, error %v: it is no room", free, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.run(ctx, slog.New(slog.DiscardHandler)) }()
	defer func() { stop(); <-ended }()
	ballast := filepath.Join(disk, "ballast")
	testenv.Fill(t, ballast)
	testenv.Eventually(t, 10*time.Second, "it is given up", func() bool { return r.kept() != nil })
	testenv.Eventually(t, 10*time.Second, "its room is free", func() bool {
		free, err := freeIn(disk)
		return err == nil && free >= 14<<20
	})
	time.Sleep(2 * reserveEvery)
	if r.kept() == nil {
		t.Error("it was made again of the room that deletion needs")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, "it is made again", func() bool { return r.kept() == nil })
}

// While the reserve is spent nobody logs but who deletes.
func TestSpentReserve(t *testing.T) {
	s := opened(t, installed(t), nil)
	defer s.close()
	if err := os.Remove(s.reserve.path); err != nil {
		t.Fatal(err)
	}
	s.reserve.beside = 1 << 60 // no disk has that
	if err := s.log.Probe(t.Context()); !errors.Is(err, policy.ErrLogUnavailable) || !errors.Is(err, errSpent) {
		t.Errorf("the log: error %v, want ErrLogUnavailable for want of room", err)
	}
	if err := s.deletionLog.Probe(t.Context()); err != nil {
		t.Errorf("the log of who deletes: %v", err)
	}
}

// A log that grows too fast rings, aloud and in itself, once an hour.
func TestGrowthAlarm(t *testing.T) {
	s := opened(t, installed(t), nil)
	defer s.close()
	now := time.Now()
	g := &growth{log: s.deletionLog, limit: 5, now: func() time.Time { return now }, logger: slog.New(slog.DiscardHandler)}
	for _, c := range []struct{ more, said int }{{5, 0}, {1, 1}, {3, 1}} {
		for range c.more {
			if err := s.deletionLog.Record(t.Context(), policy.ServiceStartedEntry("service:test")); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.deletionLog.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := g.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.deletionLog.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		said, err := s.deletionLog.Entries(t.Context(), audit.Query{Events: []policy.Event{policy.LogGrowth}})
		if n := len(said); err != nil || n != c.said || (g.alarm() == 1) != (c.said > 0) {
			t.Errorf("%d entries say so, error %v, alarm %d, want %d", n, err, g.alarm(), c.said)
		}
	}
}
