//go:build cgo

package count

import "slices"

// ghostly is how much sharper the background must be than the picture along a piece's outline for the piece to be
// the place of somebody who was taken for background and has left.
const ghostly = 1.4

// piece is connected foreground.
type piece struct {
	x0, y0, x1, y1 int // the box, both corners within
	area           int
	pixels         []int32 // valid until the next picture
	ghost          bool
	cut            bool // it may go on where it is hidden
}

// pieces takes a mask apart.
type pieces struct {
	w, h   int
	marks  []byte
	pixels []int32
	found  []piece
	blinds *blinds
}

func newPieces(w, h int) *pieces { return &pieces{w: w, h: h, marks: make([]byte, w*h)} }

// find gives the pieces of a mask. picture and reference begin with their luma.
func (p *pieces) find(mask, picture, reference []byte) []piece {
	clear(p.marks)
	p.pixels, p.found = p.pixels[:0], p.found[:0]
	for i := range mask {
		if mask[i] != 0 && p.marks[i] == 0 {
			f := p.flood(mask, int32(i))
			f.ghost = p.outline(f, mask, reference) > ghostly*p.outline(f, mask, picture)
			f.cut = p.cut(f)
			p.found = append(p.found, f)
		}
	}
	return p.found
}

func (p *pieces) flood(mask []byte, from int32) piece {
	f := piece{x0: p.w, y0: p.h}
	begin := len(p.pixels)
	p.pixels = append(p.pixels, from)
	p.marks[from] = 1
	for next := begin; next < len(p.pixels); next++ {
		i := int(p.pixels[next])
		x, y := i%p.w, i/p.w
		f.x0, f.y0, f.x1, f.y1 = min(f.x0, x), min(f.y0, y), max(f.x1, x), max(f.y1, y)
		for ny := max(0, y-1); ny <= min(p.h-1, y+1); ny++ {
			for nx := max(0, x-1); nx <= min(p.w-1, x+1); nx++ {
				if j := ny*p.w + nx; mask[j] != 0 && p.marks[j] == 0 {
					p.marks[j] = 1
					p.pixels = append(p.pixels, int32(j))
				}
			}
		}
	}
	f.pixels = p.pixels[begin:len(p.pixels):len(p.pixels)]
	f.area = len(f.pixels)
	return f
}

// cut says that a piece touches what is hidden, or nearly: opening has moved its outline.
func (p *pieces) cut(f piece) bool {
	if p.blinds == nil {
		return false
	}
	marked, _ := rectangle(p.blinds.sums, p.w, p.h, float64(f.x0-2), float64(f.y0-2), float64(f.x1+3), float64(f.y1+3))
	return marked > 0 && slices.ContainsFunc(f.pixels, func(at int32) bool {
		x, y := float64(int(at)%p.w), float64(int(at)/p.w)
		near, _ := rectangle(p.blinds.sums, p.w, p.h, x-2, y-2, x+3, y+3)
		return near > 0
	})
}

// outline is how strong edges are along a piece's outline.
func (p *pieces) outline(f piece, mask, luma []byte) float64 {
	sum := 0
	for _, at := range f.pixels {
		i := int(at)
		x, y := i%p.w, i/p.w
		if x < 2 || y < 2 || x >= p.w-2 || y >= p.h-2 || p.blinds.beside(i) {
			continue
		}
		if mask[i-1] != 0 && mask[i+1] != 0 && mask[i-p.w] != 0 && mask[i+p.w] != 0 {
			continue
		}
		// Two pixels to each side: closing has moved the outline.
		dx, dy := int(luma[i+2])-int(luma[i-2]), int(luma[i+2*p.w])-int(luma[i-2*p.w])
		sum += max(dx, -dx) + max(dy, -dy)
	}
	return float64(sum)
}
