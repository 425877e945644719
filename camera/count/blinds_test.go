//go:build cgo

package count

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"klarsyn/camera"
	"klarsyn/camera/scene"
)

// masked is a profile with a mask.
func masked(p camera.Profile, corners ...camera.Point) camera.Profile {
	p.Masks = append(p.Masks[:len(p.Masks):len(p.Masks)], camera.Mask{ID: "windows", Version: 1, Kind: camera.MaskBlur, Polygon: corners})
	return p
}

func box(x0, y0, x1, y1 float64) []camera.Point {
	return []camera.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}}
}

func counterOf(t testing.TB, p camera.Profile) *Counter {
	t.Helper()
	c, err := New(p, width, height, 5)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Who walks behind a mask is not counted, and the others are as if there were none.
func TestWhoWalksBehindAMask(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	plain, behind := counterOf(t, profile()), counterOf(t, masked(profile(), box(0.05, 0.2, 0.4, 0.95)...))
	for range 8 {
		p := ground(r, 1)
		look(t, plain, p)
		look(t, behind, p)
	}
	for n := range 20 {
		p := ground(r, 1)
		person(p, 16+n*2, 60+n*2, 20, 128) // in the mask
		person(p, 100+n*2, 110-n, 220, 128)
		seen, hidden := look(t, plain, p), look(t, behind, p)
		if math.Abs(seen[0].Present-1) > 0.3 {
			t.Fatalf("picture %d, without a mask: %+v", n, seen[0])
		}
		if hidden[0].Quality != camera.QualityOK || hidden[0].Present != 0 || hidden[0].Moving != 0 {
			t.Errorf("picture %d: behind the mask there is %+v", n, hidden[0])
		}
		if hidden[1].Quality != camera.QualityOK || math.Abs(hidden[1].Present-seen[1].Present) > 0.05 || math.Abs(hidden[1].High-seen[1].High) > 0.05 {
			t.Errorf("picture %d: beside the mask there is %+v, and without it %+v", n, hidden[1], seen[1])
		}
	}
}

// It is the feet that count: a mask over legs takes somebody out, and one over a head does not.
func TestFeetBehindAMask(t *testing.T) {
	for name, tt := range map[string]struct {
		mask []camera.Point
		want float64
	}{
		"feet":     {box(0.05, 75.0/height, 0.4, 0.95), 0},
		"shoulder": {box(0.05, 0.2, 0.4, 60.0/height), 1},
		"beside":   {box(0.25, 0.2, 0.4, 0.95), 1},
	} {
		r := rand.New(rand.NewPCG(33, 34))
		c := counterOf(t, masked(profile(), tt.mask...))
		for range 8 {
			look(t, c, ground(r, 1))
		}
		p := ground(r, 1)
		person(p, 30, 80, 20, 128) // rows 50 to 79
		if s := look(t, c, p); s[0].Quality != camera.QualityOK || math.Abs(s[0].Present-tt.want) > 0.3 {
			t.Errorf("%s masked: %+v, want %g", name, s[0], tt.want)
		}
		still, err := c.Still(0, nil, p)
		if err != nil {
			t.Fatal(err)
		}
		behind := calibration{w: width, h: height, given: c.profile}
		if _, n := behind.count(c.profile, still); math.Abs(n-tt.want) > 0.3 {
			t.Errorf("%s masked: %g for calibration, want %g", name, n, tt.want)
		}
	}
}

// Of a zone that is masked as a whole nothing is known, which is not zero; the others have their numbers.
func TestZoneBehindAMask(t *testing.T) {
	r := rand.New(rand.NewPCG(35, 36))
	c := counterOf(t, masked(profile(), box(0, 0, 0.5, 1)...))
	var s []camera.Sample
	for range 8 {
		s = look(t, c, ground(r, 1))
	}
	if s[0].Quality != camera.QualityObscured || s[0].High != 0 || s[1].Quality != camera.QualityOK || s[1].Present != 0 {
		t.Errorf("got %+v", s)
	}
	all := counterOf(t, masked(profile(), box(0, 0, 1, 1)...))
	for range 8 {
		for _, z := range look(t, all, ground(r, 1)) {
			if z.Quality == camera.QualityOK {
				t.Fatalf("all of the picture is masked: %+v", z)
			}
		}
	}
}

// Light, noise and night are measured beside the mask: black has none of them.
func TestLightBesideAMask(t *testing.T) {
	r := rand.New(rand.NewPCG(37, 38))
	c := counterOf(t, masked(profile(), box(0, 0, 0.6, 1)...))
	for range 8 {
		look(t, c, ground(r, 1))
	}
	for _, bright := range []float64{1.3, 0.7, 1} {
		p := ground(r, bright)
		person(p, 120, 80, 20, 128)
		if s := look(t, c, p); s[1].Quality != camera.QualityOK || math.Abs(s[1].Present-1) > 0.3 {
			t.Errorf("at %g: %+v", bright, s[1])
		}
	}
	b := newBackground(width, height)
	b.blinds, b.ready = newBlinds(width, height, []camera.Mask{{Polygon: box(0, 0, 0.7, 1)}}), true
	fog, noisy := make([]byte, width*height*3/2), make([]byte, width*height*3/2)
	for i := range b.median {
		b.median[i] = byte(40 + i/width)
		fog[i], noisy[i] = b.median[i]/2+80, b.median[i]+byte(20*r.Float64())
	}
	b.hide()
	if got := b.tone(b.blinds.over(fog)); math.Abs(got.gain-0.5) > 0.02 || math.Abs(got.offset-80) > 3 {
		t.Errorf("in fog: %+v", got)
	}
	if got := b.noise(b.blinds.over(noisy), 0, width*height); got < 15 {
		t.Errorf("in noise: %d", got)
	}
	for i := range noisy {
		noisy[i] = 255 - b.median[i]
	}
	if share, _ := b.differ(b.blinds.over(noisy), make([]byte, width*height)); share < 0.9 {
		t.Errorf("of what is seen all differs: %.2f", share)
	}
	v := view{w: width, h: height, blinds: newBlinds(width, height, []camera.Mask{{Polygon: box(0, 0, 0.97, 1)}})}
	if v.dark(v.blinds.over(ground(r, 1))[:width*height]) {
		t.Error("a small part of a picture by day is dark")
	}
}

// A camera that was turned shows its masks where they always were.
func TestTurnedBehindMasks(t *testing.T) {
	p := profile()
	for k, id := range []string{"a", "b", "c", "d"} {
		p = masked(p, box(0.08+0.25*float64(k), 0.1, 0.18+0.25*float64(k), 0.95)...)
		p.Masks[k].ID = id
	}
	c := counterOf(t, p)
	square := rough(3*width, height)
	from := func(x int) []byte {
		p := bytes.Repeat([]byte{128}, width*height*3/2)
		for y := range height {
			copy(p[y*width:(y+1)*width], square[y*3*width+x:])
		}
		return p
	}
	for range 6 {
		look(t, c, from(20))
	}
	if s := look(t, c, from(23)); s[0].Quality != camera.QualityOK || s[0].Present != 0 {
		t.Errorf("swayed by three pixels: %+v", s[0])
	}
	if s := look(t, c, from(220)); s[0].Quality != camera.QualityCameraMoved {
		t.Errorf("turned: %+v", s[0])
	}
	dull := func(x int) []byte { // hardly any marks, beside the edges of the masks
		p := from(x)
		for i, v := range p[:width*height] {
			p[i] = byte(120 + (int(v)-120)/3)
		}
		return c.cover.blinds.over(p)[:width*height]
	}
	v := view{w: width, h: height, blinds: c.cover.blinds}
	var known blocks
	known.fill(dull(20), width, height)
	if l := v.compare(dull(20), &known); l.elsewhere() || l.marked < enough {
		t.Errorf("not turned: %+v", l)
	}
	if l := v.compare(dull(220), &known); !l.elsewhere() {
		t.Errorf("turned: %+v", l)
	}
}

// What a mask cuts off is no ghost for the black beside it, and does not tell how tall people are.
func TestPieceBesideAMask(t *testing.T) {
	b := newBlinds(width, height, []camera.Mask{{Polygon: box(0, 0, 0.5, 1)}, {Polygon: box(0.55, 0, 1, 1)}})
	p, plain := newPieces(width, height), newPieces(width, height)
	p.blinds = b
	was, is, mask := bytes.Repeat([]byte{180}, width*height*3/2), bytes.Repeat([]byte{180}, width*height*3/2), make([]byte, width*height)
	for i := range mask {
		if x, y := i%width, i/width; x >= width/2 && x < width/2+8 && y >= 40 && y < 58 && !b.hides(i) {
			is[i], mask[i] = 60, 255
		}
	}
	was, is = bytes.Clone(b.over(was)), bytes.Clone(b.over(is))
	if got := plain.find(mask, is, was); len(got) != 1 || !got[0].ghost || got[0].cut {
		t.Fatalf("without blinds it is %+v: this proves nothing", got)
	}
	got := p.find(mask, is, was)
	if len(got) != 1 || got[0].ghost || !got[0].cut {
		t.Fatalf("got %+v", got)
	}
	s := newScale(width, height)
	if !s.add(got) || len(s.blobs) != 0 {
		t.Errorf("%v was learnt", s.blobs)
	}
	if s.add([]piece{{x0: 100, y0: 40, x1: 109, y1: 69, area: 300}}); len(s.blobs) != 1 {
		t.Error("somebody who is not cut off was not learnt")
	}
}

// crooked is a mask of three to six corners, most of which cross themselves.
func crooked(r *rand.Rand) []camera.Point {
	corners := make([]camera.Point, 3+r.IntN(4))
	x, y := 0.8*r.Float64(), 0.8*r.Float64()
	for i := range corners {
		corners[i] = camera.Point{X: min(1, x+0.5*r.Float64()), Y: min(1, y+0.5*r.Float64())}
	}
	return corners
}

// What is in a mask does not matter: with noise there a counter gives the same samples and learns the same, whatever the camera
// does, and what it has learnt is black there.
func TestNothingInAMaskMatters(t *testing.T) {
	seeds, pictures := uint64(6), 120
	if underRace {
		seeds, pictures = 2, 60
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 41))
		cfg := scene.Config{Seed: seed + 1, Width: 320, Height: 180, FPS: 1, Frames: 600, Crowd: 9}
		if seed%4 == 3 {
			cfg.Weather = scene.Weather{Sunset: true}
		}
		sc, err := scene.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		p := exact(sc)
		if seed%2 == 0 {
			p = bare(sc)
		}
		for k := range 1 + r.IntN(2) {
			p = masked(p, crooked(r)...)
			p.Masks[k].ID = []string{"a", "b"}[k]
		}
		hidden := within(p.Masks, 320, 180)
		one, other := counterFor(t, p), counterFor(t, p)
		swayed, noisy := make([]byte, 320*180*3/2), make([]byte, 320*180*3/2)
		mast := register{w: 320, h: 180}
		told, differs := 0, 0
		for n := range pictures {
			mast.move(draw(sc, 4*n), swayed, 2*math.Sin(float64(n)), 1.5*math.Cos(float64(n)))
			if n == pictures-20 {
				clear(swayed) // and nothing is seen
			}
			copy(noisy, swayed)
			scribble(r, noisy, hidden)
			if !bytes.Equal(noisy, swayed) {
				differs++
			}
			if n%5 == 4 {
				a, err1 := one.Glance(swayed)
				b, err2 := other.Glance(noisy)
				if err := errors.Join(err1, err2); err != nil || !reflect.DeepEqual(a, b) {
					t.Fatalf("seed %d, a glance at picture %d: %+v, with noise in the mask %+v (%v)", seed, n, a, b, err)
				}
				continue
			}
			a, b := look(t, one, swayed), look(t, other, noisy)
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("seed %d, picture %d: %+v, with noise in the mask %+v", seed, n, a, b)
			}
			if a[0].Quality == camera.QualityOK {
				told++
			}
		}
		if !bytes.Equal(one.Learnt(), other.Learnt()) || !bytes.Equal(one.first, other.first) {
			t.Errorf("seed %d: noise in the mask was learnt", seed)
		}
		if differs == 0 || told < pictures/6 {
			t.Errorf("seed %d: %d pictures have noise, %d are counted: this proves nothing", seed, differs, told)
		}
		blackened(t, one, hidden)
	}
}

