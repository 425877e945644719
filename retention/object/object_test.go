package object_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"klarsyn/retention"
	"klarsyn/retention/object"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// shelf is a store and the catalogue's word about it, in memory. It polices the reaper: what is deleted was
// logged before, is owned by no clip, and is old.
type shelf struct {
	mu                                   sync.Mutex // over deleted
	t                                    *testing.T
	traces                               []object.Trace
	owned                                map[string]bool
	logged                               []string
	deleted                              []string
	logFailures                          int
	listErr, ownedErr, logErr, deleteErr error
}

func (s *shelf) Traces(_ context.Context, prefix string) iter.Seq2[object.Trace, error] {
	return func(yield func(object.Trace, error) bool) {
		for _, t := range slices.Clone(s.traces) {
			if strings.HasPrefix(t.Key, prefix) && !yield(t, nil) {
				return
			}
		}
		if s.listErr != nil {
			yield(object.Trace{}, s.listErr)
		}
	}
}

func (s *shelf) Delete(_ context.Context, key string) (int, error) {
	if s.deleteErr != nil {
		return 0, s.deleteErr
	}
	if s.owned != nil && (s.owned[key] || !slices.Contains(s.logged, key)) {
		s.t.Errorf("%s was removed, though a clip owns it or before it was logged", key)
	}
	before := len(s.traces)
	s.traces = slices.DeleteFunc(s.traces, func(t object.Trace) bool { return t.Key == key })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deleted = append(s.deleted, key)
	return before - len(s.traces), nil
}

func (s *shelf) Owner(_ context.Context, key string) (known, live bool, err error) {
	return s.owned[key] || key == "clips/gone", s.owned[key], s.ownedErr
}

func (s *shelf) LogOrphan(_ context.Context, key string, _ int64) error {
	if s.logFailures > 0 {
		s.logFailures--
		return errors.New("broken for a while")
	}
	if s.logErr == nil {
		s.logged = append(s.logged, key)
	}
	return s.logErr
}

func (s *shelf) removed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.deleted)
}

func aShelf(t *testing.T) *shelf {
	trace := func(key string, age time.Duration, kind object.Kind) object.Trace {
		return object.Trace{Key: key, Kind: kind, Modified: noon.Add(-age)}
	}
	return &shelf{t: t, owned: map[string]bool{"clips/owned": true}, traces: []object.Trace{
		trace("clips/owned", 5*time.Hour, object.Version),
		trace("clips/young", 59*time.Minute, object.Version),
		trace("clips/stray", 61*time.Minute, object.Version),
		trace("clips/gone", time.Second, object.Version),
		trace("clips/half", 2*time.Hour, object.Upload),
		trace("backup/other", 5*time.Hour, object.Version),
	}}
}

func (s *shelf) reaper() *object.Reaper {
	return &object.Reaper{Store: s, Owners: s, Prefix: "clips/", Now: func() time.Time { return noon }}
}

// An object that no clip has is removed when it is old, one whose clip is gone at once, others never.
func TestReaperSparesWhatIsOwnedOrYoung(t *testing.T) {
	s := aShelf(t)
	n, err := s.reaper().Reap(t.Context())
	if n != 3 || err != nil || !slices.Equal(s.deleted, []string{"clips/stray", "clips/gone", "clips/half"}) {
		t.Errorf("%d, %v, removed %v", n, err, s.deleted)
	}
	if n, err := s.reaper().Reap(t.Context()); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
}

// Who cannot log, or does not know who owns what, removes nothing.
func TestReaperInDoubtRemovesNothing(t *testing.T) {
	broken := errors.New("broken")
	for name, breakIt := range map[string]func(*shelf){
		"the log":   func(s *shelf) { s.logErr = broken },
		"the owner": func(s *shelf) { s.ownedErr = broken },
	} {
		s := aShelf(t)
		breakIt(s)
		if n, err := s.reaper().Reap(t.Context()); n != 0 || !errors.Is(err, broken) || len(s.deleted) != 0 {
			t.Errorf("%s: %d, %v, removed %v", name, n, err, s.deleted)
		}
	}
}

func TestReaperReportsFaults(t *testing.T) {
	broken := errors.New("broken")
	s := aShelf(t)
	s.deleteErr = broken
	if n, err := s.reaper().Reap(t.Context()); n != 0 || !errors.Is(err, broken) || len(s.logged) != 3 {
		t.Errorf("a store that does not delete: %d, %v, %d tried", n, err, len(s.logged))
	}
	s = aShelf(t)
	s.listErr = broken
	if n, err := s.reaper().Reap(t.Context()); n != 3 || !errors.Is(err, broken) {
		t.Errorf("a listing that breaks off: %d, %v", n, err)
	}
}

func TestReaperRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := aShelf(t)
		s.logFailures = 1
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.reaper().Run(ctx) }()
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		if len(s.removed()) != 0 {
			t.Errorf("removed %v without a log", s.removed())
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(s.removed()) != 3 {
			t.Errorf("removed %v after twenty minutes", s.removed())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// What a store says of each key reaches the sweeper in the order of keys, as it is.
func TestEraser(t *testing.T) {
	broken := errors.New("broken")
	e := object.Eraser{Store: erasable{answers: []object.Deletion{{Removed: 2}, {Removed: 1, Left: 1}, {Err: broken}}}}
	got := e.Erase(t.Context(), []string{"clips/a", "clips/b", "clips/c"})
	if want := []retention.Erasure{{Removed: 2}, {Removed: 1, Left: 1}, {Err: broken}}; !slices.Equal(got, want) {
		t.Errorf("erased %+v, want %+v", got, want)
	}
}

// erasable is a store that is only asked to delete.
type erasable struct {
	object.Store
	answers []object.Deletion
}

func (e erasable) DeleteAll(context.Context, []string) []object.Deletion { return e.answers }

func TestCheckKey(t *testing.T) {
	for key, good := range map[string]bool{
		"clips/k1/2026-11-20/01J": true, "a": true, "a.b/c_d-e": true, strings.Repeat("a", 180): true,
		"": false, "/a": false, "a/": false, "a//b": false, "../a": false, "a/../b": false, ".hidden": false, "a/.hidden": false,
		"a b": false, "a\n": false, "å": false, "a\\b": false, "a\x00": false, strings.Repeat("a", 181): false,
	} {
		if err := object.CheckKey(key); (err == nil) != good || !good && !errors.Is(err, object.ErrBadKey) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

// What is taken for a key stays below a folder, whatever it holds.
func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{"clips/k1/a", "../a", "a/./b", "a//b", "-", ".."} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if object.CheckKey(key) != nil {
			return
		}
		for _, part := range strings.Split(key, "/") {
			if part == "" || part[0] == '.' {
				t.Errorf("%q was taken", key)
			}
		}
	})
}
