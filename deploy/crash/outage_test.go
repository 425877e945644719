package main

import (
	"errors"
	"testing"
	"time"

	"klarsyn/deploy/world"
	"klarsyn/deploy/world/worldtest"
	"klarsyn/retention"
)

// The object store is away for an hour: whatever falls due meanwhile is unreadable at its deadline, wherever its bytes lie, and a
// minute after the store's return they are gone.
func TestStoreAwayForAnHour(t *testing.T) {
	worldtest.QuickDisk(t)
	p, ctx := worldtest.Servers(t, world.Start), t.Context()
	a, err := p.Fresh(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w, err := world.Open(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.Recover(ctx))
	must(w.Tender.Tend(ctx))
	for _, cam := range world.Cameras[:4] {
		_, err := w.Show(ctx, world.Take{Camera: cam, Seconds: 2, Bytes: 20_000})
		must(err)
	}
	must(w.Move(ctx))

	p.Store.Stop()
	away := w.Wall.Now()
	due, failed := 0, 0
	for minute := 1; minute <= 60; minute++ {
		must(w.Wall.Advance(away.Add(time.Duration(minute) * time.Minute)))
		if minute%15 == 1 { // what is recorded meanwhile waits in the spool
			_, err := w.Show(ctx, world.Take{Camera: "k5", Seconds: 1, Bytes: 5000})
			must(err)
			if err := w.Move(ctx); err == nil {
				t.Fatal("a clip was stored in a store that is away")
			}
		}
		if _, err := w.Sweeper.Sweep(ctx); err != nil {
			failed++
		}
		due = 0
		now := w.Clock.Reading()
		for row, err := range w.Books.All(ctx) {
			must(err)
			if now.Before(row.Deadline) {
				continue
			}
			due++
			if row.State != retention.Deleting && row.State != retention.Deleted || row.HasHeader {
				t.Errorf("minute %d: clip %s was due at %s and is %s, with a header %v", minute, row.ID, row.Deadline.Format(time.TimeOnly), row.State, row.HasHeader)
			}
			if _, err := w.Books.Header(ctx, row.ID); !errors.Is(err, retention.ErrGone) {
				t.Errorf("minute %d: the header of clip %s: %v", minute, row.ID, err)
			}
			if row.State == retention.Deleted {
				t.Errorf("minute %d: clip %s is said to be gone, and nobody could look", minute, row.ID)
			}
		}
	}
	if due < 7 || failed == 0 {
		t.Fatalf("%d clips fell due, and %d sweeps failed: the store was not away", due, failed)
	}

	p.Store.Start(t)
	back := w.Wall.Now()
	must(w.Sweep(ctx))
	gone := 0
	for row, err := range w.Books.All(ctx) {
		must(err)
		if row.Deadline.After(back) {
			continue
		}
		gone++
		if late := row.DeletedAt.Sub(back); row.State != retention.Deleted || late > time.Minute {
			t.Errorf("clip %s is %s %s after the store's return", row.ID, row.State, late)
		}
	}
	if gone < due {
		t.Errorf("%d clips are gone of %d that were due", gone, due)
	}
	must(w.Rest(ctx))
	checker, err := world.NewChecker()
	must(err)
	problems, err := checker.Check(ctx, w)
	must(err)
	for _, problem := range problems {
		t.Error(problem)
	}
}
