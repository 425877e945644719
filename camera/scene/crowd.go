package scene

import (
	"math"
	"math/rand/v2"
)

// throng casts people until so many are in the picture on the average, whatever the loop's length: most walk through in
// half a minute, some stop for up to four minutes, some meet for up to five.
func throng(r *rand.Rand, v view, n int, loop float64) []person {
	var people []person
	for need := float64(n) * loop; need > 0; {
		var come []person
		switch k := r.IntN(100); {
		case k < 5:
			come = group(r, v, 2+r.IntN(3), loop, [2]float64{min(60/loop, 0.3), min(300/loop, 0.35)})
		case k < 20:
			come = []person{passer(r, v, loop, true, [2]float64{min(20/loop, 0.2), min(240/loop, 0.4)})}
		default:
			come = []person{passer(r, v, loop, false, [2]float64{})}
		}
		for i := range come {
			need -= v.seen(&come[i], loop)
		}
		people = append(people, come...)
	}
	return people
}

// seen is for how many seconds of the loop somebody is in the picture.
func (v *view) seen(p *person, loop float64) (seconds float64) {
	for t := 0.5; t < p.length; t++ {
		if at, ok := p.at(p.start+t, loop); ok {
			if _, ok = v.box(at, p.tall); ok {
				seconds++
			}
		}
	}
	return seconds
}

// stayers come within the loop's first half, stand in one place for half of the loop and leave before it ends: an observer
// who began with the loop has seen their places empty.
func stayers(r *rand.Rand, v view, n int, loop float64) []person {
	people := make([]person, 0, n)
	type place struct{ x, z float64 }
	var taken []place
	free := func(x, z float64) bool {
		for _, o := range taken {
			if hypot(o.x-x, o.z-z) < 0.9 {
				return false
			}
		}
		return true
	}
	for len(people) < n {
		x, z := v.spot(r)
		if !free(x, z) {
			continue
		}
		w := &way{speed: between(r, 1.15, 1.7), avoid: v.fountain}
		w.x, w.z = v.outside(r, r.IntN(3))
		w.walk(x, z)
		arrived := w.t
		w.stay(loop/2, between(r, 0, 2*math.Pi))
		w.walk(v.outside(r, r.IntN(3)))
		// Arrival, stay and way back must fit in before the seam.
		latest := 0.97*loop - w.t
		if latest < 0.04*loop {
			continue
		}
		p := body(r, w)
		p.start = max(between(r, 0.05, 0.42)*loop-arrived, 0.04*loop)
		p.start = min(p.start, latest)
		taken = append(taken, place{x, z})
		people = append(people, p)
	}
	return people
}
