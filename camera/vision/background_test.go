package vision

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"klarsyn/camera"
)

// shelf keeps backgrounds in memory.
type shelf struct {
	mu   sync.Mutex
	held map[camera.ID][]byte
	err  error
}

func (s *shelf) Keep(_ context.Context, id camera.ID, learnt []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.held[id] = bytes.Clone(learnt)
	}
	return s.err
}

func (s *shelf) Recall(_ context.Context, id camera.ID) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[id], s.err
}

func (s *shelf) put(learnt []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held["k1"] = learnt
}

func (s *shelf) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held["k1"])
}

// until offers keyframes until one is counted, and gives the qualities of those before.
func until(t *testing.T, c *Counter, s *sink, v clip, n *int) (before []camera.Quality) {
	t.Helper()
	for range 20 {
		when := offer(c, v, *n)
		*n++
		within(t, 20*time.Second, "samples", func() bool { return len(s.at(when)) == 2 })
		if q := s.at(when)[0].Quality; q != camera.QualityOK {
			before = append(before, q)
			continue
		}
		return before
	}
	t.Fatalf("nothing is counted: %v", before)
	return nil
}

// A child that follows another, of the same process or of the next, counts its first picture.
func TestBackgroundOutlivesTheChild(t *testing.T) {
	v, kept := testClip(t, 3), &shelf{held: map[camera.ID][]byte{}}
	cfg := Config{Path: program(binary), Backgrounds: kept, KeepEvery: time.Nanosecond, BackoffMin: 10 * time.Millisecond}
	c, s, stop := run(t, cfg)
	n := 0
	if got := until(t, c, s, v, &n); len(got) < 5 {
		t.Errorf("a child that knows nothing was learning for %v", got)
	}
	within(t, 10*time.Second, "background", func() bool { return kept.size() > 0 && c.Stats().Kept > 0 })
	signal(t, c, syscall.SIGKILL)
	within(t, 10*time.Second, "another child", func() bool { return c.Stats().Starts == 2 && c.PID() != 0 })
	if got := until(t, c, s, v, &n); len(got) != 0 {
		t.Errorf("the next child began with %v", got)
	}
	stop()
	c, s, _ = run(t, cfg)
	if got := until(t, c, s, v, &n); len(got) != 0 {
		t.Errorf("the child of the next process began with %v", got)
	}
}

// What cannot be read, or does not fit, is learnt anew: nobody stops counting for it.
func TestBackgroundThatDoesNotFit(t *testing.T) {
	v := testClip(t, 3)
	for name, tt := range map[string]struct {
		learnt []byte
		err    error
	}{
		"damaged":     {[]byte("silhouette-cover"), nil},
		"too large":   {make([]byte, 2<<20), nil},
		"not to read": {nil, errors.New("the disk is away")},
	} {
		t.Run(name, func(t *testing.T) {
			kept := &shelf{held: map[camera.ID][]byte{}, err: tt.err}
			kept.put(tt.learnt)
			c, s, _ := run(t, Config{Path: program(binary), Backgrounds: kept, KeepEvery: time.Nanosecond})
			n := 0
			if got := until(t, c, s, v, &n); len(got) < 5 {
				t.Errorf("it was learning for %v", got)
			}
			until(t, c, s, v, &n)
			if st := c.Stats(); st.Restarts != 0 {
				t.Errorf("stats: %+v", st)
			}
		})
	}
}
