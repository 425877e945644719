// Package objecttest is the conformance suite of object.Store: every driver runs it.
package objecttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/iotest"

	"klarsyn/retention/object"
)

// Run checks that fresh, which returns an empty store, keeps every promise of object.Store.
func Run(t *testing.T, fresh func(t *testing.T) object.Store) {
	cases := []struct {
		name string
		test func(*testing.T, object.Store)
	}{
		{"what was put is read back", putAndRead},
		{"any range is read back", ranges},
		{"a key is written once", writeOnce},
		{"repeating a put is no error", repeatedPut},
		{"wrong size or hash leaves nothing", mismatch},
		{"a body that fails leaves nothing", brokenBody},
		{"a cancelled put leaves nothing readable", cancelledPut},
		{"a missing key is not found", missing},
		{"bad keys are refused everywhere", badKeys},
		{"delete leaves no trace", deleteLeavesNoTrace},
		{"delete spares keys that begin alike", deleteSparesNeighbours},
		{"deleting nothing is no error", deleteNothing},
		{"a deleted key may be put again", putAfterDelete},
		{"deleting many leaves no trace of them", deleteAllLeavesNoTrace},
		{"deleting many spares keys that begin alike", deleteAllSparesNeighbours},
		{"deleting many tells each key apart", deleteAllTellsApart},
		{"deleting many twice is no error", deleteAllTwice},
		{"deleting many in a context that ended removes nothing unsaid", deleteAllCancelled},
		{"who deletes many together removes each once", deleteAllTogether},
		{"traces lists what lies under a prefix", traces},
		{"a listing may be left early", leaveListing},
		{"many puts race for one key: one wins", race},
		{"puts and deletes of neighbours do not disturb each other", churn},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh(t)) })
	}
}

func payload(n int) ([]byte, [sha256.Size]byte) {
	b := make([]byte, n)
	rand.Read(b)
	return b, sha256.Sum256(b)
}

func put(t *testing.T, s object.Store, key string, b []byte) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, bytes.NewReader(b), int64(len(b)), sha256.Sum256(b)); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func read(t *testing.T, s object.Store, key string, offset, length int64) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), key, offset, length)
	if err != nil {
		t.Fatalf("open %s: %v", key, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	return b
}

func list(t *testing.T, s object.Store, prefix string) []string {
	t.Helper()
	var keys []string
	for tr, err := range s.Traces(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("traces of %q: %v", prefix, err)
		}
		keys = append(keys, fmt.Sprintf("%s %s", tr.Kind, tr.Key))
	}
	slices.Sort(keys)
	return keys
}

func putAndRead(t *testing.T, s object.Store) {
	for _, n := range []int{0, 1, 65536, 3<<20 + 7} {
		key := fmt.Sprintf("clips/k1/2026-01-02/%d", n)
		b, sum := payload(n)
		info, err := s.Put(t.Context(), key, bytes.NewReader(b), int64(n), sum)
		if err != nil {
			t.Fatal(err)
		}
		if info.Key != key || info.Size != int64(n) || info.SHA256 != sum {
			t.Errorf("put says %+v", info)
		}
		if got := read(t, s, key, 0, -1); !bytes.Equal(got, b) {
			t.Errorf("%d bytes came back changed", n)
		}
		st, err := s.Stat(t.Context(), key)
		if err != nil || st.Size != int64(n) || st.Version != info.Version {
			t.Errorf("stat says %+v, %v; put said %+v", st, err, info)
		}
		v, err := s.Verify(t.Context(), key)
		if err != nil || v.SHA256 != sum || v.Size != int64(n) {
			t.Errorf("verify says %+v, %v", v, err)
		}
	}
}

func ranges(t *testing.T, s object.Store) {
	b, _ := payload(100_000)
	put(t, s, "a/b", b)
	for _, r := range []struct{ offset, length int64 }{{0, 1}, {99_999, 1}, {5, 70_000}, {65_536, -1}, {0, 0}, {99_990, 500}} {
		want := b[r.offset:]
		if r.length >= 0 {
			want = want[:min(r.length, int64(len(want)))]
		}
		if got := read(t, s, "a/b", r.offset, r.length); !bytes.Equal(got, want) {
			t.Errorf("range %+v: %d bytes, want %d", r, len(got), len(want))
		}
	}
	r, err := s.Open(t.Context(), "a/b", 100_000, 10)
	if err == nil {
		defer r.Close()
		_, err = io.ReadFull(r, make([]byte, 1))
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("reading beyond the end: %v, want EOF", err)
	}
}

func writeOnce(t *testing.T, s object.Store) {
	first, _ := payload(1000)
	other, sum := payload(1000)
	put(t, s, "k", first)
	if _, err := s.Put(t.Context(), "k", bytes.NewReader(other), 1000, sum); !errors.Is(err, object.ErrExists) {
		t.Errorf("second put: %v, want ErrExists", err)
	}
	if !bytes.Equal(read(t, s, "k", 0, -1), first) {
		t.Error("the first content was changed")
	}
	if got := list(t, s, ""); !slices.Equal(got, []string{"version k"}) {
		t.Errorf("traces: %v", got)
	}
}

