//go:build cgo

package count

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"klarsyn/camera"
	"klarsyn/camera/scene"
)

const width, height = 160, 120

// profile has two halves; a person is 30 rows high everywhere.
func profile() camera.Profile {
	box := func(x0, x1 float64) []camera.Point {
		return []camera.Point{{X: x0, Y: 0}, {X: x1, Y: 0}, {X: x1, Y: 1}, {X: x0, Y: 1}}
	}
	return camera.Profile{
		Zones:       []camera.Zone{{ID: "west", Polygon: box(0, 0.5)}, {ID: "east", Polygon: box(0.5, 1)}},
		Perspective: camera.Perspective{Offset: 0.25},
	}
}

// ground is noisy paving at a brightness.
func ground(r *rand.Rand, bright float64) []byte {
	p := make([]byte, width*height*3/2)
	for i := range p {
		if i < width*height {
			p[i] = byte(bright * (100 + 40*float64(i/8%2) + 4*r.Float64()))
		} else {
			p[i] = 128
		}
	}
	return p
}

// person draws the area of one standing person, feet at the point.
func person(p []byte, x, foot int, luma, u byte) {
	const tall = 30
	area := 0.22 * tall * tall
	w := int(math.Round(area / tall))
	for y := foot - tall; y < foot; y++ {
		for dx := range w {
			p[y*width+x-w/2+dx] = luma
			p[width*height+y/2*width/2+(x-w/2+dx)/2] = u
		}
	}
}

