package scene

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Weather is what makes counting hard besides people. The zero value is a bright day with one pigeon. It changes how the
// square looks, never who is on it: one seed has one truth in any weather.
type Weather struct {
	// Sunset dims the picture to 0.15 in the middle of the loop, and the sensor's noise grows with its gain.
	Sunset bool `json:"sunset,omitempty"`
	// Shadows of clouds and of a tower take 0.3 to 0.5 of the light where they wander.
	Shadows bool `json:"shadows,omitempty"`
	// Rain begins after a quarter of the loop and ends before its last one; the ground dries more slowly.
	Rain bool `json:"rain,omitempty"`
	// Pigeons is how many walk in a flock, besides the one that is always there.
	Pigeons int `json:"pigeons,omitempty"`
}

// maxPigeons is more than a square has.
const maxPigeons = 200

// minWeatherSeconds is the shortest loop that a shower or a sunset fits into.
const minWeatherSeconds = 60

func (w Weather) validate(seconds float64) error {
	if w.Pigeons < 0 || w.Pigeons > maxPigeons {
		return fmt.Errorf("scene: weather: pigeons %d: want 0 to %d", w.Pigeons, maxPigeons)
	}
	if w != (Weather{}) && seconds < minWeatherSeconds {
		return fmt.Errorf("scene: weather in a loop of %g seconds: want at least %d", seconds, minWeatherSeconds)
	}
	return nil
}

// sky is what the weather needs to be drawn; nil in a scene without any. Its random numbers are its own, so that square
// and people are the same without it.
type sky struct {
	Weather
	v      *view
	loop   float64
	clouds []cloud
	tower  tower
	gloss  []byte // how much of the sky wet ground shows, by pixel
	flock  flock
	seed   uint64 // of the drops
}

func newSky(seed uint64, w Weather, v *view, loop float64) *sky {
	if w == (Weather{}) {
		return nil
	}
	r := rand.New(rand.NewPCG(seed, 0x77656174686572)) // "weather"
	k := &sky{Weather: w, v: v, loop: loop, seed: r.Uint64()}
	if w.Shadows {
		k.clouds, k.tower = drift(r, v, loop), raise(r, v, loop)
	}
	if w.Rain {
		k.gloss = puddles(v)
	}
	if w.Pigeons > 0 {
		k.flock = hatch(r, v, w.Pigeons, loop)
	}
	return k
}

// ease goes from 0 at from to 1 at to, smoothly.
func ease(x, from, to float64) float64 {
	t := min(max((x-from)/(to-from), 0), 1)
	return t * t * (3 - 2*t)
}

// dusk is how bright the picture is at a share of the loop: day, night in the middle, day. The camera's exposure has
// made good what it could.
func (k *sky) dusk(share float64) float64 {
	if k == nil || !k.Sunset {
		return 1
	}
	return 1 - 0.85*(ease(share, 0.15, 0.45)-ease(share, 0.55, 0.85))
}

// raining is how hard it rains, wet how much of that lies on the ground.
func (k *sky) raining(share float64) float64 {
	if k == nil || !k.Rain {
		return 0
	}
	gusts := 0.85 + 0.15*math.Sin(2*math.Pi*share*whole(k.loop/50))
	return gusts * (ease(share, 0.25, 0.32) - ease(share, 0.60, 0.68))
}

func (k *sky) wet(share float64) float64 {
	if k == nil || !k.Rain {
		return 0
	}
	return ease(share, 0.26, 0.36) - ease(share, 0.62, 0.85)
}

// sun is what is left of the sun's own light, which casts people's shadows.
func (k *sky) sun(share float64) float64 {
	return max(k.dusk(share)-0.3, 0) / 0.7 * (1 - 0.9*max(k.raining(share), 0.5*k.wet(share)))
}

// noise is by how much the sensor's noise is stronger than by day.
func (k *sky) noise(share float64) float64 { return 1 + (1-k.dusk(share))/0.85 }

// light copies the background as the weather lights it, row by row: what is in a shadow has the sky's light alone, which is
// bluer.
func (k *sky) light(c *canvas, background []byte, columns []float64, share float64, warm int) {
	v := k.v
	n, half := v.w*v.h, v.w/2
	sh := k.shades(share)
	wet := 30 * k.wet(share) * k.dusk(share)
	row := make([]float64, v.w)
	for y := range v.h {
		k.shadeRow(sh, y, row)
		src, dst := background[y*v.w:y*v.w+v.w], c.y[y*v.w:y*v.w+v.w]
		for x := range dst {
			l := (float64(src[x])-16)*columns[x]*row[x] + 16
			if k.gloss != nil {
				l += wet * float64(k.gloss[y*v.w+x]) / 255
			}
			dst[x] = byte(min(max(l, 0), 255))
		}
		if y%2 != 0 {
			continue
		}
		at := y / 2 * half
		for x := range half {
			blue := warm - int(math.Round(5*(1-row[2*x]))) // at most 2 or 3 levels
			c.u[at+x] = byte(int(background[n+at+x]) - blue)
			c.v[at+x] = byte(int(background[n+n/4+at+x]) + blue)
		}
	}
}

// grade is what the air and a sensor at full gain do to a finished picture: rain veils it, and colours fade in the dark.
func (k *sky) grade(c *canvas, share float64) {
	rain, dusk := k.raining(share), k.dusk(share)
	var luma, chroma [256]byte
	for i := range 256 {
		veiled := (float64(i)-16)*(1-0.28*rain) + 16 + 26*rain*dusk
		luma[i] = byte(min(max(veiled, 0), 255) + 0.5)
		chroma[i] = byte((float64(i)-128)*(0.45+0.55*dusk)*(1-0.3*rain) + 128.5)
	}
	for i, l := range c.y {
		c.y[i] = luma[l]
	}
	for _, plane := range [][]byte{c.u, c.v} {
		for i, u := range plane {
			plane[i] = chroma[u]
		}
	}
	k.drops(c, share, rain)
}
