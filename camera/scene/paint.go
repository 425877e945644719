package scene

import "math"

// yuv is a colour in BT.601 studio range, as decoders give it.
type yuv struct{ y, u, v float64 }

// canvas is a picture in I420: full-size luma, chroma of half the size both ways.
type canvas struct {
	w, h    int
	y, u, v []byte
	gain    float64 // of the daylight, at the place that is painted
}

func newCanvas(w, h int, dst []byte) canvas {
	n, q := w*h, w*h/4
	return canvas{w: w, h: h, y: dst[:n:n], u: dst[n : n+q : n+q], v: dst[n+q : n+2*q : n+2*q], gain: 1}
}

// capsule paints a rounded bar between two points whose radius goes from r0 to r1, all in luma pixels.
// shade makes its right flank brighter (or darker, if negative) than its left.
func (c *canvas) capsule(x0, y0, x1, y1, r0, r1 float64, col yuv, shade float64) {
	blend(c.y, c.w, c.h, x0, y0, x1, y1, r0, r1, (col.y-16)*c.gain+16, shade)
	x0, y0, x1, y1, r0, r1 = x0/2, y0/2, x1/2, y1/2, r0/2, r1/2
	blend(c.u, c.w/2, c.h/2, x0, y0, x1, y1, r0, r1, col.u, 0)
	blend(c.v, c.w/2, c.h/2, x0, y0, x1, y1, r0, r1, col.v, 0)
}

func (c *canvas) disc(x, y, r float64, col yuv, shade float64) {
	c.capsule(x, y, x, y+0.01, r, r, col, shade)
}

// reach is the part of a plane that a bar touches.
func reach(w, h int, x0, y0, x1, y1, r float64) (left, right, top, bottom int) {
	left = max(int(math.Floor(min(x0, x1)-r-1)), 0)
	right = min(int(math.Ceil(max(x0, x1)+r+1)), w-1)
	top = max(int(math.Floor(min(y0, y1)-r-1)), 0)
	bottom = min(int(math.Ceil(max(y0, y1)+r+1)), h-1)
	return left, right, top, bottom
}

func blend(plane []byte, w, h int, x0, y0, x1, y1, r0, r1, value, shade float64) {
	left, right, top, bottom := reach(w, h, x0, y0, x1, y1, max(r0, r1))
	dx, dy := x1-x0, y1-y0
	inv := 1 / (dx*dx + dy*dy + 1e-9)
	for py := top; py <= bottom; py++ {
		row := plane[py*w : py*w+w]
		fy := float64(py) + 0.5 - y0
		for px := left; px <= right; px++ {
			fx := float64(px) + 0.5 - x0
			t := min(max((fx*dx+fy*dy)*inv, 0), 1)
			r := r0 + (r1-r0)*t
			ex, ey := fx-t*dx, fy-t*dy
			d2 := ex*ex + ey*ey
			if d2 >= (r+0.5)*(r+0.5) {
				continue
			}
			a := min(r+0.5-math.Sqrt(d2), 1)
			v := value
			if shade != 0 {
				v *= 1 + shade*ex/(r+0.5)
			}
			old := float64(row[px])
			row[px] = byte(min(max(old+a*(v-old), 0), 255))
		}
	}
}

// shadow darkens the ground under a bar, softly towards its rim and its far end.
func (c *canvas) shadow(x0, y0, x1, y1, r0, r1, flat, strength float64) {
	// A shadow lies on the ground: its breadth is seen flat. Distances are measured with rows stretched.
	left, right, top, bottom := reach(c.w, c.h, x0, y0, x1, y1, max(r0, r1))
	dx, dy := x1-x0, (y1-y0)*flat
	inv := 1 / (dx*dx + dy*dy + 1e-9)
	for py := top; py <= bottom; py++ {
		row := c.y[py*c.w : py*c.w+c.w]
		fy := (float64(py) + 0.5 - y0) * flat
		for px := left; px <= right; px++ {
			fx := float64(px) + 0.5 - x0
			t := min(max((fx*dx+fy*dy)*inv, 0), 1)
			r := r0 + (r1-r0)*t
			ex, ey := fx-t*dx, fy-t*dy
			d2 := ex*ex + ey*ey
			if d2 >= r*r {
				continue
			}
			a := strength * (1 - 0.35*t) * min(2*(1-math.Sqrt(d2)/r), 1)
			row[px] = byte(float64(row[px])*(1-a) + 16*a)
		}
	}
}
