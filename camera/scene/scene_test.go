package scene

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/camera"
)

func must(t testing.TB, c Config) *Scene {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func frame(s *Scene, n int) []byte {
	b := make([]byte, s.cfg.Width*s.cfg.Height*3/2)
	s.Render(n, b)
	return b
}

// The truth must not change unnoticed: figures of accuracy are compared across versions.
func TestTruthIsGolden(t *testing.T) {
	s := must(t, Config{Seed: 1})
	h := fnv.New64a()
	for n := range s.Config().Frames {
		tr := s.Truth(n)
		for _, b := range tr.Boxes {
			fmt.Fprintf(h, "%d %d %.4f %.4f %.4f %.4f %v;", tr.Frame, b.Person, b.X, b.Y, b.W, b.H, b.Moving)
		}
		for _, z := range s.Profile().Zones {
			fmt.Fprintf(h, "%s %v;", z.ID, tr.Zones[z.ID])
		}
	}
	const want = "b2eda5c8b60bedae"
	if got := fmt.Sprintf("%016x", h.Sum64()); got != want {
		t.Errorf("truth of seed 1 has hash %s, want %s", got, want)
	}
}

func TestSameSeedSamePicture(t *testing.T) {
	a, b := must(t, Config{Seed: 7}), must(t, Config{Seed: 7})
	if !bytes.Equal(frame(a, 123), frame(b, 123)) {
		t.Error("two scenes of one seed differ")
	}
	if bytes.Equal(frame(a, 123), frame(must(t, Config{Seed: 8}), 123)) {
		t.Error("two seeds give one picture")
	}
	if fmt.Sprint(a.Profile()) == fmt.Sprint(must(t, Config{Seed: 8}).Profile()) {
		t.Error("two seeds give one profile")
	}
}

func TestLoop(t *testing.T) {
	for _, c := range []Config{{Seed: 1}, {Seed: 2, Frames: 50}, {Seed: 3, FPS: 25, Frames: 1250, Width: 320, Height: 180}} {
		s := must(t, c)
		c = s.Config()
		for _, n := range []int{0, 1, c.Frames / 3} {
			if !bytes.Equal(frame(s, n), frame(s, n+c.Frames)) || !bytes.Equal(frame(s, n), frame(s, n-c.Frames)) {
				t.Errorf("%+v: frame %d does not come back", c, n)
			}
			if fmt.Sprint(s.Truth(n)) != fmt.Sprint(s.Truth(n+c.Frames)) {
				t.Errorf("%+v: truth of frame %d does not come back", c, n)
			}
		}
		seam := difference(frame(s, c.Frames-1), frame(s, 0))
		usual := difference(frame(s, c.Frames/2), frame(s, c.Frames/2+1))
		if seam > 1.5*usual+0.3 {
			t.Errorf("%+v: the seam differs by %.2f a pixel, other neighbours by %.2f", c, seam, usual)
		}
	}
}

func difference(a, b []byte) float64 {
	var d float64
	for i := range a {
		d += math.Abs(float64(a[i]) - float64(b[i]))
	}
	return d / float64(len(a))
}

// Nobody jumps, and nobody comes out of nothing but the picture's edge: not at the seam either.
func TestPeopleMoveLikePeople(t *testing.T) {
	for seed := range uint64(12) {
		s := must(t, Config{Seed: seed, Width: 128, Height: 72})
		c := s.Config()
		before := map[int]Box{}
		for _, b := range s.Truth(-1).Boxes {
			before[b.Person] = b
		}
		for n := range c.Frames {
			now := map[int]Box{}
			for _, b := range s.Truth(n).Boxes {
				now[b.Person] = b
				if old, ok := before[b.Person]; ok {
					ax, az := s.view.ground(old.FootX, old.FootY)
					bx, bz := s.view.ground(b.FootX, b.FootY)
					if speed := hypot(bx-ax, bz-az) * float64(c.FPS); speed > 1.8 {
						t.Fatalf("seed %d frame %d: person %d moves at %.1f m/s", seed, n, b.Person, speed)
					}
				} else if !atEdge(b) {
					t.Fatalf("seed %d frame %d: person %d appears at %.2f, %.2f", seed, n, b.Person, b.FootX, b.FootY)
				}
			}
			for i, b := range before {
				if _, ok := now[i]; !ok && !atEdge(b) {
					t.Fatalf("seed %d frame %d: person %d vanishes at %.2f, %.2f", seed, n, i, b.FootX, b.FootY)
				}
			}
			before = now
		}
	}
}

func atEdge(b Box) bool { return b.FootX < 0.03 || b.FootX > 0.97 || b.FootY > 0.95 }

func TestTruthIsTheBoxesInThePolygons(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := New(Config{
			Seed: rapid.Uint64().Draw(t, "seed"), Width: 96, Height: 64,
			Frames: rapid.IntRange(20, 900).Draw(t, "frames"), People: rapid.IntRange(1, 40).Draw(t, "people"),
		})
		if err != nil {
			t.Fatal(err)
		}
		profile := s.Profile()
		if err = profile.Validate(); err != nil {
			t.Fatal(err)
		}
		tr := s.Truth(rapid.IntRange(-1000, 1000).Draw(t, "n"))
		want := map[string]Count{}
		for _, z := range profile.Zones {
			want[z.ID] = Count{}
		}
		for _, b := range tr.Boxes {
			const eps = 1e-9
			if b.X < 0 || b.Y < 0 || b.W <= 0 || b.H <= 0 || b.X+b.W > 1+eps || b.Y+b.H > 1+eps {
				t.Fatalf("box %+v leaves the picture", b)
			}
			if math.Abs(b.Y+b.H-b.FootY) > eps || b.FootX < b.X-eps || b.FootX > b.X+b.W+eps {
				t.Fatalf("box %+v does not stand on its feet", b)
			}
			if tall := b.H / profile.Perspective.PersonHeight(b.FootY); b.Y > 0 && (tall < 0.92 || tall > 1.07) {
				t.Fatalf("box %+v is %.2f times the height of the perspective", b, tall)
			}
			in := 0
			for _, z := range profile.Zones {
				if convexContains(z.Polygon, b.FootX, b.FootY) {
					in++
					c := want[z.ID]
					c.Present++
					if b.Moving {
						c.Moving++
					}
					want[z.ID] = c
				}
			}
			if in > 1 {
				t.Fatalf("box %+v is in %d zones", b, in)
			}
		}
		if fmt.Sprint(want) != fmt.Sprint(tr.Zones) {
			t.Fatalf("zones %v, the boxes say %v", tr.Zones, want)
		}
	})
}

