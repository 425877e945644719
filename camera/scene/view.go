package scene

import (
	"math/rand/v2"

	"klarsyn/camera"
)

// manHeight is the average person in metres; it makes the scale of the perspective.
const manHeight = 1.72

// view is the camera: ground coordinates are metres, X to the right and Z away from the mast; picture
// coordinates are fractions. The picture plane is upright (a shifted lens rather than a tilted one), so
// verticals stay vertical and the height of a person is exactly linear in the row of the feet.
type view struct {
	w, h    int
	horizon float64 // row of the horizon; may lie above the picture
	mast    float64 // height of the camera in metres
	fx, fy  float64 // focal length in widths and in heights

	backRow  float64 // where the ground ends at the houses
	stairRow float64 // where the stairs begin
	backZ    float64
	stairZ   float64
	stairX   [2]float64 // the stairs' sides
	fountain circle
	angle    float64 // of the paving
	slab     float64 // length of its squares in metres

	zones []camera.Zone
}

type circle struct{ x, z, r float64 }

func newView(r *rand.Rand, w, h int) view {
	v := view{w: w, h: h}
	v.horizon = between(r, -0.08, 0.07)
	v.mast = between(r, 6.2, 9.2)
	v.fy = between(r, 1.0, 1.25)
	v.fx = v.fy * float64(h) / float64(w)
	v.backRow = between(r, 0.21, 0.25)
	v.stairRow = between(r, 0.36, 0.42)
	_, v.backZ = v.ground(0.5, v.backRow)
	_, v.stairZ = v.ground(0.5, v.stairRow)
	v.angle, v.slab = between(r, 0, 1.57), between(r, 2.0, 3.4)

	half := v.stairZ / v.fx / 2 // half the width of the picture, in metres, where the stairs begin
	side := 1.0
	if r.IntN(2) == 0 {
		side = -1
	}
	middle, wide := side*between(r, 0.25, 0.45)*half, between(r, 0.30, 0.45)*half
	v.stairX = [2]float64{middle - wide, middle + wide}

	fx := 0.5 - side*between(r, 0.14, 0.26)
	x, z := v.ground(fx, between(r, 0.50, 0.56))
	v.fountain = circle{x, z, between(r, 2.2, 3.0)}

	v.zones = v.divide(r)
	return v
}

// divide lays the zones: east and west of a line over the square, and in two of three views the stairs.
func (v *view) divide(r *rand.Rand) []camera.Zone {
	line := between(r, -1.2, 1.2)
	at := func(x, row float64) camera.Point {
		px, _ := v.project(x, v.depth(row))
		return camera.Point{X: min(max(px, 0), 1), Y: row}
	}
	top, bottom := at(line, v.stairRow), at(line, 1)
	zones := []camera.Zone{
		{ID: "plattan-vast", Name: "Plattan väst", Polygon: []camera.Point{{X: 0, Y: v.stairRow}, top, bottom, {X: 0, Y: 1}}},
		{ID: "plattan-ost", Name: "Plattan öst", Polygon: []camera.Point{top, {X: 1, Y: v.stairRow}, {X: 1, Y: 1}, bottom}},
	}
	if r.IntN(3) > 0 {
		zones = append(zones, camera.Zone{ID: "trappan", Name: "Trappan", Polygon: []camera.Point{
			at(v.stairX[0], v.backRow), at(v.stairX[1], v.backRow), at(v.stairX[1], v.stairRow), at(v.stairX[0], v.stairRow),
		}})
	}
	return zones
}

func (v *view) sound() bool {
	return v.horizon < v.backRow && v.backRow < v.stairRow && v.backZ > v.stairZ
}

func (v *view) perspective() camera.Perspective {
	slope := manHeight / v.mast
	return camera.Perspective{Slope: slope, Offset: -slope * v.horizon}
}

// depth is the distance of the ground that is seen in a row.
func (v *view) depth(row float64) float64 { return v.fy * v.mast / (row - v.horizon) }

func (v *view) ground(x, row float64) (gx, gz float64) {
	gz = v.depth(row)
	return (x - 0.5) * gz / v.fx, gz
}

func (v *view) project(gx, gz float64) (x, row float64) {
	return 0.5 + v.fx*gx/gz, v.horizon + v.fy*v.mast/gz
}

// metre is the length of an upright metre at depth gz, in pixels.
func (v *view) metre(gz float64) float64 { return v.fy / gz * float64(v.h) }

// bodyWidth is the width of a box over its height, in pixels: shoulders and a swinging arm.
const bodyWidth = 0.40

// box is a person in the picture, if the feet are in it.
func (v *view) box(p pose, tall float64) (Box, bool) {
	x, y := v.project(p.x, p.z)
	if x < 0 || x >= 1 || y < 0 || y >= 1 {
		return Box{}, false
	}
	h := v.fy / p.z * tall
	w := h * bodyWidth * float64(v.h) / float64(v.w)
	left, right := max(x-w/2, 0), min(x+w/2, 1)
	top := max(y-h, 0)
	return Box{X: left, Y: top, W: right - left, H: y - top, FootX: x, FootY: y, Moving: p.moving}, true
}
