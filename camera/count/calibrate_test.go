//go:build cgo

package count

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"klarsyn/camera"
	"klarsyn/camera/scene"
)

// stills are pictures of a square with everybody's box, after the background was learnt.
func stills(t *testing.T, seed uint64, n int) (*scene.Scene, []Still) {
	t.Helper()
	sc, err := scene.New(scene.Config{Seed: seed, Width: 480, Height: 270})
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(camera.Profile{Zones: sc.Profile().Zones}, 480, 270, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	p := make([]byte, 480*270*3/2)
	sc.Render(0, p)
	if _, err := c.Still(0, nil, p); !errors.Is(err, ErrNoStill) {
		t.Fatalf("before anything is learnt: %v", err)
	}
	for k := range 120 { // four minutes
		sc.Render(20*k, p)
		look(t, c, p)
	}
	var out []Still
	for k := range n {
		frame := 5 + 600/n*k
		var boxes []Box
		for _, b := range sc.Truth(frame).Boxes {
			boxes = append(boxes, Box{X: b.X * 480, Y: b.Y * 270, W: b.W * 480, H: b.H * 270})
		}
		sc.Render(frame, p)
		s, err := c.Still(frame, boxes, p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return sc, out
}

func TestCalibrate(t *testing.T) {
	for _, seed := range []uint64{3, 4} {
		if underRace && seed > 3 {
			continue // the detector makes it ten times as slow
		}
		sc, s := stills(t, seed, 20)
		made, err := Calibrate(camera.Profile{Zones: sc.Profile().Zones}, 480, 270, s)
		if err != nil {
			t.Fatal(err)
		}
		p := made.Profile
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		for _, row := range []float64{0.5, 0.7, 0.95} {
			want, got := sc.Profile().Perspective.PersonHeight(row), p.Perspective.PersonHeight(row)
			if math.Abs(got-want) > 0.08*want {
				t.Errorf("seed %d: at row %g people are %.3f tall, want %.3f", seed, row, got, want)
			}
		}
		cal := p.Calibration
		t.Logf("seed %d: %d people, MAE %.2f (%.2f before), bias %+.2f, P90 %.0f, coefficients %+v", seed, cal.People, cal.MAE, made.Before, cal.Bias, cal.P90, p.Coefficients)
		if cal.Stills != 20 || cal.Method != Method || cal.MAE > made.Before+0.15 || cal.MAE > 1 || len(made.Errors) != 20 {
			t.Errorf("seed %d: %+v, before %.2f", seed, cal, made.Before)
		}
		people, truth := 0, 0
		for _, place := range made.Places {
			people += place.People
		}
		for _, e := range made.Errors {
			truth += e.Truth
		}
		if people != truth {
			t.Errorf("seed %d: %d people in places, %d in stills", seed, people, truth)
		}
	}
}

// What is told is kept, and too few labels are refused with what is missing.
func TestCalibrateKeepsAndRefuses(t *testing.T) {
	sc, s := stills(t, 3, 10)
	given := camera.Profile{Zones: sc.Profile().Zones, Mounting: &camera.Mounting{Height: 7, Tilt: 15, Lens: 40}}
	made, err := Calibrate(given, 480, 270, s)
	if err != nil {
		t.Fatal(err)
	}
	if made.Profile.Mounting == nil || made.Profile.Perspective != (camera.Perspective{}) || len(made.Profile.Zones) != len(given.Zones) {
		t.Errorf("what was told is not kept: %+v", made.Profile)
	}
	if _, err := Calibrate(given, 480, 270, s[:3]); err == nil {
		t.Error("three stills are taken")
	}
	for i := range s {
		s[i].Boxes = nil
	}
	if _, err := Calibrate(given, 480, 270, s); err == nil {
		t.Error("stills without anybody are taken")
	}
}

// Nobody stands where the ground is not, and who is behind a post is judged by what is seen of him.
func TestGroundAndOccluders(t *testing.T) {
	const w, h = 480, 270
	tall := func(float64) float64 { return 80 }
	mask := make([]byte, w*h)
	r := rand.New(rand.NewPCG(1, 7))
	painted(r, mask, w, h, 100, 200, 80)
	painted(r, mask, w, h, 300, 200, 80)
	for y := range h { // a post before the second, as wide as half of him
		for x := 300; x < 320; x++ {
			mask[y*w+x] = 0
		}
	}
	left := []camera.Point{{X: 0, Y: 0}, {X: 0.4, Y: 0}, {X: 0.4, Y: 1}, {X: 0, Y: 1}}
	post := []camera.Point{{X: 300. / w, Y: 0}, {X: 320. / w, Y: 0}, {X: 320. / w, Y: 1}, {X: 300. / w, Y: 1}}
	for name, tt := range map[string]struct {
		p    camera.Profile
		want int
	}{
		"neither":      {camera.Profile{Coefficients: camera.Coefficients{Believed: 0.5}}, 1},
		"the post":     {camera.Profile{Coefficients: camera.Coefficients{Believed: 0.5}, Occluders: [][]camera.Point{post}}, 2},
		"other ground": {camera.Profile{Ground: left, Occluders: [][]camera.Point{post}}, 1},
	} {
		if found := newCover(w, h, tt.p).people(mask, 4, tall); len(found) != tt.want {
			t.Errorf("%s: %d found, want %d: %+v", name, len(found), tt.want, found)
		}
	}
}
