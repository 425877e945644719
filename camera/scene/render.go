package scene

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// stage is what stands ready before the first frame is drawn.
type stage struct {
	background []byte
	noise      []int8
	noiseSeed  uint64
	wave       [256]int16 // one sine, for the water
	water      []waterPixel
	jets       []jet
	lamps      []struct{ x, z float64 }
	bird       pigeon
	sun        float64 // direction on the ground: towards the right or the left
	sunDepth   float64 // and towards the camera
	lightPhase float64
}

type waterPixel struct {
	at   int32
	a, b uint8 // phases of the two waves that cross here
}

type jet struct{ x, z, phase float64 }

// noiseSigma is the sensor's noise in luma steps.
const noiseSigma = 1.9

func build(r *rand.Rand, v view, loop float64) stage {
	st := stage{
		background: make([]byte, v.w*v.h*3/2),
		noise:      make([]int8, 1<<16),
		noiseSeed:  r.Uint64(),
		sun:        between(r, 0.5, 1.1),
		sunDepth:   between(r, -0.5, 0.3),
		lightPhase: between(r, 0, 2*math.Pi),
	}
	if r.IntN(2) == 0 {
		st.sun = -st.sun
	}
	paintBackground(&v, st.background)
	for i := range st.noise {
		st.noise[i] = int8(math.Round(min(max(r.NormFloat64()*noiseSigma, -8), 8)))
	}
	for i := range st.wave {
		st.wave[i] = int16(math.Round(16 * math.Sin(2*math.Pi*float64(i)/256)))
	}
	f := v.fountain
	for y := range v.h {
		for x := range v.w {
			row := (float64(y) + 0.5) / float64(v.h)
			if row < v.stairRow {
				continue
			}
			gx, gz := v.ground((float64(x)+0.5)/float64(v.w), row)
			d := hypot(gx-f.x, gz-f.z)
			if d >= f.r-0.35 {
				continue
			}
			st.water = append(st.water, waterPixel{
				at: int32(y*v.w + x),
				a:  uint8(int(d*190) & 255), // rings that run outwards
				b:  uint8(int(gx*120+gz*310) & 255),
			})
		}
	}
	for i := range 5 {
		a := 2 * math.Pi * float64(i) / 5
		st.jets = append(st.jets, jet{f.x + 0.35*f.r*math.Cos(a), f.z + 0.35*f.r*math.Sin(a), between(r, 0, 1)})
	}
	for _, at := range []float64{between(r, 0.10, 0.30), between(r, 0.70, 0.92)} {
		x, z := v.ground(at, v.stairRow+0.03)
		st.lamps = append(st.lamps, struct{ x, z float64 }{x, z})
	}
	x, z := v.ground(between(r, 0.25, 0.75), between(r, 0.72, 0.88))
	st.bird = pigeon{cx: x, cz: z, r: between(r, 0.5, 1.1), turns: whole(loop / 9), phase: between(r, 0, 2*math.Pi)}
	return st
}

// whole makes a number of turns per loop fit the loop.
func whole(n float64) float64 { return max(math.Round(n), 1) }

// Render draws frame n, modulo the loop, into dst: I420, w·h·3/2 bytes.
func (s *Scene) Render(n int, dst []byte) {
	f := s.phase(n)
	v, st := &s.view, &s.set
	share := float64(f) / float64(s.cfg.Frames)
	c := newCanvas(v.w, v.h, dst[:len(st.background)])

	// Clouds: the light swells and fades over the loop, and a soft edge of shade drifts across.
	turn := 2 * math.Pi * share
	daylight := 1 + 0.10*math.Sin(turn+st.lightPhase) + 0.03*math.Sin(3*turn+2*st.lightPhase)
	sunny := 0.5 + 0.5*math.Sin(turn+st.lightPhase)
	dusk := s.sky.dusk(share)
	if s.sky != nil {
		daylight *= dusk
		sunny *= s.sky.sun(share)
	}
	columns := make([]float64, v.w)
	for x := range columns {
		columns[x] = daylight * (1 + 0.035*math.Sin(2*math.Pi*float64(x)/float64(v.w)*0.8-2*turn))
	}
	warm := int(math.Round(2 * sunny)) // sunlight is warmer than a cloud's shade
	if s.sky != nil {
		s.sky.light(&c, st.background, columns, share, warm)
	} else {
		s.light(&c, columns)
		tint(c.u, st.background[v.w*v.h:], -warm)
		tint(c.v, st.background[v.w*v.h+v.w*v.h/4:], warm)
	}
	s.ripple(&c, share, dusk)
	s.populate(&c, f, share, sunny, columns)
	if s.sky != nil {
		s.sky.grade(&c, share)
	}
	s.grainOver(&c, f, s.sky.noise(share))
}

// light copies the lit background. Fixed point: this loop and grainOver are most of a frame's cost.
func (s *Scene) light(c *canvas, columns []float64) {
	fixed := make([]int32, len(columns))
	for x, g := range columns {
		fixed[x] = int32(g * 256)
	}
	for y := range c.h {
		src := s.set.background[y*c.w : y*c.w+c.w]
		dst := c.y[y*c.w : y*c.w+c.w]
		for x := range dst {
			dst[x] = byte(min(((int32(src[x])-16)*fixed[x]>>8)+16, 255))
		}
	}
}

func tint(dst, src []byte, by int) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = byte(int(src[i]) + by)
	}
}

