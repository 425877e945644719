package scene

import (
	"math"
	"math/rand/v2"
)

// cloud is a shadow of three round lobes that crosses the square a whole number of times per loop. Where it begins again
// nobody sees: both ends lie outside the picture.
type cloud struct {
	lobes        [3]struct{ x, z, r float64 }
	z, reach     float64 // where it crosses, and how far to both sides
	turns, phase float64
	keeps        float64 // share of the light that is left in it
}

// tower is a high house beside the square whose shadow, a strip, swings over it as the sun goes.
type tower struct {
	x, z, half   float64 // its foot, and half the shadow's breadth
	middle, wide float64 // angles of the strip: about which, and how far
	turns, phase float64
	keeps        float64
}

func drift(r *rand.Rand, v *view, loop float64) []cloud {
	out := make([]cloud, 3)
	near := v.depth(1)
	for i := range out {
		c := &out[i]
		c.z = between(r, near+1, v.stairZ+2)
		size := between(r, 3.5, 6)
		for j := range c.lobes {
			l := &c.lobes[j]
			l.x, l.z, l.r = (float64(j)-1)*size*between(r, 0.7, 1), between(r, -0.35, 0.35)*size, size*between(r, 0.7, 1)
		}
		c.reach = v.backZ/v.fx/2 + 2*size
		c.turns, c.phase = whole(loop/between(r, 300, 500)), between(r, 0, 1)
		c.keeps = between(r, 0.5, 0.7)
		if r.IntN(2) == 0 {
			c.turns = -c.turns
		}
	}
	return out
}

func raise(r *rand.Rand, v *view, loop float64) tower {
	side := 1.0
	if r.IntN(2) == 0 {
		side = -1
	}
	t := tower{
		x: side * (v.stairZ / v.fx / 2) * 1.3, z: v.stairZ * 1.1, half: between(r, 2.2, 3.5),
		wide: between(r, 0.35, 0.5), turns: whole(loop / 1200), phase: between(r, 0, 2*math.Pi), keeps: between(r, 0.5, 0.6),
	}
	// It points at the middle of the square.
	t.middle = math.Atan2((v.depth(1)+v.stairZ)/2-t.z, -t.x)
	return t
}

// shade is a shadow at one time.
type shade struct {
	keeps  float64
	lobes  [3]struct{ x, z, r float64 }
	tower  *tower
	dx, dz float64 // of the tower's strip
}

// softness is the breadth of a shadow's edge in metres.
const softness = 0.5

func (k *sky) shades(share float64) []shade {
	if !k.Shadows {
		return nil
	}
	// Without the sun there are none.
	strong := k.sun(share)
	out := make([]shade, 0, len(k.clouds)+1)
	for i := range k.clouds {
		c := &k.clouds[i]
		at := c.turns*share + c.phase
		x := c.reach * (2*(at-math.Floor(at)) - 1)
		s := shade{keeps: 1 - strong*(1-c.keeps), lobes: c.lobes}
		for j := range s.lobes {
			s.lobes[j].x += x
			s.lobes[j].z += c.z
		}
		out = append(out, s)
	}
	t := &k.tower
	a := t.middle + t.wide*math.Sin(2*math.Pi*t.turns*share+t.phase)
	return append(out, shade{keeps: 1 - strong*(1-t.keeps), tower: t, dx: math.Cos(a), dz: math.Sin(a)})
}

// inside is how far a place on the ground lies in the shadow, in metres; negative outside of it.
func (s *shade) inside(x, z float64) float64 {
	if t := s.tower; t != nil {
		x, z = x-t.x, z-t.z
		if x*s.dx+z*s.dz < 0 {
			return -1
		}
		return t.half - math.Abs(x*s.dz-z*s.dx)
	}
	deepest := -1.0
	for i := range s.lobes {
		l := &s.lobes[i]
		dx, dz := x-l.x, z-l.z
		if reach := l.r + softness; dz < -reach || dz > reach || dx < -reach || dx > reach {
			continue
		}
		deepest = max(deepest, l.r-hypot(dx, dz))
	}
	return deepest
}

// crosses says that something at a distance from the mast may lie in the shadow.
func (s *shade) crosses(z float64) bool {
	for _, l := range s.lobes {
		if math.Abs(z-l.z) < l.r+softness {
			return true
		}
	}
	return s.tower != nil
}

// lit is the share of the light that falls on a place. Where two shadows lie over one another the sun is hidden once.
func lit(shades []shade, x, z float64) float64 {
	left := 1.0
	for i := range shades {
		s := &shades[i]
		if d := s.inside(x, z); d > -softness/2 {
			left = min(left, 1-(1-s.keeps)*min((d+softness/2)/softness, 1))
		}
	}
	return left
}

// shadeRow is the light on what is seen in a row of pixels: the ground, and above it the houses, which stand in line.
func (k *sky) shadeRow(shades []shade, y int, row []float64) {
	v := k.v
	at := (float64(y) + 0.5) / float64(v.h)
	z := v.backZ
	if at > v.backRow {
		z = v.depth(at)
	}
	// Most shadows lie on other rows.
	var here []shade
	for i := range shades {
		if shades[i].crosses(z) {
			here = append(here, shades[i])
		}
	}
	for x := range row {
		row[x] = lit(here, ((float64(x)+0.5)/float64(v.w)-0.5)*z/v.fx, z)
	}
}
