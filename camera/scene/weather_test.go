package scene

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
)

// long is forty minutes of a small square, one frame a second.
func long(seed uint64, w Weather) Config {
	return Config{Seed: seed, Width: 320, Height: 180, FPS: 1, Frames: 2400, Crowd: 7, Weather: w}
}

// Weather changes the picture, in the same way each time, and never who is there.
func TestWeatherChangesThePictureAndNotTheTruth(t *testing.T) {
	for name, w := range map[string]Weather{
		"sunset": {Sunset: true}, "shadows": {Shadows: true}, "rain": {Rain: true}, "pigeons": {Pigeons: 25},
		"all": {Sunset: true, Shadows: true, Rain: true, Pigeons: 10},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				fair, a, b := must(t, long(seed, Weather{})), must(t, long(seed, w)), must(t, long(seed, w))
				for _, n := range []int{0, 600, 1100, 1500, 2399} {
					if fmt.Sprint(a.Truth(n)) != fmt.Sprint(fair.Truth(n)) {
						t.Fatalf("seed %d frame %d: the truth changes with the weather", seed, n)
					}
					if !bytes.Equal(frame(a, n), frame(b, n)) || !bytes.Equal(frame(a, n), frame(a, n+2400)) {
						t.Fatalf("seed %d frame %d: one configuration gives two pictures", seed, n)
					}
				}
				if bytes.Equal(frame(a, 1100), frame(fair, 1100)) {
					t.Errorf("seed %d: the picture does not change", seed)
				}
				seam := difference(frame(a, 2399), frame(a, 0))
				if usual := difference(frame(a, 1200), frame(a, 1201)); seam > 1.5*usual+0.5 {
					t.Errorf("seed %d: the seam differs by %.2f a pixel, other neighbours by %.2f", seed, seam, usual)
				}
			}
		})
	}
}

// bare is a square without people, in a weather.
func bare(t *testing.T, seed uint64, w Weather) *Scene {
	s := must(t, long(seed, w))
	s.people = nil
	return s
}

// light is the mean of a picture's luma above black.
func light(s *Scene, n int) float64 {
	sum := 0.0
	b := frame(s, n)[:s.cfg.Width*s.cfg.Height]
	for _, v := range b {
		sum += float64(v) - 16
	}
	return sum / float64(len(b))
}

func TestSunset(t *testing.T) {
	for seed := range uint64(3) {
		fair, s := bare(t, seed, Weather{}), bare(t, seed, Weather{Sunset: true})
		before := 2.0
		for n := 0; n <= 2400; n += 60 {
			share := light(s, n) / light(fair, n)
			if n <= 1200 && share > before+0.02 || n > 1200 && share < before-0.02 {
				t.Errorf("seed %d frame %d: light goes from %.2f to %.2f", seed, n, before, share)
			}
			before = share
			if d := math.Abs(share - s.sky.dusk(float64(n%2400)/2400)); d > 0.03 {
				t.Errorf("seed %d frame %d: light is off by %.2f", seed, n, d)
			}
		}
		if night := light(s, 1200) / light(fair, 1200); math.Abs(night-0.15) > 0.03 {
			t.Errorf("seed %d: at night %.2f of the light, want 0.15", seed, night)
		}
		// The houses do not move: what differs on them from second to second is noise.
		day, night := difference(frame(s, 0)[:320*20], frame(s, 1)[:320*20]), difference(frame(s, 1200)[:320*20], frame(s, 1201)[:320*20])
		if night < 1.6*day || night > 2.6*day {
			t.Errorf("seed %d: noise goes from %.2f to %.2f", seed, day, night)
		}
	}
}

