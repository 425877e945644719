//go:build cgo

package count

import (
	"math"
	"math/rand/v2"
	"testing"

	"klarsyn/camera"
)

// painted is somebody as the mask shows him: the silhouette itself, by chance where it is not sure.
func painted(r *rand.Rand, mask []byte, w, h int, x, foot, tall float64) {
	shape := upright()
	for y := max(0, int(foot-tall)); y < min(h, int(foot)); y++ {
		for px := max(0, int(x-boxWidth/2*tall)); px < min(w, int(x+boxWidth/2*tall)); px++ {
			row := min(rows-1, int((float64(y)-foot+tall)/tall*rows))
			k := max(0, min(columns-1, int((float64(px)-x+boxWidth/2*tall)/(boxWidth*tall)*columns)))
			if shape[row][k] > 0.2+0.6*r.Float64() {
				mask[y*w+px] = 255
			}
		}
	}
}

func TestPeopleAreFoundInGroups(t *testing.T) {
	const w, h = 480, 270
	tall := func(foot float64) float64 { return 20 + foot/3 }
	for name, at := range map[string][][2]float64{
		"nobody":             {},
		"one":                {{100, 150}},
		"two apart":          {{100, 150}, {300, 200}},
		"two side by side":   {{200, 180}, {230, 182}},
		"one behind another": {{200, 180}, {215, 215}},
		"three in a row":     {{200, 200}, {240, 198}, {280, 203}},
		"near and far":       {{60, 60}, {400, 260}, {240, 120}},
		"feet out of sight":  {{150, 300}},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 7))
			mask := make([]byte, w*h)
			for _, p := range at {
				painted(r, mask, w, h, p[0], p[1], tall(p[1]))
			}
			found := newCover(w, h, camera.Profile{}).people(mask, 4, tall)
			if len(found) != len(at) {
				t.Fatalf("%d found: %+v", len(found), found)
			}
			for _, p := range at {
				best := math.Inf(1)
				for _, f := range found {
					best = min(best, math.Hypot(f.x-p[0], f.foot-p[1])/f.tall)
				}
				if best > 0.2 {
					t.Errorf("who stands at %v was found %.2f heights away: %+v", p, best, found)
				}
			}
		})
	}
}

// What is not upright, or far too small or large, is nobody.
func TestWhatIsNobody(t *testing.T) {
	const w, h = 480, 270
	for name, box := range map[string][4]int{"a pigeon": {100, 150, 112, 158}, "a cart": {100, 150, 220, 180}, "a line": {0, 100, 480, 104}} {
		mask := make([]byte, w*h)
		for y := box[1]; y < box[3]; y++ {
			for x := box[0]; x < box[2]; x++ {
				mask[y*w+x] = 255
			}
		}
		if found := newCover(w, h, camera.Profile{}).people(mask, 4, func(float64) float64 { return 60 }); len(found) != 0 {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

// The scale is learnt from those who walk alone, in spite of pairs, pigeons and people cut off.
func TestScaleIsLearnt(t *testing.T) {
	const w, h = 480, 270
	r := rand.New(rand.NewPCG(5, 5))
	s := newScale(w, h)
	for n := range 120 {
		foot := 80 + 180*r.Float64()
		tall := (0.3*foot + 12) * (0.95 + 0.1*r.Float64())
		width := 0.3 * tall
		switch n % 6 {
		case 4: // two, one behind the other
			tall *= 1.5
		case 5: // a pigeon
			tall, width = 14, 8
		}
		p := piece{x0: 100, x1: 100 + int(width), y0: int(foot - tall), y1: int(foot) - 1, area: int(0.7 * tall * width)}
		s.add([]piece{p})
	}
	if !s.known {
		t.Fatal("nothing is known")
	}
	for _, foot := range []float64{100, 170, 250} {
		want, got := 0.3*foot+12, s.perspective.PersonHeight(foot/h)*h
		if math.Abs(got-want) > 0.08*want {
			t.Errorf("at row %g people are %.1f tall, want %.1f: %+v", foot, got, want, s.perspective)
		}
	}
}
