//go:build cgo

package count

import (
	"math"

	"klarsyn/camera"
)

// Black, as pictures have it in luma and in colour.
const blackLuma, blackChroma = 16, 128

// blindMargin is by how many pixels blinds reach beyond a mask: making pictures small mixes a pixel with less than one of its
// neighbours.
const blindMargin = 1

// blinds hang before what nobody is to see, the profile's masks: black is drawn there before anything looks at a picture, and
// nothing is measured, learnt or counted there. (What this package calls its mask is what differs from the background.) Nil
// hides nothing.
type blinds struct {
	w, h    int
	at      []byte  // I420: 255 where one hangs
	sums    []int32 // integral image of its luma
	blocks  []byte  // blocks of which a part is hidden
	visible int     // pixels that are not hidden
	drawn   []byte  // the picture at hand, with them
	moved   []byte  // where they lie in a picture that was moved
}

// newBlinds hangs them before every mask, whole pixels outward; those of two by two that share a colour together.
func newBlinds(w, h int, masks []camera.Mask) *blinds {
	if len(masks) == 0 {
		return nil
	}
	n := w * h
	b := &blinds{w: w, h: h, at: make([]byte, n*3/2), sums: make([]int32, (w+1)*(h+1)), blocks: make([]byte, (w/coarse)*(h/coarse)),
		drawn: make([]byte, n*3/2), moved: make([]byte, n*3/2)}
	for _, m := range masks {
		b.hang(m.Polygon)
	}
	integrate(b.at[:n], b.sums, w, h)
	b.visible = n - int(b.sums[len(b.sums)-1])
	for i := range b.blocks {
		x, y := i%(w/coarse)*coarse, i/(w/coarse)*coarse
		if f, _ := rectangle(b.sums, w, h, float64(x), float64(y), float64(x+coarse), float64(y+coarse)); f > 0 {
			b.blocks[i] = 255
		}
	}
	return b
}

// hang hides every two by two pixels that a polygon touches.
func (b *blinds) hang(polygon []camera.Point) {
	corners := make([]camera.Point, len(polygon)) // in pixels
	low, high := camera.Point{X: math.Inf(1), Y: math.Inf(1)}, camera.Point{X: math.Inf(-1), Y: math.Inf(-1)}
	for i, p := range polygon {
		p = camera.Point{X: p.X * float64(b.w), Y: p.Y * float64(b.h)}
		corners[i] = p
		low, high = camera.Point{X: min(low.X, p.X), Y: min(low.Y, p.Y)}, camera.Point{X: max(high.X, p.X), Y: max(high.Y, p.Y)}
	}
	for y := 0; y < b.h; y += 2 {
		for x := 0; x < b.w; x += 2 {
			x0, y0, x1, y1 := float64(x)-blindMargin, float64(y)-blindMargin, float64(x)+2+blindMargin, float64(y)+2+blindMargin
			if x0 > high.X || y0 > high.Y || x1 < low.X || y1 < low.Y || !touches(corners, x0, y0, x1, y1) {
				continue
			}
			n, i, c := b.w*b.h, y*b.w+x, y/2*(b.w/2)+x/2
			for _, j := range [...]int{i, i + 1, i + b.w, i + b.w + 1, n + c, n + n/4 + c} {
				b.at[j] = 255
			}
		}
	}
}

// touches says that a polygon and a rectangle have a point in common. Where a polygon crosses itself all that its line goes
// around is in it.
func touches(corners []camera.Point, x0, y0, x1, y1 float64) bool {
	winding := 0
	at := camera.Point{X: (x0 + x1) / 2, Y: (y0 + y1) / 2}
	from := corners[len(corners)-1]
	for _, to := range corners {
		if crosses(from, to, x0, y0, x1, y1) {
			return true
		}
		if (from.Y > at.Y) != (to.Y > at.Y) && at.X < (to.X-from.X)*(at.Y-from.Y)/(to.Y-from.Y)+from.X {
			if to.Y > from.Y {
				winding++
			} else {
				winding--
			}
		}
		from = to
	}
	return winding != 0 // no line crosses the rectangle: it is in the polygon as its middle is
}

