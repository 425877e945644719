//go:build cgo

package count

import (
	"container/heap"
	"math"
	"slices"

	"klarsyn/camera"
)

const (
	// A silhouette is looked at on a grid of columns and rows over a box that is this wide and one high, in heights.
	columns, rows = camera.SilhouetteColumns, camera.SilhouetteRows
	boxWidth      = camera.SilhouetteWidth
	// stray is how probable foreground is where nobody stands, next to somebody.
	stray = 0.25
	// occluder marks what stands before the people; other marks are people's numbers.
	occluder = 255
	// sparse is the share of places that may be blocked without anybody being thought of there, and mostBlocked bounds for
	// how many one may stand.
	sparse      = 0.17
	mostBlocked = 0.6
	// believed is the mean log-likelihood per visible point above which a silhouette is a person, and visible the
	// share of its weight that must not be hidden by nearer ones.
	believed = 0.18
	visible  = 0.45
)

// silhouette is how probable it is that a point of the box around somebody is covered.
type silhouette [rows][columns]float64

// upright is the mean of people who stand and walk, seen from all sides: head, shoulders, and legs that are sometimes
// apart. Half widths in heights by the height at which they are.
func upright() (s silhouette) {
	outline := []struct{ at, half float64 }{{0, 0.03}, {0.04, 0.055}, {0.13, 0.06}, {0.18, 0.11}, {0.3, 0.135}, {0.45, 0.13}, {0.55, 0.115}, {0.75, 0.1}, {0.92, 0.1}, {1, 0.08}}
	for r := range rows {
		at, half := (float64(r)+0.5)/rows, 0.0
		for i := 1; i < len(outline); i++ {
			if a, b := outline[i-1], outline[i]; at <= b.at {
				half = a.half + (b.half-a.half)*(at-a.at)/(b.at-a.at)
				break
			}
		}
		for c := range columns {
			x := math.Abs((float64(c)+0.5)/columns-0.5) * boxWidth
			// The outline of one is not that of the next.
			s[r][c] = max(0.06, min(0.93, 1/(1+math.Exp((x-half)/0.022))))
		}
	}
	return s
}

// stand is somebody in the picture.
type stand struct {
	x, foot, tall float64 // pixels
	gain          float64 // what explaining him is worth, in pixels
	people        float64 // how many he stands for: himself, and some whom others hide
	moving        float64 // share of what is seen of him that moves
}

// cover explains a mask by people.
type cover struct {
	w, h          int
	shape         silhouette
	weight        float64                // of all of the shape
	covered, bare [rows][columns]float32 // log-likelihood ratios of foreground and of background
	believed      float64
	ground        []camera.Point // where feet may be; empty is everywhere
	hidden        []byte         // what stands before the people; nil is nothing
	blinds        *blinds
	explained     []byte
	sums          []int32 // integral image of the mask
}

func newCover(w, h int, p camera.Profile) *cover {
	c := &cover{w: w, h: h, believed: believed, ground: p.Ground, blinds: newBlinds(w, h, p.Masks), explained: make([]byte, w*h), sums: make([]int32, (w+1)*(h+1))}
	if p.Coefficients.Believed != 0 {
		c.believed = p.Coefficients.Believed
	}
	shape := upright()
	for r, row := range p.Silhouette {
		copy(shape[r][:], row)
	}
	c.take(shape)
	if len(p.Occluders) > 0 || c.blinds != nil {
		c.hidden = make([]byte, w*h)
	}
	for i := range c.hidden {
		at := camera.Point{X: (float64(i%w) + 0.5) / float64(w), Y: (float64(i/w) + 0.5) / float64(h)}
		for _, o := range p.Occluders {
			if inside(o, at) {
				c.hidden[i] = 1
			}
		}
		if c.blinds.hides(i) {
			c.hidden[i] = 1
		}
	}
	return c
}

// take sets the silhouette that is looked for.
func (c *cover) take(shape silhouette) {
	c.shape, c.weight = shape, 0
	for r := range rows {
		for k := range columns {
			p := max(0.03, min(0.97, c.shape[r][k])) // nothing is certain
			c.shape[r][k] = p
			c.weight += p
			c.covered[r][k] = float32(math.Log(p / stray))
			c.bare[r][k] = float32(math.Log((1 - p) / (1 - stray)))
		}
	}
}

