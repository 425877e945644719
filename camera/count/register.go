//go:build cgo

package count

import "math"

const (
	// coarse is the size of the blocks of the first search, and reach how many of them it looks in each direction.
	coarse = 4
	reach  = 3
	// tolerated is the difference beyond which a pixel tells of people and not of the camera.
	tolerated = 30
	// steady is the shake, in pixels, that is left as it is.
	steady = 0.12
)

// blocks is a luma plane made small by averaging.
type blocks struct {
	w, h int
	luma []byte
}

func (b *blocks) fill(luma []byte, w, h int) {
	b.w, b.h = w/coarse, h/coarse
	if len(b.luma) != b.w*b.h {
		b.luma = make([]byte, b.w*b.h)
	}
	for y := range b.h {
		for x := range b.w {
			sum := 0
			for dy := range coarse {
				row := luma[(y*coarse+dy)*w+x*coarse:]
				for _, v := range row[:coarse] {
					sum += int(v)
				}
			}
			b.luma[y*b.w+x] = byte(sum / (coarse * coarse))
		}
	}
}

// unlike is the mean of the differences, each cut off, between a plane and a reference that is moved by dx, dy, on
// every step'th pixel away from the edge.
func unlike(plane, reference []byte, w, h, edge, step, dx, dy int) float64 {
	sum, n := 0, 0
	for y := edge; y < h-edge; y += step {
		a, b := plane[(y+dy)*w:], reference[y*w:]
		for x := edge; x < w-edge; x += step {
			d := int(a[x+dx]) - int(b[x])
			if d < 0 {
				d = -d
			}
			sum += min(d, tolerated)
			n++
		}
	}
	return float64(sum) / float64(max(1, n))
}

// worse is by how much less a plane is like a reference that is moved by dx, dy than by x, y, on what is hidden in neither
// place: somebody whom one of them would put behind a blind tells nothing of either.
func worse(plane, reference, hidden []byte, w, h, edge, step, dx, dy, x0, y0 int) float64 {
	sum, n := 0, 0
	for y := edge; y < h-edge; y += step {
		for x := edge; x < w-edge; x += step {
			here, at := y*w+x, (y+dy)*w+x+dx
			other := at - y0*w - x0
			if hidden[at] != 0 || hidden[here] != 0 || hidden[other] != 0 {
				continue
			}
			v := plane[at]
			sum += min(int(off(v, reference[here])), tolerated) - min(int(off(v, reference[other])), tolerated)
			n++
		}
	}
	return float64(sum) / float64(max(1, n))
}

// nearest tries all shifts up to span around x, y and returns the one at which plane is most like reference, on what hidden
// does not mark; nil marks nothing.
func nearest(plane, reference, hidden []byte, w, h, edge, step, span, x, y int) (bestX, bestY int) {
	// Of equals the smaller shift: a wall without marks tells nothing.
	best := math.Inf(1)
	for dy := y - span; dy <= y+span; dy++ {
		for dx := x - span; dx <= x+span; dx++ {
			u := 1e-3 * float64(dx*dx+dy*dy)
			if hidden == nil {
				u += unlike(plane, reference, w, h, edge, step, dx, dy)
			} else {
				u += worse(plane, reference, hidden, w, h, edge, step, dx, dy, x, y)
			}
			if u < best {
				best, bestX, bestY = u, dx, dy
			}
		}
	}
	return bestX, bestY
}

// shift finds by how many pixels a picture's luma lies to the right of and below the reference's: coarsely by blocks,
// then by pixels, then by one step of Lucas and Kanade's. atEdge says that it may lie further than was looked.
func (r *register) shift(luma, reference []byte) (dx, dy float64, atEdge bool) {
	w, h := r.w, r.h
	if min(w, h) < 2*coarse*(2*reach+4) {
		return 0, 0, false
	}
	r.now.fill(luma, w, h)
	// Blinds hang still before a square that sways: they would hold it fast.
	var blocks, pixels []byte
	if r.blinds != nil {
		blocks, pixels = r.blinds.blocks, r.blinds.at
	}
	cx, cy := nearest(r.now.luma, r.known.luma, blocks, r.now.w, r.now.h, reach, 1, reach, 0, 0)
	edge := coarse*(reach+1) + 2
	ix, iy := nearest(luma, reference, pixels, w, h, edge, 5, 3, coarse*cx, coarse*cy)
	var xx, xy, yy, xt, yt float64
	for y := edge; y < h-edge; y += 2 {
		for x := edge; x < w-edge; x += 2 {
			i := y*w + x
			if r.blinds.hides(i+iy*w+ix) || r.blinds.nextTo(i) {
				continue
			}
			t := float64(luma[(y+iy)*w+x+ix]) - float64(reference[i])
			if math.Abs(t) > tolerated {
				continue
			}
			gx := (float64(reference[i+1]) - float64(reference[i-1])) / 2
			gy := (float64(reference[i+w]) - float64(reference[i-w])) / 2
			xx, xy, yy, xt, yt = xx+gx*gx, xy+gx*gy, yy+gy*gy, xt+gx*t, yt+gy*t
		}
	}
	fx, fy := 0.0, 0.0
	// Without edges in both directions there is no telling.
	if det := xx*yy - xy*xy; det > 1e-3*xx*yy && xx > 0 && yy > 0 {
		fx = max(-1, min(1, -(yy*xt-xy*yt)/det))
		fy = max(-1, min(1, -(xx*yt-xy*xt)/det))
	}
	limit := coarse*reach + 3
	return float64(ix) + fx, float64(iy) + fy, max(ix, -ix, iy, -iy) >= limit
}

// register brings pictures to the place of a reference, as a mast sways.
type register struct {
	w, h       int
	now, known blocks
	blinds     *blinds
}

// learn takes the reference's luma.
func (r *register) learn(luma []byte) { r.known.fill(luma, r.w, r.h) }

// move writes to dst the picture src (I420) moved back by dx, dy. Beyond its edge the picture goes on as at the edge.
func (r *register) move(src, dst []byte, dx, dy float64) {
	n := r.w * r.h
	moved(src[:n], dst[:n], r.w, r.h, dx, dy)
	moved(src[n:n+n/4], dst[n:n+n/4], r.w/2, r.h/2, dx/2, dy/2)
	moved(src[n+n/4:], dst[n+n/4:], r.w/2, r.h/2, dx/2, dy/2)
}

func moved(src, dst []byte, w, h int, dx, dy float64) {
	ix, iy := int(math.Floor(dx)), int(math.Floor(dy))
	fx, fy := int((dx-float64(ix))*256), int((dy-float64(iy))*256)
	for y := range h {
		top := max(0, min(h-1, y+iy)) * w
		low := max(0, min(h-1, y+iy+1)) * w
		for x := range w {
			l, r := max(0, min(w-1, x+ix)), max(0, min(w-1, x+ix+1))
			a := int(src[top+l])*(256-fx) + int(src[top+r])*fx
			b := int(src[low+l])*(256-fx) + int(src[low+r])*fx
			dst[y*w+x] = byte((a*(256-fy) + b*fy + 1<<15) >> 16)
		}
	}
}
