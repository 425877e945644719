package scene

import (
	"math"
	"math/rand/v2"
)

// person is one way over the square, walked once per loop. Nobody stays for ever: a loop has no end, and
// who never leaves would belong to the square for every observer.
type person struct {
	start  float64 // when the way begins, within the loop
	length float64 // how long it takes, at most the loop
	legs   []leg
	tall   float64 // metres
	look   look
	gait   float64 // phase of the first step
}

// leg is a straight stretch at constant speed, or a stay (x0 = x1).
type leg struct {
	from, to       float64 // seconds since the way's beginning
	x0, z0, x1, z1 float64
	walked         float64 // metres before it
	facing         float64 // direction of the body when standing
}

func (l leg) still() bool { return l.x0 == l.x1 && l.z0 == l.z1 }

// pose is where a person is at one time and what the body does.
type pose struct {
	x, z   float64
	moving bool
	dx, dz float64 // direction of the body
	walked float64 // metres, for the legs' swing
	stood  float64 // seconds in this stay, for the sway
}

func (p *person) at(now, loop float64) (pose, bool) {
	t := math.Mod(now-p.start+loop, loop)
	if t > p.length {
		return pose{}, false
	}
	for i, l := range p.legs {
		if t > l.to && i < len(p.legs)-1 {
			continue // rounding must not open a gap after the last one
		}
		if l.still() {
			return pose{x: l.x0, z: l.z0, dx: math.Cos(l.facing), dz: math.Sin(l.facing), walked: l.walked, stood: t - l.from}, true
		}
		k := min((t-l.from)/(l.to-l.from), 1)
		dx, dz := l.x1-l.x0, l.z1-l.z0
		d := hypot(dx, dz)
		return pose{x: l.x0 + k*dx, z: l.z0 + k*dz, moving: true, dx: dx / d, dz: dz / d, walked: l.walked + k*d}, true
	}
	return pose{}, false
}

// way collects legs.
type way struct {
	legs   []leg
	x, z   float64
	t      float64
	walked float64
	speed  float64
	avoid  circle
}

func (w *way) stay(seconds, facing float64) {
	w.legs = append(w.legs, leg{from: w.t, to: w.t + seconds, x0: w.x, z0: w.z, x1: w.x, z1: w.z, walked: w.walked, facing: facing})
	w.t += seconds
}

// walk goes to a place, around the fountain if it is in the way.
func (w *way) walk(x, z float64) {
	dx, dz := x-w.x, z-w.z
	d := hypot(dx, dz)
	if d < 0.05 {
		return
	}
	k := min(max(((w.avoid.x-w.x)*dx+(w.avoid.z-w.z)*dz)/(d*d), 0), 1)
	nx, nz := w.x+k*dx-w.avoid.x, w.z+k*dz-w.avoid.z
	if off := hypot(nx, nz); off < w.avoid.r+0.5 && k > 0 && k < 1 {
		if off < 0.01 {
			nx, nz, off = -dz, dx, d
		}
		wide := w.avoid.r + 1.4
		w.straight(w.avoid.x+nx/off*wide, w.avoid.z+nz/off*wide)
	}
	w.straight(x, z)
}

func (w *way) straight(x, z float64) {
	d := hypot(x-w.x, z-w.z)
	if d < 0.05 {
		return
	}
	w.legs = append(w.legs, leg{from: w.t, to: w.t + d/w.speed, x0: w.x, z0: w.z, x1: x, z1: z, walked: w.walked})
	w.t += d / w.speed
	w.walked += d
	w.x, w.z = x, z
}

// shortLoop is the length below which nobody could cross the square and be back in time.
const shortLoop = 40.0

// cast gives everybody a way. In a loop of a minute a third meets in groups, a third stops somewhere and
// a third walks through.
func cast(r *rand.Rand, v view, n int, loop float64) []person {
	people := make([]person, 0, n)
	for len(people) < n {
		if loop < shortLoop {
			people = append(people, idler(r, v, loop))
			continue
		}
		left := n - len(people)
		switch k := r.IntN(5); {
		case k == 0 && left >= 2:
			people = append(people, group(r, v, min(left, 2+r.IntN(3)), loop, [2]float64{0.2, 0.35})...)
		case k <= 2:
			people = append(people, passer(r, v, loop, true, [2]float64{0.12, 0.40}))
		default:
			people = append(people, passer(r, v, loop, false, [2]float64{}))
		}
	}
	return people
}

func body(r *rand.Rand, w *way) person {
	return person{length: w.t, legs: w.legs, tall: manHeight * between(r, 0.93, 1.06), look: dress(r), gait: between(r, 0, 2*math.Pi)}
}

