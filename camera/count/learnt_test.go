//go:build cgo

package count

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"klarsyn/camera"
	"klarsyn/camera/scene"
)

// watched is a counter that has seen a square for some minutes, the square, and the next frame.
func watched(t testing.TB, p func(*scene.Scene) camera.Profile, pictures int) (*Counter, *scene.Scene, int) {
	t.Helper()
	sc, err := scene.New(scene.Config{Seed: 4, Width: 320, Height: 180, FPS: 1, Frames: 1200, Crowd: 7})
	if err != nil {
		t.Fatal(err)
	}
	c := counterFor(t, p(sc))
	for n := range pictures {
		look(t, c, draw(sc, 2*n))
	}
	return c, sc, 2 * pictures
}

func counterFor(t testing.TB, p camera.Profile) *Counter {
	t.Helper()
	c, err := New(p, 320, 180, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func exact(sc *scene.Scene) camera.Profile { return sc.Profile() }
func bare(sc *scene.Scene) camera.Profile  { return camera.Profile{Zones: sc.Profile().Zones} }

// A counter that resumes counts from its first picture on, and as one that was never interrupted.
func TestResumedCountsAtOnce(t *testing.T) {
	for name, profile := range map[string]func(*scene.Scene) camera.Profile{"perspective told": exact, "perspective learnt": bare} {
		t.Run(name, func(t *testing.T) {
			old, sc, n := watched(t, profile, 200)
			saved := old.Learnt()
			if saved == nil {
				t.Fatal("nothing was learnt")
			}
			c := counterFor(t, profile(sc))
			if err := c.Resume(saved); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(c.Learnt(), saved) {
				t.Error("what was resumed is not what was saved")
			}
			was, is, truth := 0.0, 0.0, 0.0
			for k := range 100 {
				a, b := look(t, old, draw(sc, n+2*k)), look(t, c, draw(sc, n+2*k))
				for i := range b {
					if b[i].Quality != camera.QualityOK {
						t.Fatalf("picture %d after it: %+v", k, b[i])
					}
					truth = float64(sc.Truth(n + 2*k).Zones[b[i].Zone].Present)
					was, is = was+math.Abs(a[i].Present-truth), is+math.Abs(b[i].Present-truth)
				}
			}
			t.Logf("error uninterrupted %.0f, resumed %.0f", was, is)
			if is > 1.25*was+5 {
				t.Errorf("error %.0f after it was resumed, %.0f uninterrupted", is, was)
			}
		})
	}
}

// A background holds nobody: neither who was there when it was saved, nor any picture that was seen.
func TestLearntHoldsNoPicture(t *testing.T) {
	c, sc, n := watched(t, exact, 120)
	saved := c.Learnt()
	for k := range 120 {
		seen := draw(sc, n-2*(k+1))
		for y := 0; y < 180; y += 20 {
			if row := seen[y*320 : y*320+320]; bytes.Contains(saved, row) {
				t.Fatalf("row %d of a picture that was seen lies in what was learnt", y)
			}
		}
	}
}

// Nothing is told while there is nothing to be trusted.
func TestLearntIsNothingAtFirst(t *testing.T) {
	c, _, _ := watched(t, exact, 5)
	if c.Learnt() != nil {
		t.Error("a counter that learns tells what it has learnt")
	}
	other, _, _ := watched(t, exact, 40)
	if err := c.Resume(other.Learnt()); err == nil {
		t.Error("a counter that has seen pictures resumes")
	}
}

// What does not fit is refused, and the counter then learns as if there were nothing.
func TestResumeRefuses(t *testing.T) {
	c, sc, _ := watched(t, bare, 60)
	saved := c.Learnt()
	head := len(Method) + 1
	with := func(at int, b ...byte) []byte {
		return append(append(bytes.Clone(saved[:at]), b...), saved[at+len(b):]...)
	}
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":          {nil, "not of"},
		"another method":   {append([]byte("other/1\n"), saved[head:]...), "not of"},
		"another size":     {with(head, 0, 100), "320x180"},
		"cut off":          {saved[:head+10], "cut off"},
		"too short":        {saved[:len(saved)-1], "damaged"},
		"too long":         {append(bytes.Clone(saved), 0), "damaged"},
		"a stride of none": {with(head+4, 0, 0), "damaged"},
		"no number":        {with(head+7, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1), "damaged"},
		"too steep":        {with(head+15, 0x40, 0x59, 0, 0, 0, 0, 0, 0), "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			c := counterFor(t, bare(sc))
			if err := c.Resume(tt.data); !errors.Is(err, ErrLearnt) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want one that says %q", err, tt.want)
			}
			if got := look(t, c, draw(sc, 0)); got[0].Quality != camera.QualityLearning {
				t.Errorf("then it says %+v", got[0])
			}
		})
	}
}

// Whatever is resumed, the counter lives, and its numbers are numbers.
func FuzzResume(f *testing.F) {
	c, sc, _ := watched(f, bare, 40)
	f.Add(c.Learnt())
	f.Add([]byte(string(Method) + "\n"))
	picture := draw(sc, 100)
	f.Fuzz(func(t *testing.T, saved []byte) {
		c := counterFor(t, bare(sc))
		if err := c.Resume(saved); err != nil {
			return
		}
		for _, s := range look(t, c, picture) {
			if !(s.Low <= s.Present && s.Present <= s.High) {
				t.Fatalf("%+v", s)
			}
		}
	})
}

// draw is a frame of a square.
func draw(sc *scene.Scene, n int) []byte {
	p := make([]byte, 320*180*3/2)
	sc.Render(n, p)
	return p
}
