package scene

import (
	"math"
	"math/rand/v2"
)

// flock walks about at a place for some minutes, takes off together and lands at the next; the last leads to the first.
type flock struct {
	places []struct{ x, z float64 }
	birds  []walker
	flight float64 // share of the loop that a flight takes
}

// walker is one of its birds: it walks to and fro around the flock's middle, on a line that closes within the loop.
type walker struct {
	x, z           float64 // where it keeps in the flock
	wide           float64
	turnsX, turnsZ float64
	phaseX, phaseZ float64
	late           float64 // takes off after the others, in flights
	pale           float64
}

func hatch(r *rand.Rand, v *view, n int, loop float64) flock {
	f := flock{places: make([]struct{ x, z float64 }, int(whole(loop/240))+1), flight: 7 / loop}
	for i := range f.places {
		p := &f.places[i]
		for {
			p.x, p.z = v.ground(between(r, 0.2, 0.8), between(r, v.stairRow+0.1, 0.88))
			if hypot(p.x-v.fountain.x, p.z-v.fountain.z) > v.fountain.r+2 {
				break
			}
		}
	}
	for range n {
		a, d := between(r, 0, 2*math.Pi), 2.2*math.Sqrt(r.Float64())
		b := walker{x: d * math.Cos(a), z: d * math.Sin(a), wide: between(r, 0.3, 1.1), late: between(r, 0, 0.4), pale: between(r, 0, 1)}
		// 0.2 to 0.3 m/s, as pigeons walk.
		b.turnsX, b.turnsZ = whole(loop/(b.wide*between(r, 20, 35))), whole(loop/(b.wide*between(r, 20, 35)))
		b.phaseX, b.phaseZ = between(r, 0, 2*math.Pi), between(r, 0, 2*math.Pi)
		f.birds = append(f.birds, b)
	}
	return f
}

// at is a bird's place on the ground, the height above it and the direction across the picture.
func (f *flock) at(b *walker, share float64) (x, z, up, dx float64) {
	stay := share * float64(len(f.places))
	i := int(stay) % len(f.places)
	here, next := f.places[i], f.places[(i+1)%len(f.places)]
	// The end of a stay is the flight to the next place.
	long := f.flight * float64(len(f.places)) // of a stay
	t := ease(stay-math.Floor(stay), 1-long*(1.5-b.late), 1-long*(0.5-b.late))
	ax, az := 2*math.Pi*b.turnsX*share+b.phaseX, 2*math.Pi*b.turnsZ*share+b.phaseZ
	x = here.x + t*(next.x-here.x) + b.x + b.wide*math.Sin(ax)
	z = here.z + t*(next.z-here.z) + b.z + b.wide*math.Sin(az)
	dx = math.Cos(ax)
	if t > 0 && t < 1 {
		up, dx = 2.5*math.Sin(math.Pi*t), next.x-here.x
	}
	return x, z, up, dx
}

// actors are the flock's birds, to be drawn from far to near among the people.
func (f *flock) actors(c *canvas, v *view, share, seconds float64, gain func(x, gx, gz float64) float64) []actor {
	out := make([]actor, 0, len(f.birds))
	for i := range f.birds {
		b := &f.birds[i]
		x, z, up, dx := f.at(b, share)
		out = append(out, actor{z, func() {
			if z < 2 {
				return
			}
			px, _ := v.project(x, z)
			c.gain = gain(px*float64(v.w), x, z) * (1 + 0.5*b.pale)
			// Each pecks in its own time.
			c.pigeon(v, x, z, up, dx, share+b.phaseX/seconds, seconds)
		}})
	}
	return out
}