// passer crosses the square, with or without a stop, which takes a share of the loop between two.
func passer(r *rand.Rand, v view, loop float64, stops bool, stop [2]float64) person {
	for range 50 {
		w := &way{speed: between(r, 1.15, 1.7), avoid: v.fountain}
		side := r.IntN(3)
		w.x, w.z = v.outside(r, side)
		x, z := v.outside(r, (side+1+r.IntN(2))%3)
		if stops {
			w.walk(v.spot(r))
			w.stay(between(r, stop[0], stop[1])*loop, between(r, 0, 2*math.Pi))
		} else if r.IntN(2) == 0 {
			w.walk(v.spot(r))
		}
		w.walk(x, z)
		if w.t < 0.97*loop {
			p := body(r, w)
			p.start = between(r, 0, loop)
			return p
		}
	}
	return idler(r, v, loop)
}

// group comes together from different sides, stands in a ring and parts again.
func group(r *rand.Rand, v view, n int, loop float64, stays [2]float64) []person {
	cx, cz := v.spot(r)
	meet, stay := between(r, 0, loop), between(r, stays[0], stays[1])*loop
	out := make([]person, 0, n)
	for i := range n {
		a := 2*math.Pi*float64(i)/float64(n) + between(r, -0.2, 0.2)
		x, z := cx+0.75*math.Cos(a), cz+0.75*math.Sin(a)
		var p person
		for try := 0; ; try++ {
			w := &way{speed: between(r, 1.15, 1.6), avoid: v.fountain}
			w.x, w.z = v.outside(r, r.IntN(3))
			w.walk(x, z)
			arrived := w.t
			w.stay(stay+between(r, 0, 4), a+math.Pi)
			w.walk(v.outside(r, r.IntN(3)))
			if w.t < 0.97*loop {
				p = body(r, w)
				p.start = math.Mod(meet+between(r, 0, 4)-arrived+2*loop, loop)
				break
			}
			if try == 50 {
				p = idler(r, v, loop)
				break
			}
		}
		out = append(out, p)
	}
	return out
}

// idler is for loops too short to come and go: it walks a ring as long as the loop allows, or stands.
func idler(r *rand.Rand, v view, loop float64) person {
	w := &way{speed: between(r, 0.8, 1.4), avoid: circle{x: v.fountain.x, z: v.fountain.z}}
	cx, cz := v.spot(r)
	if r.IntN(2) == 0 {
		w.x, w.z = cx, cz
		w.stay(loop, between(r, 0, 2*math.Pi))
		return body(r, w)
	}
	const corners = 24
	radius := w.speed * min(loop, 20) / (2 * math.Pi)
	radius = min(radius, 2.5)
	w.x, w.z = cx+radius, cz
	for i := 1; i <= corners; i++ {
		a := 2 * math.Pi * float64(i) / corners
		w.straight(cx+radius*math.Cos(a), cz+radius*math.Sin(a))
	}
	// Stretch the walk to the loop: the last step must meet the first.
	k := loop / w.t
	for i := range w.legs {
		w.legs[i].from *= k
		w.legs[i].to *= k
	}
	w.t = loop
	p := body(r, w)
	p.length = loop
	return p
}

// outside is a place beyond the left (0), right (1) or lower (2) edge, where nobody can be seen.
func (v *view) outside(r *rand.Rand, side int) (x, z float64) {
	if side == 2 {
		// So far below that the head is out of the picture, too.
		z = v.depth(1.45)
		return between(r, -0.4, 0.4) * z / v.fx, z
	}
	row := between(r, v.stairRow+0.02, 0.85)
	z = v.depth(row)
	x = z/v.fx/2 + 1.2
	if side == 0 {
		x = -x
	}
	return x, z
}

// spot is a place on the square, or now and then on the stairs, clear of the fountain.
func (v *view) spot(r *rand.Rand) (x, z float64) {
	for {
		if r.IntN(5) == 0 {
			row := between(r, v.backRow+0.03, v.stairRow-0.02)
			x, z = between(r, v.stairX[0]+0.8, v.stairX[1]-0.8), v.depth(row)
			if px, _ := v.project(x, z); px < 0.05 || px > 0.95 {
				continue
			}
			return x, z
		}
		x, z = v.ground(between(r, 0.08, 0.92), between(r, v.stairRow+0.03, 0.93))
		if hypot(x-v.fountain.x, z-v.fountain.z) > v.fountain.r+1.5 {
			return x, z
		}
	}
}