// Shadows keep 0.5 to 0.7 of the light, cover much of the square at times, and wander.
func TestShadows(t *testing.T) {
	for seed := range uint64(4) {
		fair, s := bare(t, seed, Weather{}), bare(t, seed, Weather{Shadows: true})
		most, least, moved := 0.0, 1.0, 0.0
		var last []bool
		for n := 0; n < 2400; n += 60 {
			a, b := frame(s, n), frame(fair, n)
			from, shades := int(s.view.stairRow*180)*320, s.sky.shades(float64(n)/2400)
			dark, here := 0.0, make([]bool, 0, 320*180)
			for i := from; i < 320*180; i++ {
				x, z := s.view.ground((float64(i%320)+0.5)/320, (float64(i/320)+0.5)/180)
				l := lit(shades, x, z)
				here = append(here, l < 0.99)
				if l < 0.99 {
					dark++
				}
				if l < 0.499 || l > 1 {
					t.Fatalf("seed %d frame %d: %.2f of the light", seed, n, l)
				}
				if i%97 == 0 && math.Abs((float64(a[i])-16)-(float64(b[i])-16)*l) > 12 && hypot(x-s.view.fountain.x, z-s.view.fountain.z) > s.view.fountain.r+3 && !lamped(s, x, z) {
					t.Fatalf("seed %d frame %d: %d where the light is %.2f of %d", seed, n, a[i], l, b[i])
				}
			}
			share := dark / float64(len(here))
			most, least = max(most, share), min(least, share)
			for i := range last {
				if last[i] != here[i] {
					moved += 1 / float64(len(here))
				}
			}
			last = here
		}
		if most < 0.2 || most-least < 0.1 || moved < 0.5 {
			t.Errorf("seed %d: shadows cover %.2f to %.2f of the square, and %.2f squares change", seed, least, most, moved)
		}
	}
}

// Each cloud crosses, and the tower's shadow swings: after two minutes a good part of each lies elsewhere.
func TestEveryShadowWanders(t *testing.T) {
	for seed := range uint64(4) {
		s := bare(t, seed, Weather{Shadows: true})
		for i := range s.sky.shades(0) {
			seen, left := 0.0, 0.0
			for n := 0; n < 2400; n += 120 {
				now, then := s.sky.shades(float64(n) / 2400)[i:i+1], s.sky.shades(float64(n+120) / 2400)[i:i+1]
				for x := -20.0; x < 20; x += 0.5 {
					for z := 7.0; z < 25; z += 0.5 {
						if lit(now, x, z) < 0.9 {
							seen++
							if lit(then, x, z) > 0.9 {
								left++
							}
						}
					}
				}
			}
			if seen == 0 || left < 0.15*seen {
				t.Errorf("seed %d: shadow %d leaves %.0f of %.0f places within two minutes", seed, i, left, seen)
			}
		}
	}
}

// lamped says that a lamp or a bench may be before a place, or the bird: they are lit by where they stand.
func lamped(s *Scene, x, z float64) bool {
	return z > s.view.stairZ-6 || hypot(x-s.set.bird.cx, z-s.set.bird.cz) < 9
}

// Whoever stands in a shadow is darker, too.
func TestPeopleInShadowsAreDarker(t *testing.T) {
	dark, all := 0.0, 0.0
	for seed := range uint64(4) {
		fair, s := must(t, long(seed, Weather{})), must(t, long(seed, Weather{Shadows: true}))
		for n := 0; n < 2400; n += 40 {
			a, b := frame(s, n), frame(fair, n)
			for _, p := range s.Truth(n).Boxes {
				x, z := s.view.ground(p.FootX, p.FootY)
				if p.H < 0.12 || p.FootY > 0.98 || lit(s.sky.shades(float64(n)/2400), x, z) > 0.72 {
					continue
				}
				var is, was float64
				for y := int((p.Y + 0.25*p.H) * 180); y < int((p.Y+0.5*p.H)*180); y++ {
					for px := int((p.X + 0.4*p.W) * 320); px < int((p.X+0.6*p.W)*320); px++ {
						is, was = is+float64(a[y*320+px])-16, was+float64(b[y*320+px])-16
					}
				}
				if was <= 0 {
					continue
				}
				all++
				if is < 0.85*was {
					dark++
				}
			}
		}
	}
	if all < 20 || dark < 0.9*all {
		t.Errorf("%.0f of %.0f people in shadows are darker", dark, all)
	}
}

// In the rain the ground is brighter and the contrast lower; before and after it is as always.
func TestRain(t *testing.T) {
	for seed := range uint64(3) {
		fair, s := bare(t, seed, Weather{}), bare(t, seed, Weather{Rain: true})
		for _, n := range []int{0, 500, 2100, 2399} {
			if d := difference(frame(s, n), frame(fair, n)); d > 1 {
				t.Errorf("seed %d frame %d: dry, and a pixel differs by %.2f", seed, n, d)
			}
		}
		ground := func(s *Scene, n int) (mean, spread float64) {
			b := frame(s, n)[320*100 : 320*180]
			var a, aa float64
			for _, v := range b {
				a, aa = a+float64(v), aa+float64(v)*float64(v)
			}
			k := float64(len(b))
			return a / k, math.Sqrt(aa/k - a/k*a/k)
		}
		mean, spread := ground(s, 1100)
		was, wide := ground(fair, 1100)
		if mean < was+8 || spread > 0.9*wide {
			t.Errorf("seed %d: ground of %.0f±%.0f becomes %.0f±%.0f", seed, was, wide, mean, spread)
		}
		// Streaks: some pixels are much brighter than a moment before and after, and hardly any darker.
		a, b, c, bright, dark := frame(s, 1099), frame(s, 1100), frame(s, 1101), 0, 0
		for i := range 320 * 40 {
			switch {
			case int(b[i])-int(max(a[i], c[i])) > 14:
				bright++
			case int(min(a[i], c[i]))-int(b[i]) > 14:
				dark++
			}
		}
		if bright < 40 || bright > 320*40/8 || 5*dark > bright {
			t.Errorf("seed %d: %d pixels in streaks, %d darker", seed, bright, dark)
		}
	}
}