// convexContains is another way to the same answer: all corners turn the same way around the point.
func convexContains(poly []camera.Point, x, y float64) bool {
	left, right := false, false
	for i, a := range poly {
		b := poly[(i+1)%len(poly)]
		switch cross := (b.X-a.X)*(y-a.Y) - (b.Y-a.Y)*(x-a.X); {
		case cross > 0:
			left = true
		case cross < 0:
			right = true
		}
	}
	return left != right
}

// The same square without its people differs where the truth says that people are, and nowhere else
// but in their shadows.
func TestPeopleAreDrawnWhereTheTruthSays(t *testing.T) {
	for seed := range uint64(6) {
		s := must(t, Config{Seed: seed})
		empty := *s
		empty.people = nil
		w, h := s.cfg.Width, s.cfg.Height
		for n := 0; n < s.cfg.Frames; n += 75 {
			full, bare := frame(s, n), frame(&empty, n)
			for _, b := range s.Truth(n).Boxes {
				// The middle of the box: arms and legs leave its corners empty.
				var d, pixels float64
				for y := int((b.Y + 0.1*b.H) * float64(h)); y < int((b.Y+0.9*b.H)*float64(h)); y++ {
					for x := int((b.X + 0.3*b.W) * float64(w)); x < int((b.X+0.7*b.W)*float64(w)); x++ {
						d += math.Abs(float64(full[y*w+x]) - float64(bare[y*w+x]))
						pixels++
					}
				}
				if pixels > 0 && d/pixels < 6 {
					t.Errorf("seed %d frame %d: person %d at %.2f, %.2f differs from the square by %.1f", seed, n, b.Person, b.FootX, b.FootY, d/pixels)
				}
			}
			changed := 0
			for i := range w * h {
				if full[i] != bare[i] {
					changed++
				}
			}
			if share := float64(changed) / float64(w*h); share > 0.20 {
				t.Errorf("seed %d frame %d: %.0f %% of the picture change with the people", seed, n, 100*share)
			}
		}
		if got := empty.Truth(9); len(got.Boxes) != 0 {
			t.Errorf("an empty square has %d boxes: the pigeon counts", len(got.Boxes))
		}
	}
}