// people finds who stands where, best explained first. tall gives the height in pixels of somebody whose feet are at a
// row, highest the row above which there are none; feet may be a little below the picture.
func (c *cover) people(mask []byte, highest float64, tall func(foot float64) float64) []stand {
	clear(c.explained)
	for i, v := range c.hidden {
		c.explained[i] = v * occluder
	}
	integrate(mask, c.sums, c.w, c.h)
	var queue stands
	for foot := highest; foot < float64(c.h)*1.25; {
		t := tall(foot)
		step := max(1.5, t/14)
		if foot-t*0.55 > float64(c.h) || t < 6 {
			foot += step
			continue
		}
		for x := step / 2; x < float64(c.w); x += step {
			if c.grounded(x, foot) && c.crowded(x, foot, t) {
				if g := c.gain(mask, x, foot, t); g > 0 {
					queue = append(queue, stand{x: x, foot: foot, tall: t, gain: g})
				}
			}
		}
		foot += step
	}
	heap.Init(&queue)
	var found []stand
	for queue.Len() > 0 {
		s := queue[0]
		if near(found, s) {
			heap.Pop(&queue)
			continue
		}
		// What others explain meanwhile does not count again: gains only fall, so the best is known once its own is fresh.
		fresh := c.gain(mask, s.x, s.foot, s.tall)
		if fresh <= 0 {
			heap.Pop(&queue)
			continue
		}
		if fresh < s.gain*0.999 {
			queue[0].gain = fresh
			heap.Fix(&queue, 0)
			continue
		}
		heap.Pop(&queue)
		found = append(found, s)
		c.explain(s, len(found))
	}
	for i := range found {
		found[i].people = (1 - sparse) / (1 - max(sparse, c.blocked(found[i], i+1)))
	}
	return found
}

// inSight leaves out whose feet are hidden, once what is seen of them is explained.
func (c *cover) inSight(people []stand) []stand {
	return slices.DeleteFunc(people, func(s stand) bool { return c.blinds.standsBehind(s.x, s.foot) })
}

// integrate makes the integral image of a plane of w by h.
func integrate(plane []byte, sums []int32, w, h int) {
	for y := range h {
		row := int32(0)
		for x := range w {
			if plane[y*w+x] != 0 {
				row++
			}
			sums[(y+1)*(w+1)+x+1] = sums[y*(w+1)+x+1] + row
		}
	}
}

// rectangle is how much of one is marked, by an integral image, in pixels; what lies outside the picture is not.
func rectangle(sums []int32, w, h int, x0, y0, x1, y1 float64) (marked, all float64) {
	ax, ay := max(0, min(w, int(x0))), max(0, min(h, int(y0)))
	bx, by := max(ax, min(w, int(x1))), max(ay, min(h, int(y1)))
	w++
	return float64(sums[by*w+bx] - sums[ay*w+bx] - sums[by*w+ax] + sums[ay*w+ax]), float64((bx - ax) * (by - ay))
}

// grounded says that somebody may stand here.
func (c *cover) grounded(x, foot float64) bool {
	return len(c.ground) == 0 || stand{x: x, foot: foot}.in(c.ground, c.w, c.h)
}

// crowded is a quick look at whether there is any reason to look.
func (c *cover) crowded(x, foot, tall float64) bool {
	f, all := rectangle(c.sums, c.w, c.h, x-0.1*tall, foot-tall, x+0.1*tall, foot)
	return all > 0 && f > 0.4*all
}

// gain is the log-likelihood ratio of somebody here against nobody, over what is visible, in pixels: who is nearer
// explains more and is asked first, and he is also the one who hides others. It is 0 if he is not believed.
func (c *cover) gain(mask []byte, x, foot, tall float64) float64 {
	sum, seen := float32(0), 0.0
	left, top := x-boxWidth/2*tall, foot-tall
	points := 0
	for r := range rows {
		y := int(top + (float64(r)+0.5)/rows*tall)
		for k := range columns {
			px := int(left + (float64(k)+0.5)/columns*boxWidth*tall)
			if y < 0 || y >= c.h || px < 0 || px >= c.w {
				continue
			}
			i := y*c.w + px
			if c.explained[i] != 0 {
				continue
			}
			seen += c.shape[r][k]
			points++
			if mask[i] != 0 {
				sum += c.covered[r][k]
			} else {
				sum += c.bare[r][k]
			}
		}
	}
	if seen < visible*c.weight || points == 0 {
		return 0
	}
	if mean := float64(sum) / float64(points); mean <= c.believed {
		return 0
	}
	return float64(sum) * boxWidth * tall * tall / (rows * columns)
}

// explain takes what somebody covers.
func (c *cover) explain(s stand, who int) {
	c.each(s, func(i int) {
		if c.explained[i] == 0 {
			c.explained[i] = byte(min(who, occluder-1))
		}
	})
}

// blocked is the share of places close to somebody, beside and behind him, at which nobody could be seen because of the
// others: who is seen in a crowd stands for some who are not (Horvitz and Thompson 1952).
func (c *cover) blocked(s stand, who int) float64 {
	places, blocked := 0.0, 0.0
	for row := -3; row <= 1; row++ {
		foot := s.foot + 0.15*float64(row)*s.tall
		for column := -8; column <= 8; column++ {
			x := s.x + 0.125*float64(column)*s.tall
			if x < 0 || x >= float64(c.w) {
				continue
			}
			places++
			if c.seen(x, foot, s.tall, who) < visible*c.weight {
				blocked++
			}
		}
	}
	return min(mostBlocked, blocked/max(1, places))
}