func newCounter(t *testing.T, learning int) *Counter {
	t.Helper()
	c, err := New(profile(), width, height, learning)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func look(t testing.TB, c *Counter, p []byte) []camera.Sample {
	t.Helper()
	kept := string(p)
	s, err := c.Count(p)
	if err != nil {
		t.Fatal(err)
	}
	if kept != string(p) {
		t.Fatal("the picture was changed")
	}
	for _, z := range s {
		if z.Moving > z.Present || z.Low > z.Present || z.High < z.Present || z.Low < 0 {
			t.Fatalf("%+v", z)
		}
	}
	return s
}

func TestPeopleAreCountedWhereTheyStand(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c := newCounter(t, 15)
	for n := range 15 {
		if s := look(t, c, ground(r, 1)); s[0].Quality != camera.QualityLearning {
			t.Fatalf("picture %d: %+v, want learning", n, s[0])
		}
	}
	if s := look(t, c, ground(r, 1)); s[0].Quality != camera.QualityOK || s[0].Present > 0.2 || s[1].Present > 0.2 {
		t.Errorf("nobody: %+v", s)
	}
	p := ground(r, 1)
	person(p, 30, 60, 20, 128)
	person(p, 60, 100, 220, 128)
	person(p, 120, 80, 120, 160) // as bright as the paving, of another colour
	s := look(t, c, p)
	if math.Abs(s[0].Present-2) > 0.4 || math.Abs(s[1].Present-1) > 0.3 {
		t.Errorf("two in the west, one in the east: %+v", s)
	}
	if s[0].Moving < 1.5 {
		t.Errorf("both have just come: %+v", s[0])
	}
	// They stand: still there, no longer moving.
	for range 8 {
		s = look(t, c, p)
	}
	if s[0].Present < 1.6 || s[0].Moving > 0.4 {
		t.Errorf("after eight pictures: %+v", s[0])
	}
}

// Who stands through a third of the learning is not background.
func TestBackgroundLeavesOutWhoLeaves(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	c := newCounter(t, 9)
	for n := range 9 {
		p := ground(r, 1)
		if n < 3 {
			person(p, 30, 60, 20, 128)
		}
		look(t, c, p)
	}
	if s := look(t, c, ground(r, 1)); s[0].Present > 0.2 {
		t.Errorf("a ghost: %+v", s[0])
	}
	p := ground(r, 1)
	person(p, 30, 60, 20, 128)
	if s := look(t, c, p); math.Abs(s[0].Present-1) > 0.3 {
		t.Errorf("in the ghost's place: %+v", s[0])
	}
}

func TestDaylight(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	c := newCounter(t, 5)
	for range 5 {
		look(t, c, ground(r, 1))
	}
	for _, bright := range []float64{1.3, 0.7, 1} {
		p := ground(r, bright)
		person(p, 30, 60, 20, 128)
		s := look(t, c, p)
		if s[0].Quality != camera.QualityOK || math.Abs(s[0].Present-1) > 0.4 || s[1].Present > 0.3 {
			t.Errorf("at %g: %+v", bright, s)
		}
	}
}

// Who stands for twenty minutes is present all the time, and the place is empty when he has gone.
func TestWhoStandsForLong(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	c := newCounter(t, 10)
	for range 20 {
		look(t, c, ground(r, 1))
	}
	p := ground(r, 1)
	person(p, 30, 60, 20, 128)
	for n := range 600 { // one every 2 s
		if s := look(t, c, p); s[0].Present != 1 {
			t.Fatalf("after %d pictures: %+v", n, s[0])
		}
	}
	if s := look(t, c, ground(r, 1)); s[0].Present != 0 || s[0].Quality != camera.QualityOK {
		t.Errorf("when he has gone: %+v", s[0])
	}
}

// Whoever stood there when the camera began is background until he goes; the hole that he leaves is nobody.
func TestWhoWasThereFromTheBeginning(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	c := newCounter(t, 10)
	for range 20 {
		p := ground(r, 1)
		person(p, 30, 60, 20, 128)
		look(t, c, p)
	}
	for n := range 60 {
		if s := look(t, c, ground(r, 1)); s[0].Present != 0 {
			t.Fatalf("%d pictures after he went: %+v", n, s[0])
		}
	}
	p := ground(r, 1)
	person(p, 30, 60, 20, 128)
	if s := look(t, c, p); s[0].Present != 1 {
		t.Errorf("somebody else in his place: %+v", s[0])
	}
}

// A camera that was turned is not counted in, and then learnt anew where it points now.
func TestTurnedCamera(t *testing.T) {
	c := newCounter(t, 5)
	scene := rough(2*width, height)
	from := func(x int) []byte {
		p := make([]byte, width*height*3/2)
		for y := range height {
			copy(p[y*width:(y+1)*width], scene[y*2*width+x:])
		}
		for i := width * height; i < len(p); i++ {
			p[i] = 128
		}
		return p
	}
	for range 6 {
		look(t, c, from(20))
	}
	if s := look(t, c, from(24)); s[0].Quality != camera.QualityOK || s[0].Present != 0 {
		t.Fatalf("swayed by four pixels: %+v", s[0])
	}
	for n := range patienceAdrift + 5 { // until it is sure, and while it learns
		want := camera.QualityCameraMoved
		if n >= patienceAdrift {
			want = camera.QualityLearning
		}
		if s := look(t, c, from(36)); s[0].Quality != want {
			t.Fatalf("picture %d after it was turned by sixteen: %+v, want %s", n, s[0], want)
		}
	}
	if s := look(t, c, from(36)); s[0].Quality != camera.QualityOK || s[0].Present != 0 {
		t.Errorf("when learnt: %+v", s[0])
	}
}

// Another picture altogether is not a crowd.
func TestAnotherSceneIsLearntAnew(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	c := newCounter(t, 5)
	for range 6 {
		look(t, c, ground(r, 1))
	}
	other := ground(r, 1)
	for i := range other[:width*height] {
		other[i] = byte(i * 7)
	}
	for n := range patienceAdrift + 5 {
		want := camera.QualityCameraMoved
		if n >= patienceAdrift {
			want = camera.QualityLearning
		}
		if s := look(t, c, other); s[0].Quality != want {
			t.Fatalf("picture %d after the change: %+v, want %s", n, s[0], want)
		}
	}
	if s := look(t, c, other); s[0].Quality != camera.QualityOK || s[0].Present > 0.3 {
		t.Errorf("when learnt: %+v", s[0])
	}
}

// The window grows to an hour without growing in memory.
func TestWindow(t *testing.T) {
	b := newBackground(width, height)
	p := make([]byte, width*height*3/2)
	for range window * maxStride * 3 {
		b.add(p, nil)
		if len(b.frames) > window || cap(b.frames) > 2*window {
			t.Fatalf("%d pictures, room for %d", len(b.frames), cap(b.frames))
		}
	}
	if b.stride != maxStride {
		t.Errorf("stride %d, want %d", b.stride, maxStride)
	}
}

func TestNewRefuses(t *testing.T) {
	for want, try := range map[string]func() (*Counter, error){
		"even sizes":       func() (*Counter, error) { return New(profile(), 8, 8, 0) },
		"want even":        func() (*Counter, error) { return New(profile(), 161, 120, 0) },
		"want 3 to 29":     func() (*Counter, error) { return New(profile(), 160, 120, 1) },
		"at least 3":       func() (*Counter, error) { return New(camera.Profile{Zones: []camera.Zone{{ID: "a"}}}, 160, 120, 0) },
		"want 28800 for 1": func() (*Counter, error) { c := newCounter(t, 0); _, err := c.Count(make([]byte, 5)); return nil, err },
	} {
		if _, err := try(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestFitSize(t *testing.T) {
	for in, want := range map[[2]int][2]int{
		{1920, 1080}: {480, 270}, {640, 360}: {480, 270}, {320, 240}: {320, 240}, {480, 360}: {416, 312}, {1, 1}: {2, 2}, {4096, 2304}: {480, 270},
	} {
		if w, h := FitSize(in[0], in[1]); [2]int{w, h} != want {
			t.Errorf("%v: got %dx%d, want %v", in, w, h, want)
		}
	}
}

func TestSingleThread(t *testing.T) {
	if err := SingleThread(); err != nil {
		t.Error(err)
	}
}

// A square with people, at keyframes: the first minutes, in which the background is rebuilt most often.
func BenchmarkCount(b *testing.B) {
	sc, err := scene.New(scene.Config{Seed: 3, Width: 480, Height: 270})
	if err != nil {
		b.Fatal(err)
	}
	c, err := New(sc.Profile(), 480, 270, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	pictures := make([][]byte, 60)
	for n := range pictures {
		pictures[n] = make([]byte, 480*270*3/2)
		sc.Render(n*10, pictures[n])
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Count(pictures[n%len(pictures)]); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
