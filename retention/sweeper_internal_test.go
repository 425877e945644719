package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sweeper sweeps w by the hands' time.
func sweeper(w *world, h *hands) *Sweeper {
	return NewSweeper(SweeperConfig{Ledger: w, Eraser: w, Clock: h.clock(noon, false), Scrub: w.scrub})
}

// Unreadable first, and nowhere in the database's log; then the bytes; then the proof; then the tombstone.
func TestOrderOfDeletion(t *testing.T) {
	w, h := newWorld(t), &hands{wall: noon}
	w.add("A", noon)
	w.add("B", noon.Add(1))
	s := sweeper(w, h)
	if again, err := s.Sweep(t.Context()); again || err != nil {
		t.Fatalf("again %v, %v", again, err)
	}
	if got, want := w.took(), "[claim scrub charge erase A list A bury A]"; got != want {
		t.Errorf("steps %s, want %s", got, want)
	}
	if w.state("B") != Committed {
		t.Error("a clip was deleted before its deadline")
	}
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := w.took(), "[claim charge]"; got != want {
		t.Errorf("steps of a pass without work: %s, want %s", got, want)
	}
	if got := s.Stats(); got.Deleted != 1 || got.MaxLag != 0 {
		t.Errorf("stats %+v", got)
	}
}

// Each step fails once, before or after it was applied: the next pass ends what was begun, once.
func TestEveryStepMayFail(t *testing.T) {
	for _, step := range []string{"charge", "claim", "scrub", "erase", "list", "bury"} {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, applied %v", step, applied), func(t *testing.T) {
				w, h := newWorld(t), &hands{wall: noon}
				w.add("A", noon)
				w.add("B", noon)
				failed := false
				w.fault = func(name, key string) (before, after error) {
					if name != step || failed || key == "key/B" {
						return nil, nil
					}
					failed = true
					if applied {
						return nil, errFault
					}
					return errFault, nil
				}
				s := sweeper(w, h)
				if _, err := s.Sweep(t.Context()); !errors.Is(err, errFault) {
					t.Fatalf("error %v: the fault was swallowed", err)
				}
				for range 2 {
					if _, err := s.Sweep(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				w.gone()
			})
		}
	}
}

// A crash between any two steps: what the next process finds, it ends.
func TestSweeperResumes(t *testing.T) {
	w, h := newWorld(t), &hands{wall: noon}
	w.add("A", noon)
	w.add("B", noon)
	w.clips["A"].State = Deleting
	w.clips["B"].State, w.bytes["key/B"] = Deleting, 0
	if _, err := sweeper(w, h).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.gone()
}