// ripple moves the water: two waves cross, and where both crests meet it glitters.
func (s *Scene) ripple(c *canvas, share, dusk float64) {
	loop, bright := s.seconds(), int(256*dusk)
	a := uint8(int(-share * whole(loop*0.9) * 256))
	b := uint8(int(share * whole(loop*0.55) * 256))
	for _, w := range s.set.water {
		d := int(s.set.wave[w.a+a]) + int(s.set.wave[w.b+b])/2
		if d > 20 {
			d += 3 * (d - 20)
		}
		c.y[w.at] = byte(min(max(int(c.y[w.at])+d*bright>>8, 16), 235))
	}
}

// actor is something that stands on the ground and may hide what is behind it.
type actor struct {
	z    float64
	draw func()
}

func (s *Scene) populate(c *canvas, f int, share, sunny float64, columns []float64) {
	v, st := &s.view, &s.set
	now := float64(f) / float64(s.cfg.FPS)
	w, h := float64(v.w), float64(v.h)
	wet := s.sky.wet(share)
	var shades []shade
	if s.sky != nil {
		shades = s.sky.shades(share)
	}
	gain := func(x, gx, gz float64) float64 { // at a column of pixels and a place on the ground
		return columns[min(max(int(x), 0), v.w-1)] * lit(shades, gx, gz)
	}
	actors := make([]actor, 0, len(s.people)+8)
	for i := range s.people {
		who := &s.people[i]
		p, ok := who.at(now, s.seconds())
		if !ok {
			continue
		}
		px, py := v.project(p.x, p.z)
		x, y, tall := px*w, py*h, v.metre(p.z)*who.tall
		if x < -tall || x > w+tall || y-tall > h {
			continue
		}
		// Shadows first: they fall on the ground, under everybody.
		tx, ty := v.project(p.x+st.sun*who.tall*1.2, p.z+st.sunDepth*who.tall*1.2)
		bright := sunny // here
		if len(shades) > 0 && lit(shades, p.x, p.z) < 0.9 {
			bright = 0
		}
		c.shadow(x, y, tx*w, ty*h, 0.13*tall, 0.10*tall, 1.6, 0.10+0.32*bright)
		c.shadow(x-0.08*tall, y, x+0.08*tall, y, 0.09*tall, 0.09*tall, 2.6, 0.40)
		c.reflect(x, y, tall, wet)
		actors = append(actors, actor{p.z, func() {
			c.gain = gain(x, p.x, p.z)
			c.figure(x, y, tall, p, who, sign(-st.sun)*(0.3+0.7*bright))
		}})
	}
	for _, l := range st.lamps {
		actors = append(actors, actor{l.z, func() { s.lamp(c, l.x, l.z, gain, s.sky.dusk(share)) }})
	}
	for _, j := range st.jets {
		actors = append(actors, actor{j.z, func() { s.jet(c, j, share) }})
	}
	if s.sky != nil {
		actors = append(actors, s.sky.flock.actors(c, v, share, s.seconds(), gain)...)
	}
	slices.SortStableFunc(actors, func(a, b actor) int { return cmp.Compare(b.z, a.z) })
	for _, a := range actors {
		a.draw()
	}
	c.gain = gain(w/2, st.bird.cx, st.bird.cz)
	c.bird(v, &st.bird, share, s.seconds())
	c.gain = 1
}

func sign(x float64) float64 { return math.Copysign(1, x) }

func (s *Scene) lamp(c *canvas, gx, gz float64, gain func(x, gx, gz float64) float64, dusk float64) {
	px, py := s.view.project(gx, gz)
	m := s.view.metre(gz)
	x, y := px*float64(s.view.w), py*float64(s.view.h)
	c.gain = gain(x, gx, gz)
	iron := yuv{60, 130, 126}
	c.capsule(x, y, x, y-4.6*m, 0.075*m, 0.05*m, iron, 0.3)
	c.capsule(x-0.5*m, y-4.6*m, x+0.5*m, y-4.6*m, 0.05*m, 0.05*m, iron, 0)
	if dusk < 0.5 { // it burns
		day := c.gain
		defer func() { c.gain = day }()
		c.gain = max(day, 1.1)
	}
	for _, side := range []float64{-0.5, 0.5} {
		c.disc(x+side*m, y-4.4*m, 0.17*m, yuv{200, 120, 132}, 0.1)
	}
}

// jet throws drops that fall back into the basin.
func (s *Scene) jet(c *canvas, j jet, share float64) {
	px, py := s.view.project(j.x, j.z)
	m := s.view.metre(j.z)
	x, y := px*float64(s.view.w), py*float64(s.view.h)
	flights := whole(s.seconds() * 1.1)
	const drops = 7
	for i := range drops {
		t := math.Mod(share*flights+j.phase+float64(i)/drops, 1)
		up := 4 * t * (1 - t) * 1.5
		side := (t - 0.5) * 0.5 * (float64(i%3) - 1)
		c.disc(x+side*m, y-up*m, 0.030*m+0.35, yuv{206, 130, 126}, 0)
	}
}

// grainOver adds the sensor's noise. Every row starts somewhere else in the table, and so does every frame.
func (s *Scene) grainOver(c *canvas, f int, strength float64) {
	times := int(256 * strength)
	h := s.set.noiseSeed ^ uint64(f)*0x9e3779b97f4a7c15
	add := func(plane []byte, w int, shift uint) {
		for at := 0; at < len(plane); at += w {
			h ^= h << 13
			h ^= h >> 7
			h ^= h << 17
			row := plane[at : at+w]
			from := int(h >> 32 % uint64(len(s.set.noise)-maxSide))
			noise := s.set.noise[from : from+len(row)]
			for x, n := range noise {
				row[x] = byte(min(max(int(row[x])+int(n)*times>>(8+shift), 0), 255))
			}
		}
	}
	add(c.y, c.w, 0)
	add(c.u, c.w/2, 1)
	add(c.v, c.w/2, 1)
}
