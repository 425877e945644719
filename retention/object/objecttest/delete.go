package objecttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"klarsyn/retention/object"
)

func deleteLeavesNoTrace(t *testing.T, s object.Store) {
	put(t, s, "clips/k1/2026-01-02/one", []byte("x"))
	if n, err := s.Delete(t.Context(), "clips/k1/2026-01-02/one"); err != nil || n < 1 {
		t.Fatalf("delete: %d, %v", n, err)
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	if _, err := s.Stat(t.Context(), "clips/k1/2026-01-02/one"); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("stat: %v", err)
	}
}

func deleteSparesNeighbours(t *testing.T, s object.Store) {
	for _, key := range []string{"a/b", "a/bc", "a/b-c", "a/d/e"} {
		put(t, s, key, []byte(key))
	}
	if _, err := s.Delete(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(t.Context(), "a"); err == nil {
		// Where "a" may be deleted at all it must not take "a/…" along.
		t.Log("deleting the name of a folder is no error here")
	}
	if got, want := list(t, s, ""), []string{"version a/b-c", "version a/bc", "version a/d/e"}; !slices.Equal(got, want) {
		t.Errorf("left: %v, want %v", got, want)
	}
}

func deleteNothing(t *testing.T, s object.Store) {
	if n, err := s.Delete(t.Context(), "never/was"); n != 0 || err != nil {
		t.Errorf("delete: %d, %v", n, err)
	}
}

func putAfterDelete(t *testing.T, s object.Store) {
	put(t, s, "k", []byte("one"))
	if _, err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", []byte("two"))
	if got := read(t, s, "k", 0, -1); string(got) != "two" {
		t.Errorf("read %q", got)
	}
}

// putMany puts n objects into three folders and returns their keys.
func putMany(t *testing.T, s object.Store, n int) []string {
	var keys []string
	for i := range n {
		key := fmt.Sprintf("clips/k%d/2026-01-02/%06d", i%3, i)
		put(t, s, key, []byte(key))
		keys = append(keys, key)
	}
	return keys
}

func deleteAllLeavesNoTrace(t *testing.T, s object.Store) {
	keys := putMany(t, s, 40)
	for i, d := range s.DeleteAll(t.Context(), keys) {
		if d.Err != nil || d.Removed < 1 || d.Left != 0 {
			t.Errorf("%s: %+v", keys[i], d)
		}
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func deleteAllSparesNeighbours(t *testing.T, s object.Store) {
	for _, key := range []string{"a/b", "a/bc", "a/b-c", "a/c", "a/d/e", "b"} {
		put(t, s, key, []byte(key))
	}
	keys := []string{"a/b", "a/c", "b"}
	for i, d := range s.DeleteAll(t.Context(), keys) {
		if d.Err != nil || d.Removed != 1 || d.Left != 0 {
			t.Errorf("%s: %+v", keys[i], d)
		}
	}
	if got, want := list(t, s, ""), []string{"version a/b-c", "version a/bc", "version a/d/e"}; !slices.Equal(got, want) {
		t.Errorf("left: %v, want %v", got, want)
	}
}

func deleteAllTellsApart(t *testing.T, s object.Store) {
	put(t, s, "clips/k1/a", []byte("x"))
	put(t, s, "clips/k1/b", []byte("x"))
	got := s.DeleteAll(t.Context(), []string{"clips/k1/b", "../a", "clips/k1/never", "clips/k1/a"})
	if len(got) != 4 {
		t.Fatalf("%d answers", len(got))
	}
	for i, want := range []int{1, 0, 0, 1} {
		if bad := i == 1; got[i].Removed != want || got[i].Left != 0 || bad != errors.Is(got[i].Err, object.ErrBadKey) || !bad && got[i].Err != nil {
			t.Errorf("answer %d: %+v", i, got[i])
		}
	}
	if len(s.DeleteAll(t.Context(), nil)) != 0 {
		t.Error("an answer without a question")
	}
}

func deleteAllTwice(t *testing.T, s object.Store) {
	keys := putMany(t, s, 5)
	twice := slices.Concat(keys, keys)
	removed := 0
	for i, d := range s.DeleteAll(t.Context(), twice) {
		if removed += d.Removed; d.Err != nil || d.Left != 0 {
			t.Errorf("%s: %+v", twice[i], d)
		}
	}
	if removed != len(keys) {
		t.Errorf("%d removed of %d", removed, len(keys))
	}
	for i, d := range s.DeleteAll(t.Context(), keys) {
		if d != (object.Deletion{}) {
			t.Errorf("again %s: %+v", keys[i], d)
		}
	}
}

// What a caller gave up is not said to be gone, unless it is.
func deleteAllCancelled(t *testing.T, s object.Store) {
	keys := putMany(t, s, 5)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	there := list(t, s, "")
	for i, d := range s.DeleteAll(ctx, keys) {
		if d.Err == nil {
			t.Errorf("%s: %+v", keys[i], d)
		}
	}
	if got := list(t, s, ""); !slices.Equal(got, there) {
		t.Errorf("left: %v of %v", got, there)
	}
}

func deleteAllTogether(t *testing.T, s object.Store) {
	keys := putMany(t, s, 20)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for i, d := range s.DeleteAll(t.Context(), keys) {
				if d.Err != nil || d.Left != 0 {
					t.Errorf("%s: %+v", keys[i], d)
				}
			}
		})
	}
	wg.Wait()
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}