// scribble puts noise where all of a pixel, and all of a colour's four, is in a mask or crossed by its line.
func scribble(r *rand.Rand, picture []byte, pixels []int) {
	const w, n = 320, 320 * 180
	for _, i := range pixels {
		c := n + i/w/2*(w/2) + i%w/2
		picture[i], picture[c], picture[c+n/4] = byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())
	}
}

// within gives every pixel in which a mask has a point, found by looking at many.
func within(masks []camera.Mask, w, h int) (pixels []int) {
	const fine = 5
	for i := range w * h {
		for k := range fine * fine {
			at := camera.Point{X: (float64(i%w) + (float64(k%fine)+0.5)/fine) / float64(w), Y: (float64(i/w) + (float64(k/fine)+0.5)/fine) / float64(h)}
			if slices.ContainsFunc(masks, func(m camera.Mask) bool { return inside(m.Polygon, at) }) {
				pixels = append(pixels, i)
				break
			}
		}
	}
	return pixels
}

// blackened checks what a counter has learnt, as it is handed out and as it is held.
func blackened(t *testing.T, c *Counter, hidden []int) {
	t.Helper()
	const w, n = 320, 320 * 180
	saved := c.Learnt()
	if saved == nil {
		t.Fatal("nothing was learnt")
	}
	held := [][]byte{saved[len(saved)-n*3 : len(saved)-n*3/2], c.first, c.picture}
	for _, p := range append(held, c.background.frames...) {
		for _, i := range hidden {
			if u := n + i/w/2*(w/2) + i%w/2; len(p) > 0 && (p[i] != 16 || p[u] != 128 || p[u+n/4] != 128) {
				t.Fatalf("%d, %d, %d at %d, %d, which is masked", p[i], p[u], p[u+n/4], i%w, i/w)
			}
		}
	}
}

