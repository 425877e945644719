//go:build cgo

package count

import "klarsyn/camera"

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