// After a crash the database's log may hold a header that was destroyed: the first pass scrubs.
func TestSweeperScrubsUntilItWorked(t *testing.T) {
	w, h := newWorld(t), &hands{wall: noon}
	w.fault = func(name, _ string) (before, after error) {
		if name == "scrub" {
			return errFault, nil
		}
		return nil, nil
	}
	s := sweeper(w, h)
	for range 2 {
		if _, err := s.Sweep(t.Context()); !errors.Is(err, errFault) {
			t.Fatalf("error %v", err)
		}
		if got, want := w.took(), "[claim scrub charge]"; got != want {
			t.Errorf("steps %s, want %s", got, want)
		}
	}
	w.fault = nil
	for range 2 {
		if _, err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := w.took(), "[claim scrub charge claim charge]"; got != want {
		t.Errorf("steps %s, want %s", got, want)
	}
}

// A clock that cannot be trusted claims nothing, but what is unreadable already is still removed.
func TestUntrustedClockClaimsNothing(t *testing.T) {
	w, h := newWorld(t), &hands{wall: noon.Add(48 * time.Hour)}
	w.add("A", noon)
	w.add("B", noon)
	w.clips["A"].State = Deleting
	if _, err := sweeper(w, h).Sweep(t.Context()); !errors.Is(err, ErrClock) {
		t.Errorf("error %v", err)
	}
	if w.state("A") != Deleted || w.state("B") != Committed {
		t.Errorf("A is %s, B is %s", w.state("A"), w.state("B"))
	}
}

// The store says that it deleted, and still lists something: that is no proof.
func TestStoreThatKeepsSomething(t *testing.T) {
	w, h := newWorld(t), &hands{wall: noon}
	w.add("A", noon)
	w.fault = func(name, key string) (before, after error) {
		if name == "list" {
			w.bytes[key] = 2
		}
		return nil, nil
	}
	s := sweeper(w, h)
	if _, err := s.Sweep(t.Context()); !errors.Is(err, ErrRemains) {
		t.Errorf("error %v", err)
	}
	if w.state("A") != Deleting {
		t.Errorf("the clip is %s", w.state("A"))
	}
	w.fault = nil
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.gone()
}

func TestBatches(t *testing.T) {
	w, h := newWorld(t), &hands{wall: noon}
	for i := range 25 {
		w.add(fmt.Sprintf("%02d", i), noon)
	}
	s := NewSweeper(SweeperConfig{Ledger: w, Eraser: w, Clock: h.clock(noon, false), Batch: 10})
	for i, want := range []bool{true, true, false} {
		if again, err := s.Sweep(t.Context()); again != want || err != nil {
			t.Errorf("pass %d: again %v, %v", i, again, err)
		}
	}
	w.gone()
}

func TestTwoSweepers(t *testing.T) {
	w, h := newWorld(t), &hands{wall: noon}
	for i := range 50 {
		w.add(fmt.Sprintf("%02d", i), noon)
	}
	var wg sync.WaitGroup
	for range 2 {
		clock := h.clock(noon, false)
		wg.Go(func() {
			s := NewSweeper(SweeperConfig{Ledger: w, Eraser: w, Clock: clock, Batch: 7})
			for {
				again, err := s.Sweep(t.Context())
				if err != nil {
					t.Error(err)
				}
				if !again {
					return
				}
			}
		})
	}
	wg.Wait()
	w.gone()
}

// Run deletes within seconds of each deadline, though one step in seven fails, and its end is no error.
func TestRunKeepsDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		begin := time.Now()
		for i := range 60 {
			w.add(fmt.Sprintf("%02d", i), begin.Add(time.Duration(i)*777*time.Millisecond))
		}
		n := 0
		w.fault = func(name, _ string) (before, after error) {
			if n++; n%7 == 0 {
				return nil, errFault
			}
			return nil, nil
		}
		s := NewSweeper(SweeperConfig{Ledger: w, Eraser: w, Clock: NewClock(time.Now, begin, false), Scrub: w.scrub})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run ended with %v", err)
		}
		w.gone()
		worst := time.Duration(0)
		for _, c := range w.clips {
			worst = max(worst, c.DeletedAt.Sub(c.Deadline))
		}
		if worst > 3*time.Second || s.Stats().MaxLag < worst {
			t.Errorf("a clip was deleted %s after its deadline, the stats say %s", worst, s.Stats().MaxLag)
		}
		if s.Stats().Failures == 0 {
			t.Error("no failure was counted")
		}
	})
}

// A store that hangs does not keep what falls due meanwhile readable.
func TestHangingStoreDelaysNoShredding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.block = time.Hour
		begin := time.Now()
		for i := range 200 {
			w.add(fmt.Sprintf("%03d", i), begin.Add(time.Duration(i)*time.Second))
		}
		s := NewSweeper(SweeperConfig{Ledger: w, Eraser: w, Clock: NewClock(time.Now, begin, false)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		for range 200 {
			time.Sleep(time.Second)
			synctest.Wait()
			for id, c := range w.snapshot() {
				if late := time.Since(c.Deadline); c.State == Committed && late > time.Second {
					t.Fatalf("clip %s is readable %s after its deadline", id, late)
				}
			}
		}
		cancel()
		<-done
	})
}