// Every pixel that a mask touches, and one around it, is hidden, and none further away than four.
func TestBlindsReachOutward(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 44))
	masks := [][]camera.Point{box(0, 0, 0.5, 0.5), box(0.3, 0.3, 0.3, 0.7), {{X: 0.1, Y: 0.1}, {X: 0.9, Y: 0.11}, {X: 0.1, Y: 0.1}}, crooked(r), crooked(r), crooked(r)}
	var star []camera.Point
	for k := range 5 {
		star = append(star, camera.Point{X: 0.5 + 0.4*math.Sin(float64(2*k)*2*math.Pi/5), Y: 0.5 - 0.4*math.Cos(float64(2*k)*2*math.Pi/5)})
	}
	masks = append(masks, star)
	for _, corners := range masks {
		b := newBlinds(width, height, []camera.Mask{{Polygon: corners}})
		touched := make([]bool, width*height)
		for _, i := range within([]camera.Mask{{Polygon: corners}}, width, height) {
			touched[i] = true
		}
		from := corners[len(corners)-1]
		for _, to := range corners { // the line, in steps
			for k := range 2001 {
				x, y := (from.X+(to.X-from.X)*float64(k)/2000)*width, (from.Y+(to.Y-from.Y)*float64(k)/2000)*height
				touched[min(height-1, int(y))*width+min(width-1, int(x))] = true
			}
			from = to
		}
		hidden := 0
		for i := range touched {
			if (around(touched, i%width, i/width, 1) || winds(corners, i%width, i/width)) && !b.hides(i) {
				t.Fatalf("%v: %d, %d is not hidden", corners, i%width, i/width)
			}
			if b.hides(i) {
				hidden++
				if !winds(corners, i%width, i/width) && !around(touched, i%width, i/width, 4) {
					t.Fatalf("%v: %d, %d is hidden", corners, i%width, i/width)
				}
			}
		}
		if hidden != width*height-b.visible {
			t.Errorf("%v: %d are hidden, and %d told to be visible", corners, hidden, b.visible)
		}
	}
	if newBlinds(width, height, nil) != nil {
		t.Error("blinds without masks")
	}
}