func repeatedPut(t *testing.T, s object.Store) {
	b, _ := payload(1000)
	put(t, s, "k", b)
	put(t, s, "k", b)
	if got := list(t, s, ""); !slices.Equal(got, []string{"version k"}) {
		t.Errorf("traces: %v", got)
	}
}

func mismatch(t *testing.T, s object.Store) {
	b, sum := payload(1000)
	wrong := sum
	wrong[0] ^= 1
	for name, c := range map[string]struct {
		size int64
		sum  [sha256.Size]byte
	}{"too short": {1001, sum}, "too long": {999, sum}, "other hash": {1000, wrong}} {
		if _, err := s.Put(t.Context(), "k", bytes.NewReader(b), c.size, c.sum); !errors.Is(err, object.ErrMismatch) {
			t.Errorf("%s: %v, want ErrMismatch", name, err)
		}
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func brokenBody(t *testing.T, s object.Store) {
	b, sum := payload(1000)
	broken := errors.New("the spool broke")
	body := io.MultiReader(bytes.NewReader(b[:500]), iotest.ErrReader(broken))
	if _, err := s.Put(t.Context(), "k", body, 1000, sum); !errors.Is(err, broken) {
		t.Errorf("put: %v", err)
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func cancelledPut(t *testing.T, s object.Store) {
	b, sum := payload(1000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, "k", bytes.NewReader(b), 1000, sum); err == nil {
		t.Error("a cancelled put succeeded")
	}
	if _, err := s.Stat(t.Context(), "k"); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("stat: %v", err)
	}
	if _, err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func missing(t *testing.T, s object.Store) {
	put(t, s, "a/b/c", []byte("x"))
	for _, key := range []string{"nothing", "a", "a/b", "a/b/c/d"} {
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("stat %s: %v", key, err)
		}
		if _, err := s.Verify(t.Context(), key); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("verify %s: %v", key, err)
		}
		r, err := s.Open(t.Context(), key, 0, -1)
		if err == nil {
			_, err = r.Read(make([]byte, 1))
			r.Close()
		}
		if !errors.Is(err, object.ErrNotFound) {
			t.Errorf("open %s: %v", key, err)
		}
	}
}

func badKeys(t *testing.T, s object.Store) {
	for _, key := range []string{"", "/", "a//b", "../a", "a/../b", "a/./b", ".uploads/a", "a/", "/a", "å", "a b", "a\x00", "a~b"} {
		_, put := s.Put(t.Context(), key, bytes.NewReader(nil), 0, sha256.Sum256(nil))
		_, stat := s.Stat(t.Context(), key)
		_, verify := s.Verify(t.Context(), key)
		_, open := s.Open(t.Context(), key, 0, -1)
		_, del := s.Delete(t.Context(), key)
		for method, err := range map[string]error{"put": put, "stat": stat, "verify": verify, "open": open, "delete": del} {
			if !errors.Is(err, object.ErrBadKey) {
				t.Errorf("%s %q: %v, want ErrBadKey", method, key, err)
			}
		}
	}
}

func traces(t *testing.T, s object.Store) {
	for _, key := range []string{"clips/k1/a", "clips/k1/b", "clips/k10/a", "other/a"} {
		put(t, s, key, []byte("x"))
	}
	for prefix, want := range map[string][]string{
		"":           {"version clips/k1/a", "version clips/k1/b", "version clips/k10/a", "version other/a"},
		"clips/k1/":  {"version clips/k1/a", "version clips/k1/b"},
		"clips/k1":   {"version clips/k1/a", "version clips/k1/b", "version clips/k10/a"},
		"clips/k1/b": {"version clips/k1/b"},
		"none/":      nil,
	} {
		if got := list(t, s, prefix); !slices.Equal(got, want) {
			t.Errorf("traces of %q: %v, want %v", prefix, got, want)
		}
	}
	for tr, err := range s.Traces(t.Context(), "other/") {
		if err != nil || tr.Size != 1 || tr.Modified.IsZero() {
			t.Errorf("trace %+v, %v", tr, err)
		}
	}
}

func leaveListing(t *testing.T, s object.Store) {
	put(t, s, "a", []byte("x"))
	put(t, s, "b", []byte("x"))
	seen := 0
	for _, err := range s.Traces(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		break
	}
	if seen != 1 {
		t.Error("nothing was listed")
	}
}

func race(t *testing.T, s object.Store) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 8 {
		wg.Go(func() {
			b, sum := payload(10_000)
			_, err := s.Put(t.Context(), "k", bytes.NewReader(b), int64(len(b)), sum)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case !errors.Is(err, object.ErrExists):
				t.Errorf("put: %v", err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d puts say that they wrote the key", won)
	}
	if got := list(t, s, ""); !slices.Equal(got, []string{"version k"}) {
		t.Errorf("traces: %v", got)
	}
}

func churn(t *testing.T, s object.Store) {
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 25 {
				key := fmt.Sprintf("d%d/%d", i%2, worker)
				put(t, s, key, []byte(key))
				if got := read(t, s, key, 0, -1); string(got) != key {
					t.Errorf("read %q under %s", got, key)
				}
				if _, err := s.Delete(t.Context(), key); err != nil {
					t.Errorf("delete %s: %v", key, err)
				}
			}
		})
	}
	wg.Wait()
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}