// Some that cannot be removed do not stand before the others, however many they are: each pass goes on where the
// one before ended.
func TestLeftoversTakeTurns(t *testing.T) {
	w, h := newWorld(t), &hands{wall: noon}
	for i := range 30 {
		id := fmt.Sprintf("%02d", i)
		w.add(id, noon)
		w.clips[id].State = Deleting
	}
	w.fault = func(name, key string) (before, after error) {
		if name == "erase" && key < "key/23" {
			return errFault, nil
		}
		return nil, nil
	}
	s := NewSweeper(SweeperConfig{Ledger: w, Eraser: w, Clock: h.clock(noon, false), Batch: 5})
	for range 6 {
		if _, err := s.Sweep(t.Context()); err != nil && !errors.Is(err, errFault) {
			t.Fatal(err)
		}
	}
	for i := range 30 {
		id := fmt.Sprintf("%02d", i)
		if want := i >= 23; want != (w.state(id) == Deleted) {
			t.Errorf("clip %s is %s after one round", id, w.state(id))
		}
	}
	w.fault = nil
	for range 7 { // the first of them may find the end of the list
		if _, err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.gone()
}

// One object that hangs costs its own time, and not that of others: neither of what is left over nor of what
// falls due.
func TestHangingObjectDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.block, w.slow = time.Hour, "05"
		begin := time.Now()
		for i := range 10 {
			id := fmt.Sprintf("%02d", i)
			w.add(id, begin)
			w.clips[id].State = Deleting
		}
		for i := 10; i < 100; i++ {
			w.add(fmt.Sprintf("%02d", i), begin.Add(time.Duration(i)*time.Second))
		}
		s := NewSweeper(SweeperConfig{Ledger: w, Eraser: w, Clock: NewClock(time.Now, begin, false)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(100*time.Second + 2*s.cfg.Timeout)
		synctest.Wait()
		for id, c := range w.clips {
			if late := c.DeletedAt.Sub(c.Deadline); id != w.slow && (c.State != Deleted || late > s.cfg.Timeout+2*time.Second) {
				t.Errorf("clip %s is %s, %s after its deadline", id, c.State, late)
			}
		}
		cancel()
		<-done
	})
}

// What is due and what is left over share the time of a pass: a slow store starves neither.
func TestSlowStoreStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.block = 12 * time.Second // longer than any batch may take
		begin := time.Now()
		for i := range 20 {
			id := fmt.Sprintf("left-%02d", i)
			w.add(id, begin)
			w.clips[id].State = Deleting
		}
		for i := range 1000 {
			w.add(fmt.Sprintf("due-%03d", i), begin.Add(time.Duration(i)*time.Second))
		}
		s := NewSweeper(SweeperConfig{Ledger: w, Eraser: w, Clock: NewClock(time.Now, begin, false)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		cancel()
		<-done
		gone := map[string]int{}
		for id, c := range w.clips {
			if kind, _, _ := strings.Cut(id, "-"); c.State == Deleted {
				gone[kind]++
			}
		}
		if gone["left"] != 20 || gone["due"] < 20 {
			t.Errorf("gone in a quarter of an hour: %v", gone)
		}
	})
}

// A fault that lasts is one line for its kind, with how many clips it keeps and the first of them; again after
// ten minutes; and another kind has a line of its own at once.
func TestFaultsAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		begin := time.Now()
		for i := range 250 {
			w.add(fmt.Sprintf("%03d", i), begin)
		}
		scrubs := true
		w.fault = func(name, key string) (before, after error) {
			if name == "erase" && key != "key/007" || name == "scrub" && !scrubs {
				return fmt.Errorf("%s: %w", key, errFault), nil
			}
			return nil, nil
		}
		var out lines
		s := NewSweeper(SweeperConfig{
			Ledger: w, Eraser: w, Clock: NewClock(time.Now, begin, false), Scrub: w.scrub, Log: slog.New(slog.NewTextHandler(&out, nil)),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		said := func(what string, wait time.Duration, want ...string) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			got := out.take()
			if len(got) != len(want) {
				t.Errorf("%s: %d lines, want %d: %q", what, len(got), len(want), got)
				return
			}
			for i, line := range got {
				if !strings.Contains(line, want[i]) {
					t.Errorf("%s: %q, want something of %q", what, line, want[i])
				}
			}
		}
		said("at first", time.Second/2, "clips, the first: removing clip 000: ")
		said("for minutes", 9*time.Minute)
		w.mu.Lock()
		scrubs = false
		w.mu.Unlock()
		w.add("999", time.Now()) // its claim is scrubbed
		said("when another thing breaks", 2*time.Second, "fault")
		said("after ten minutes", time.Minute, "clips, the first: removing clip ")
		if n := s.Stats().Failures; n < 300 {
			t.Errorf("%d failures are counted", n)
		}
		w.mu.Lock()
		w.fault = nil
		w.mu.Unlock()
		said("when it is mended", 10*time.Minute)
		w.gone()
		cancel()
		<-done
	})
}

// lines collects what is logged.
type lines struct {
	mu  sync.Mutex
	out strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

// take returns the lines since it was last asked.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := strings.TrimSpace(l.out.String())
	l.out.Reset()
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