// winds says that a line goes around a pixel, by the sum of the angles.
func winds(corners []camera.Point, x, y int) bool {
	sum := 0.0
	from := corners[len(corners)-1]
	for _, to := range corners {
		ax, ay, bx, by := from.X*width-float64(x)-0.5, from.Y*height-float64(y)-0.5, to.X*width-float64(x)-0.5, to.Y*height-float64(y)-0.5
		sum += math.Atan2(ax*by-ay*bx, ax*bx+ay*by)
		from = to
	}
	return math.Abs(sum) > 1
}

func around(marks []bool, x, y, far int) bool {
	for ny := max(0, y-far); ny <= min(height-1, y+far); ny++ {
		for nx := max(0, x-far); nx <= min(width-1, x+far); nx++ {
			if marks[ny*width+nx] {
				return true
			}
		}
	}
	return false
}

// On a square before which a mask hangs, and on a mast that sways, those beside it are counted about as well as without it.
func TestSquareBehindAMask(t *testing.T) {
	seeds, frames := []uint64{4, 5, 6}, 300
	if underRace {
		seeds, frames = seeds[2:], 90
	}
	for _, seed := range seeds {
		sc, err := scene.New(scene.Config{Seed: seed, Width: 320, Height: 180, FPS: 1, Frames: 1200, Crowd: 9})
		if err != nil {
			t.Fatal(err)
		}
		hole := box(0.4, 0.35, 0.62, 0.9)
		p := masked(exact(sc), hole...)
		plain, c := counterFor(t, exact(sc)), counterFor(t, p)
		mast, picture := register{w: 320, h: 180}, make([]byte, 320*180*3/2)
		off, without, pictures, wrong, behind := 0.0, 0.0, 0, 0, 0
		for n := range frames {
			mast.move(draw(sc, 4*n), picture, 3*math.Sin(float64(n)), 2*math.Cos(1.3*float64(n)))
			s, free := look(t, c, picture), look(t, plain, picture)
			if n < 30 {
				continue
			}
			if a, b := camera.Total(s), camera.Total(free); a.Quality != camera.QualityOK || b.Quality != camera.QualityOK {
				if a.Quality != b.Quality {
					wrong++
				}
				continue
			}
			all, whole, partly := 0.0, 0.0, 0.0
			for _, b := range sc.Truth(4 * n).Boxes {
				at := camera.Point{X: b.FootX, Y: b.FootY}
				if !slices.ContainsFunc(p.Zones, func(z camera.Zone) bool { return inside(z.Polygon, at) }) {
					continue
				}
				switch all++; {
				case inside(hole, at):
					behind++
				case b.X < hole[2].X && b.X+b.W > hole[0].X && b.Y < hole[2].Y && b.Y+b.H > hole[0].Y:
					partly++ // his feet are beside it, and the rest may be seen or not
				default:
					whole++
				}
			}
			pictures++
			got := camera.Total(s).Present
			off, without = off+max(0, whole-got, got-whole-partly), without+math.Abs(camera.Total(free).Present-all)
		}
		t.Logf("seed %d: error %.2f beside the mask, %.2f without it; %d behind it in %d pictures, %d told otherwise", seed,
			off/float64(pictures), without/float64(pictures), behind, pictures, wrong)
		if behind < pictures/4 {
			t.Errorf("only %d behind the mask: this proves nothing", behind)
		}
		if off > 1.1*without+0.1*float64(pictures) || wrong > 5 {
			t.Errorf("error %.2f, without the mask %.2f; %d pictures are told otherwise", off/float64(pictures), without/float64(pictures), wrong)
		}
	}
}

