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

// Masks reach the child: what it hands out is black there and nowhere else, and a zone that they hide as a whole keeps
// nothing from being counted or kept.
func TestMasksReachTheChild(t *testing.T) {
	v, kept := testClip(t, 3), &shelf{held: map[camera.ID][]byte{}}
	cfg := Config{Path: program(binary), Backgrounds: kept, KeepEvery: time.Nanosecond, Profile: zones()}
	cfg.Profile.Masks = []camera.Mask{{ID: "windows", Version: 3, Kind: camera.MaskBlur, Polygon: cfg.Profile.Zones[0].Polygon}}
	c, s, _ := run(t, cfg)
	var got []camera.Sample
	for n := 0; n < 30 && (len(got) == 0 || got[1].Quality != camera.QualityOK); n++ {
		when := offer(c, v, n)
		within(t, 20*time.Second, "samples", func() bool { return len(s.at(when)) == 2 })
		got = s.at(when)
	}
	if got[0].Quality != camera.QualityObscured || got[0].High != 0 || got[1].Quality != camera.QualityOK {
		t.Fatalf("got %+v", got)
	}
	offer(c, v, 30)
	within(t, 10*time.Second, "background", func() bool { return kept.size() > 0 })
	learnt, err := kept.Recall(context.Background(), "k1")
	if err != nil {
		t.Fatal(err)
	}
	const w, h = 480, 270
	luma := learnt[len(learnt)-2*w*h*3/2:][:w*h]
	bright := 0
	for i, l := range luma {
		if i%w < w/2 && l != 16 {
			t.Fatalf("%d at %d, %d, which is masked", l, i%w, i/w)
		}
		if i%w > w/2+8 && l > 40 {
			bright++
		}
	}
	if bright < w*h/8 {
		t.Errorf("%d pixels of the other half are to be seen", bright)
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