// seen is the weight of a silhouette that the others leave to be seen. What is outside the picture, or behind what stands
// there always, hides nobody more than it ever does.
func (c *cover) seen(x, foot, tall float64, but int) (weight float64) {
	left, top := x-boxWidth/2*tall, foot-tall
	for r := range rows {
		y := int(top + (float64(r)+0.5)/rows*tall)
		for k := range columns {
			px := int(left + (float64(k)+0.5)/columns*boxWidth*tall)
			if y < 0 || y >= c.h || px < 0 || px >= c.w {
				weight += c.shape[r][k]
				continue
			}
			if e := int(c.explained[y*c.w+px]); e == 0 || e == but || e == occluder {
				weight += c.shape[r][k]
			}
		}
	}
	return weight
}

// each calls f for every pixel that somebody covers.
func (c *cover) each(s stand, f func(i int)) {
	left, top := s.x-boxWidth/2*s.tall, s.foot-s.tall
	for y := max(0, int(top)); y < min(c.h, int(s.foot)+1); y++ {
		r := max(0, min(rows-1, int((float64(y)-top)/s.tall*rows)))
		for x := max(0, int(left)); x < min(c.w, int(left+boxWidth*s.tall)+1); x++ {
			k := max(0, min(columns-1, int((float64(x)-left)/(boxWidth*s.tall)*columns)))
			if c.shape[r][k] > 0.12 {
				f(y*c.w + x)
			}
		}
	}
}

// outline is how strong edges are where the foreground that somebody covers ends.
func (c *cover) outline(s stand, mask, luma []byte) float64 {
	sum := 0
	c.each(s, func(i int) {
		x, y := i%c.w, i/c.w
		if mask[i] == 0 || x < 2 || y < 2 || x >= c.w-2 || y >= c.h-2 || c.blinds.beside(i) ||
			mask[i-1] != 0 && mask[i+1] != 0 && mask[i-c.w] != 0 && mask[i+c.w] != 0 {
			return
		}
		sum += int(off(luma[i+2], luma[i-2])) + int(off(luma[i+2*c.w], luma[i-2*c.w]))
	})
	return float64(sum)
}

// forget takes somebody from the mask.
func (c *cover) forget(s stand, mask []byte) { c.each(s, func(i int) { mask[i] = 0 }) }

// left is how many pixels of a mask nobody explained.
func (c *cover) left(mask []byte) float64 {
	n := 0
	for i, v := range mask {
		if v != 0 && c.explained[i] == 0 {
			n++
		}
	}
	return float64(n)
}

// size is the area of somebody who is one tall.
func (c *cover) size() float64 { return c.weight / (rows * columns) * boxWidth }

// leftIn is how many people would fit into what nobody explained within a polygon.
func (c *cover) leftIn(polygon []camera.Point, mask []byte, tall func(foot float64) float64) float64 {
	people, area := 0.0, c.size()
	for y := range c.h {
		n := 0
		for x := range c.w {
			i := y*c.w + x
			if mask[i] != 0 && c.explained[i] == 0 && inside(polygon, camera.Point{X: (float64(x) + 0.5) / float64(c.w), Y: (float64(y) + 0.5) / float64(c.h)}) {
				n++
			}
		}
		if n > 0 {
			t := max(8, tall(float64(y)+tall(float64(y))/2)) // whose middle is here
			people += float64(n) / (area * t * t)
		}
	}
	return people
}

// share is how much of the foreground somebody covers moves. What MOG2 calls a shadow (127) moves, too: it is as often
// a dark coat over light stone.
func (c *cover) share(s stand, mask, moving []byte) float64 {
	seen, moves := 0, 0
	left, top := s.x-boxWidth/2*s.tall, s.foot-s.tall
	for r := range rows {
		for k := range columns {
			x, y := int(left+(float64(k)+0.5)/columns*boxWidth*s.tall), int(top+(float64(r)+0.5)/rows*s.tall)
			if c.shape[r][k] < 0.3 || x < 0 || y < 0 || x >= c.w || y >= c.h || mask[y*c.w+x] == 0 {
				continue
			}
			seen++
			if moving[y*c.w+x] != 0 {
				moves++
			}
		}
	}
	return float64(moves) / float64(max(1, seen))
}

// near says that two would stand in one another.
func near(found []stand, s stand) bool {
	for _, f := range found {
		if math.Abs(f.x-s.x) < 0.2*s.tall && math.Abs(f.foot-s.foot) < 0.25*s.tall {
			return true
		}
	}
	return false
}

// in says whether somebody's feet are in a polygon. Feet below the picture are at its edge.
func (s stand) in(polygon []camera.Point, w, h int) bool {
	return inside(polygon, camera.Point{X: s.x / float64(w), Y: min(s.foot/float64(h), 0.999)})
}

// stands are those who may be there, the most probable first.
type stands []stand

func (s stands) Len() int           { return len(s) }
func (s stands) Less(i, j int) bool { return s[i].gain > s[j].gain }
func (s stands) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *stands) Push(x any)        { *s = append(*s, x.(stand)) }
func (s *stands) Pop() any {
	old := *s
	x := old[len(old)-1]
	*s = old[:len(old)-1]
	return x
}