// A mask hangs still before a square that sways: how far that is must be seen beside it.
func TestShakeBehindAMask(t *testing.T) {
	const w, h = 480, 270
	b := newBlinds(w, h, []camera.Mask{{Polygon: box(0.1, 0.1, 0.4, 0.9)}, {Polygon: box(0.5, 0.05, 0.8, 0.6)}})
	r := &register{w: w, h: h, blinds: b}
	whole := make([]byte, w*h*3/2)
	copy(whole, rough(w, h))
	for i, v := range whole[:w*h] {
		whole[i] = byte(120 + (int(v)-120)/4) // hardly any marks, beside the edges of the masks
	}
	reference := bytes.Clone(b.over(whole))
	r.learn(reference[:w*h])
	for _, by := range [][2]float64{{0, 0}, {0.4, -0.3}, {2, 1}, {-3.6, 2.5}, {-9, 7.5}} {
		seen := make([]byte, w*h*3/2)
		r.move(whole, seen, -by[0], -by[1])
		b.draw(seen)
		dx, dy, atEdge := r.shift(seen[:w*h], reference[:w*h])
		if atEdge || math.Abs(dx-by[0]) > 0.25 || math.Abs(dy-by[1]) > 0.25 {
			t.Errorf("moved by %v: %.2f, %.2f, %v", by, dx, dy, atEdge)
		}
		back := make([]byte, w*h*3/2)
		r.move(seen, back, dx, dy)
		b.mend(back, reference, r, dx, dy)
		b.draw(back)
		for i := range w * h {
			x, y := i%w, i/w
			if x > 12 && y > 12 && x < w-12 && y < h-12 && off(back[i], reference[i]) > 6 {
				t.Fatalf("moved by %v: %d at %d, %d, want %d", by, back[i], x, y, reference[i])
			}
		}
	}
}