func TestMostFramesHavePeopleThatMoveAndPeopleThatStand(t *testing.T) {
	for seed := range uint64(10) {
		s := must(t, Config{Seed: seed, Width: 64, Height: 64})
		var present, moving int
		for n := range s.Config().Frames {
			for _, b := range s.Truth(n).Boxes {
				present++
				if b.Moving {
					moving++
				}
			}
		}
		frames := float64(s.Config().Frames)
		if mean := float64(present) / frames; mean < 3 || mean > 13 {
			t.Errorf("seed %d: %.1f people at a time", seed, mean)
		}
		if moving == 0 || moving == present {
			t.Errorf("seed %d: %d of %d move", seed, moving, present)
		}
	}
}

func TestValidate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			Width: rapid.IntRange(-2, 5000).Draw(t, "width"), Height: rapid.IntRange(-2, 5000).Draw(t, "height"),
			FPS: rapid.IntRange(-1, 70).Draw(t, "fps"), Frames: rapid.IntRange(-1, 110_000).Draw(t, "frames"),
			People: rapid.IntRange(-1, 600).Draw(t, "people"),
		}
		d := c.WithDefaults()
		good := d.Width >= 64 && d.Width <= 4096 && d.Width%2 == 0 && d.Height >= 64 && d.Height <= 4096 && d.Height%2 == 0 &&
			d.FPS >= 1 && d.FPS <= 60 && d.Frames >= 2*d.FPS && d.Frames <= 100_000 && d.People >= 1 && d.People <= 500
		err := c.Validate()
		if (err == nil) != good {
			t.Fatalf("%+v: %v", c, err)
		}
		if err != nil && !strings.Contains(err.Error(), "want") {
			t.Fatalf("%v does not say what is wanted", err)
		}
		if d != d.WithDefaults() {
			t.Fatal("defaults change what they filled in")
		}
	})
}

func TestConfigAsJSON(t *testing.T) {
	var c Config
	if err := json.Unmarshal([]byte(`{"seed":3,"width":320,"height":180,"fps":5,"frames":50,"people":4}`), &c); err != nil {
		t.Fatal(err)
	}
	if want := (Config{Seed: 3, Width: 320, Height: 180, FPS: 5, Frames: 50, People: 4}); c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestTruthIsCheap(t *testing.T) {
	s := must(t, Config{Seed: 1, People: 50})
	began := time.Now()
	for n := range 1000 {
		s.Truth(n)
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("a thousand truths took %v", d)
	}
}

func BenchmarkRender(b *testing.B) {
	s := must(b, Config{Seed: 1})
	dst := make([]byte, s.cfg.Width*s.cfg.Height*3/2)
	for i := 0; b.Loop(); i++ {
		s.Render(i, dst)
	}
}

func BenchmarkTruth(b *testing.B) {
	s := must(b, Config{Seed: 1})
	for i := 0; b.Loop(); i++ {
		s.Truth(i)
	}
}
