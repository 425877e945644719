//go:build cgo

package count

import (
	"klarsyn/camera"
)

// silhouette is the area of a standing person over the square of the height: 0.22 within the box, and
// what shadow and closing add around it. Measured on three synthetic scenes; PETS2009 wants the same.
const silhouette = 0.265

// zone is a polygon laid out as the pixels whose owner would stand in it.
type zone struct {
	id     string
	pixels []int32   // index into the picture
	weight []float32 // people per pixel
}

// newZones lays the zones of a profile over a picture. A pixel belongs to somebody whose feet are lower:
// on average half a height. Where the feet are decides the zone and the size.
func newZones(p camera.Profile, w, h int) []zone {
	zones := make([]zone, len(p.Zones))
	for i, z := range p.Zones {
		zones[i].id = z.ID
	}
	for y := range h {
		row := (float64(y) + 0.5) / float64(h)
		foot := footRow(p.Perspective, row)
		// Feet below the picture are nobody's that a polygon could hold; count them at its edge.
		at := min(foot, 1)
		tall := p.Perspective.PersonHeight(foot) * float64(h)
		weight := float32(1 / (silhouette * tall * tall))
		for x := range w {
			pt := camera.Point{X: (float64(x) + 0.5) / float64(w), Y: at}
			for i, z := range p.Zones {
				if inside(z.Polygon, pt) {
					zones[i].pixels = append(zones[i].pixels, int32(y*w+x))
					zones[i].weight = append(zones[i].weight, weight)
				}
			}
		}
	}
	return zones
}

// footRow solves foot − height(foot)/2 = row. Height is linear with a floor; two rounds of the fixed
// point are within a pixel for every slope below one.
func footRow(p camera.Perspective, row float64) float64 {
	foot := row
	for range 8 {
		foot = row + p.PersonHeight(foot)/2
	}
	return foot
}

// inside is the even-odd rule.
func inside(polygon []camera.Point, pt camera.Point) bool {
	in := false
	j := len(polygon) - 1
	for i, a := range polygon {
		b := polygon[j]
		if (a.Y > pt.Y) != (b.Y > pt.Y) && pt.X < (b.X-a.X)*(pt.Y-a.Y)/(b.Y-a.Y)+a.X {
			in = !in
		}
		j = i
	}
	return in
}

// weigh sums people over foreground. In moving any value counts: what MOG2 calls a shadow (127) is as
// often a dark coat over light stone, and what is not a person is not in present either.
func (z zone) weigh(present, moving []byte) (all, move float64) {
	for i, p := range z.pixels {
		if present[p] != 0 {
			all += float64(z.weight[i])
			if moving[p] != 0 {
				move += float64(z.weight[i])
			}
		}
	}
	return all, move
}