// A background is resumed behind the same masks alone: behind others a part of it is unknown, or shows what is masked now.
func TestResumeBehindOtherMasks(t *testing.T) {
	mask, other := box(0.1, 0.1, 0.3, 0.5), box(0.1, 0.1, 0.4, 0.5)
	with := func(corners []camera.Point) func(*scene.Scene) camera.Profile {
		return func(sc *scene.Scene) camera.Profile { return masked(exact(sc), corners...) }
	}
	plain, sc, _ := watched(t, exact, 40)
	behind, _, n := watched(t, with(mask), 40)
	for name, tt := range map[string]struct {
		saved []byte
		p     camera.Profile
		fits  bool
	}{
		"a mask was added":   {plain.Learnt(), with(mask)(sc), false},
		"a mask was removed": {behind.Learnt(), exact(sc), false},
		"a mask was moved":   {behind.Learnt(), with(other)(sc), false},
		"the same":           {behind.Learnt(), with(mask)(sc), true},
	} {
		c := counterFor(t, tt.p)
		err := c.Resume(tt.saved)
		if !tt.fits {
			if !errors.Is(err, ErrLearnt) || !strings.Contains(err.Error(), "masks") {
				t.Errorf("%s: %v", name, err)
			}
			if s := look(t, c, draw(sc, n)); s[0].Quality != camera.QualityLearning {
				t.Errorf("%s: it goes on with %+v", name, s[0])
			}
			continue
		}
		if err != nil || !bytes.Equal(c.Learnt(), tt.saved) {
			t.Fatalf("%s: %v", name, err)
		}
		blackened(t, c, within(tt.p.Masks, 320, 180))
		if s := look(t, c, draw(sc, n)); s[0].Quality != camera.QualityOK {
			t.Errorf("%s: %+v", name, s[0])
		}
	}
}

// Nobody behind a mask is calibrated with.
func TestStillBehindAMask(t *testing.T) {
	c, sc, n := watched(t, func(sc *scene.Scene) camera.Profile { return masked(exact(sc), box(0.2, 0.2, 0.5, 0.8)...) }, 40)
	boxes := []Box{{X: 100, Y: 60, W: 10, H: 30}, {X: 250, Y: 60, W: 10, H: 30}}
	noisy := draw(sc, n)
	scribble(rand.New(rand.NewPCG(45, 46)), noisy, within(c.profile.Masks, 320, 180))
	s, err := c.Still(n, boxes, draw(sc, n))
	other, err2 := c.Still(n, boxes, noisy)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if !bytes.Equal(s.mask, other.mask) {
		t.Error("noise in the mask is seen")
	}
	if len(s.Boxes) != 1 || s.Boxes[0] != boxes[1] || boxes[0].X != 100 {
		t.Errorf("got %+v of %+v", s.Boxes, boxes)
	}
}
