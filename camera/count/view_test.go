//go:build cgo

package count

import (
	"math"
	"math/rand/v2"
	"testing"

	"klarsyn/camera"
	"klarsyn/camera/scene"
)

// The quality says why there is no number, and afterwards the old background is good again.
func TestWhyThereIsNoNumber(t *testing.T) {
	sc, err := scene.New(scene.Config{Seed: 3, Width: 480, Height: 270})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := scene.New(scene.Config{Seed: 8, Width: 480, Height: 270})
	if err != nil {
		t.Fatal(err)
	}
	draw := func(s *scene.Scene, n int) []byte {
		p := make([]byte, 480*270*3/2)
		s.Render(n, p)
		return p
	}
	const pixels = 480 * 270
	for name, tt := range map[string]struct {
		change func(n int) []byte
		want   camera.Quality
	}{
		"night": {func(n int) []byte {
			p := draw(sc, n)
			for i, v := range p[:pixels] {
				p[i] = 16 + v/16
			}
			return p
		}, camera.QualityTooDark},
		"a bag over the lens": {func(n int) []byte {
			r := rand.New(rand.NewPCG(uint64(n), 1))
			p := draw(sc, n)
			for i := range p[:pixels] {
				p[i] = byte(110 + 8*r.Float64())
			}
			return p
		}, camera.QualityObscured},
		"a lorry before half of it": {func(n int) []byte {
			p := draw(sc, n)
			for i := range p[:pixels] {
				if i%480 > 200 {
					p[i] = 70
				}
			}
			return p
		}, camera.QualityObscured},
		"fog": {func(n int) []byte {
			p := draw(sc, n)
			for i, v := range p[:pixels] {
				p[i] = byte(170 + (float64(v)-170)*0.08)
			}
			return p
		}, camera.QualityObscured},
		"turned": {func(n int) []byte { return draw(elsewhere, n) }, camera.QualityCameraMoved},
		"floodlights": {func(n int) []byte {
			p := draw(sc, n)
			for i, v := range p[:pixels] { // stripes of light over most of it, none of which is the median
				switch i % 480 / 60 % 4 {
				case 0:
					p[i] = byte(min(235, float64(v)*1.9))
				case 1:
					p[i] = byte(float64(v) * 0.5)
				case 2:
					p[i] = byte(min(235, float64(v)*1.4))
				}
			}
			return p
		}, camera.QualityLightsJumped},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(sc.Profile(), 480, 270, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			for n := range 16 {
				look(t, c, draw(sc, 20*n))
			}
			for n := range 3 {
				for _, s := range look(t, c, tt.change(400+20*n)) {
					if s.Quality != tt.want || s.Present != 0 || s.High != 0 || s.Method != Method {
						t.Fatalf("picture %d: %+v, want %s and no number", n, s, tt.want)
					}
				}
			}
			for _, s := range look(t, c, draw(sc, 480)) {
				if s.Quality != camera.QualityOK {
					t.Errorf("when it is over: %+v", s)
				}
			}
		})
	}
}

// Where everybody stays there is no background to tell, and the counter says so until they leave.
func TestWhereNobodyLeaves(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	c := newCounter(t, 10)
	crowd := func() []byte {
		p := ground(r, 1)
		for range 60 {
			person(p, 10+r.IntN(140), 32+r.IntN(86), byte(20+r.IntN(200)), 128)
		}
		return p
	}
	for n := range 40 {
		if s := look(t, c, crowd()); s[0].Quality == camera.QualityOK {
			t.Fatalf("picture %d: %+v", n, s[0])
		}
	}
	n := 0
	for ; look(t, c, ground(r, 1))[0].Quality != camera.QualityOK; n++ {
		if n > 60 {
			t.Fatal("two minutes after everybody went nothing is learnt")
		}
	}
	p := ground(r, 1)
	person(p, 30, 60, 20, 128)
	if s := look(t, c, p); s[0].Present != 1 || s[1].Present != 0 {
		t.Errorf("one has come: %+v", s)
	}
}

// A shadow that falls over much of the paving is nobody, and who stands in it is seen.
func TestShadow(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	marks := rough(width, height)
	paving := func() []byte {
		p := make([]byte, width*height*3/2)
		for i := range p {
			if p[i] = 128; i < width*height {
				p[i] = byte(float64(marks[i]) + 4*r.Float64())
			}
		}
		return p
	}
	for _, by := range []float64{0.45, 0.6, 0.75, 1.5} {
		c := newCounter(t, 10)
		for range 14 {
			look(t, c, paving())
		}
		p := paving()
		for y := 20; y < 110; y++ {
			for x := 10; x < 75; x++ {
				p[y*width+x] = byte(math.Round(float64(p[y*width+x]) * by))
			}
		}
		if s := look(t, c, p); s[0].Quality != camera.QualityOK || s[0].Present != 0 || s[1].Present != 0 {
			t.Errorf("light times %g: %+v", by, s)
		}
		person(p, 40, 80, 230, 150)
		if s := look(t, c, p); s[0].Present != 1 || s[1].Present != 0 {
			t.Errorf("somebody in light times %g: %+v", by, s)
		}
	}
}