// crosses cuts a line off at the four sides of a rectangle (Liang and Barsky 1984), and says whether anything is left.
func crosses(from, to camera.Point, x0, y0, x1, y1 float64) bool {
	begin, end := 0.0, 1.0
	dx, dy := to.X-from.X, to.Y-from.Y
	for _, side := range [...]struct{ along, inside float64 }{{-dx, from.X - x0}, {dx, x1 - from.X}, {-dy, from.Y - y0}, {dy, y1 - from.Y}} {
		switch {
		case side.along == 0:
			if side.inside < 0 {
				return false
			}
		case side.along < 0:
			begin = max(begin, side.inside/side.along)
		default:
			end = min(end, side.inside/side.along)
		}
	}
	return begin <= end
}

// hides says that a value of a picture is hidden.
func (b *blinds) hides(i int) bool { return b != nil && b.at[i] != 0 }

// hidesBlock says the same of a block, of which a part may be.
func (b *blinds) hidesBlock(i int) bool { return b != nil && b.blocks[i] != 0 }

// beside says that a pixel, at least two from the picture's edge, is next to one that is hidden.
func (b *blinds) beside(i int) bool {
	return b != nil && (b.at[i-2] != 0 || b.at[i+2] != 0 || b.at[i-2*b.w] != 0 || b.at[i+2*b.w] != 0)
}

// nextTo says that a pixel, not at the picture's edge, or one of its four neighbours is hidden.
func (b *blinds) nextTo(i int) bool {
	return b != nil && (b.at[i] != 0 || b.at[i-1] != 0 || b.at[i+1] != 0 || b.at[i-b.w] != 0 || b.at[i+b.w] != 0)
}

// seen is how many of all pixels are not hidden, and at least one, as shares are of it.
func (b *blinds) seen(all int) float64 {
	if b == nil {
		return float64(all)
	}
	return float64(max(1, b.visible))
}

// over is a picture with blinds before it; the picture stays as it is.
func (b *blinds) over(picture []byte) []byte {
	if b == nil {
		return picture
	}
	copy(b.drawn, picture)
	b.draw(b.drawn)
	return b.drawn
}

// draw makes a picture black where it is hidden.
func (b *blinds) draw(picture []byte) {
	if b == nil {
		return
	}
	n := b.w * b.h
	for i, v := range b.at[:n] {
		if v != 0 {
			picture[i] = blackLuma
		}
	}
	for i, v := range b.at[n:] {
		if v != 0 {
			picture[n+i] = blackChroma
		}
	}
}

// mend puts the reference where a picture that was moved back by dx, dy has black that came with it: nothing is known of
// what is there.
func (b *blinds) mend(picture, reference []byte, r *register, dx, dy float64) {
	if b == nil {
		return
	}
	r.move(b.at, b.moved, dx, dy)
	for i, v := range b.moved {
		if v != 0 {
			picture[i] = reference[i]
		}
	}
}

// unseen says that a zone is hidden as a whole.
func (b *blinds) unseen(z camera.Zone) bool {
	if b == nil {
		return false
	}
	found := false
	for i := range b.w * b.h {
		at := camera.Point{X: (float64(i%b.w) + 0.5) / float64(b.w), Y: (float64(i/b.w) + 0.5) / float64(b.h)}
		if inside(z.Polygon, at) {
			if found = true; !b.hides(i) {
				return false
			}
		}
	}
	return found
}

// standsBehind says that somebody's feet are hidden. Feet below the picture are at its edge.
func (b *blinds) standsBehind(x, foot float64) bool {
	return b != nil && b.hides(max(0, min(b.h-1, int(foot)))*b.w+max(0, min(b.w-1, int(x))))
}