// Pigeons are small, walk slowly, fly seldom, and are many.
func TestPigeons(t *testing.T) {
	for seed := range uint64(3) {
		s, none := bare(t, seed, Weather{Pigeons: 25}), bare(t, seed, Weather{Pigeons: 1})
		f := &s.sky.flock
		flying, walked, n := 0, 0.0, 0
		for frame := 0; frame < 2400; frame++ {
			for i := range f.birds {
				x, z, up, _ := f.at(&f.birds[i], float64(frame)/2400)
				nx, nz, next, _ := f.at(&f.birds[i], float64(frame+1)/2400)
				n++
				if up > 0 || next > 0 {
					flying++
				} else if d := hypot(nx-x, nz-z); d > 0.6 {
					t.Fatalf("seed %d frame %d: a bird walks at %.2f m/s", seed, frame, d)
				} else {
					walked += d
				}
			}
		}
		if share := float64(flying) / float64(n); share == 0 || share > 0.08 {
			t.Errorf("seed %d: birds fly for %.3f of the time", seed, share)
		}
		if speed := walked / float64(n); speed < 0.05 {
			t.Errorf("seed %d: birds walk at %.3f m/s", seed, speed)
		}
		changed := 0
		a, b := frame(s, 1000), frame(none, 1000)
		for i := range 320 * 180 {
			if a[i] != b[i] {
				changed++
			}
		}
		if changed < 100 || changed > 320*180/30 {
			t.Errorf("seed %d: the flock changes %d pixels", seed, changed)
		}
		if tr := s.Truth(1000); len(tr.Boxes) != 0 {
			t.Errorf("seed %d: pigeons count: %+v", seed, tr)
		}
	}
}

func TestWeatherIsValidated(t *testing.T) {
	minute := Config{Frames: 600}
	with := func(c Config, f func(*Config)) Config { f(&c); return c }
	for want, c := range map[string]Config{
		"crowd -1: want 0 to 150":                           {Frames: 1200, Crowd: -1, People: 0},
		"crowd 151: want 0 to 150":                          {Frames: 1200, Crowd: 151},
		"people 3 and crowd 5: want one of them":            {Frames: 1200, People: 3, Crowd: 5},
		"crowd in frames 600: want at least 1200":           {Crowd: 5},
		"standing -1: want 0 to 50":                         with(minute, func(c *Config) { c.Standing = -1 }),
		"standing 51: want 0 to 50":                         with(minute, func(c *Config) { c.Standing = 51 }),
		"standing in frames 600: want at least":             with(minute, func(c *Config) { c.Standing = 1 }),
		"pigeons -1: want 0 to 200":                         with(minute, func(c *Config) { c.Weather.Pigeons = -1 }),
		"pigeons 201: want 0 to 200":                        with(minute, func(c *Config) { c.Weather.Pigeons = 201 }),
		"weather in a loop of 30 seconds: want at least 60": {Frames: 300, Weather: Weather{Rain: true}},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := with(minute, func(c *Config) { c.Weather = Weather{true, true, true, 200} }).Validate(); err != nil {
		t.Error(err)
	}
}

func TestWeatherAsJSON(t *testing.T) {
	var c Config
	if err := json.Unmarshal([]byte(`{"seed":3,"crowd":60,"standing":2,"weather":{"sunset":true,"shadows":true,"rain":true,"pigeons":9}}`), &c); err != nil {
		t.Fatal(err)
	}
	if want := (Config{Seed: 3, Crowd: 60, Standing: 2, Weather: Weather{true, true, true, 9}}); c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
	plain, err := json.Marshal(Config{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"seed":3,"width":0,"height":0,"fps":0,"frames":0,"people":0}`; string(plain) != want {
		t.Errorf("without weather: %s, want %s", plain, want)
	}
}
