//go:build cgo

package count

import (
	"math"
	"math/rand/v2"
	"testing"
)

// rough is a picture with marks of all sizes.
func rough(w, h int) []byte {
	r := rand.New(rand.NewPCG(2, 3))
	p := make([]byte, w*h)
	type wave struct{ fx, fy, phase float64 }
	var waves []wave
	for range 12 {
		waves = append(waves, wave{0.25 * (r.Float64() - 0.5), 0.25 * (r.Float64() - 0.5), 6 * r.Float64()})
	}
	for y := range h {
		for x := range w {
			v := 120.0
			for _, a := range waves {
				v += 9 * math.Sin(a.fx*float64(x)*2+a.fy*float64(y)*2+a.phase)
			}
			p[y*w+x] = byte(max(0, min(255, v)))
		}
	}
	return p
}

// A swaying mast is measured to a fifth of a pixel, also while people cover a part of the picture, and made good.
func TestShake(t *testing.T) {
	const w, h = 480, 270
	r := &register{w: w, h: h}
	reference := rough(w, h)
	r.learn(reference)
	for _, by := range [][2]float64{{0, 0}, {0.4, -0.3}, {2, 1}, {-3.6, 2.5}, {4, -4}, {-9, 7.5}} {
		seen, back := make([]byte, w*h), make([]byte, w*h)
		moved(reference, seen, w, h, -by[0], -by[1])
		for y := 80; y < 200; y++ { // a crowd
			for x := 100; x < 220; x++ {
				seen[y*w+x] = byte(40 + 80*(x/7%2))
			}
		}
		dx, dy, atEdge := r.shift(seen, reference)
		if math.Abs(dx-by[0]) > 0.2 || math.Abs(dy-by[1]) > 0.2 || atEdge {
			t.Errorf("moved by %v: found %.2f, %.2f, at the edge of the search: %v", by, dx, dy, atEdge)
		}
		moved(seen, back, w, h, dx, dy)
		off, n := 0.0, 0
		for y := 210; y < h-20; y++ {
			for x := 20; x < w-20; x++ {
				off += math.Abs(float64(back[y*w+x]) - float64(reference[y*w+x]))
				n++
			}
		}
		if off/float64(n) > 3 {
			t.Errorf("moved by %v: after moving back a pixel is off by %.1f", by, off/float64(n))
		}
	}
}

// Without marks there is no telling, and nothing is moved.
func TestShakeOfAnEmptyWall(t *testing.T) {
	const w, h = 480, 270
	r := &register{w: w, h: h}
	wall := make([]byte, w*h)
	r.learn(wall)
	if dx, dy, _ := r.shift(wall, wall); dx != 0 || dy != 0 {
		t.Errorf("%g, %g", dx, dy)
	}
}
