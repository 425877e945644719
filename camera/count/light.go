//go:build cgo

package count

const (
	// The light that a shadow takes and the sun gives, as a share of the background's.
	dimmest, brightest = 0.3, 3.2
	// tinted is how many levels a colour may be off by in another light.
	tinted = 6
	// uneven is by how many levels, and by what share of the luma, the light may change over two pixels: shadows have soft edges.
	uneven, soft = 10, 0.08
	// broad is the share of the picture, and persons how many people's size, that light covers at least: a coat of one colour before
	// plain stone is as even, and smaller.
	broad, persons = 0.008, 2.0
)

// light marks where the foreground may be the background in another light: of its colours, and with its marks and none of its
// own, in whatever light falls on it.
func (c *Counter) light(mask, out []byte) {
	w, h := c.width, c.height
	is, was := c.picture, c.background.median
	clear(out)
	for y := range h - 2 {
		for x := range w - 2 {
			i := y*w + x
			if mask[i] == 0 || was[i] < 8 || !c.plain(i) {
				continue
			}
			r := float64(is[i]) / float64(was[i])
			if r < dimmest || r > brightest || !evenly(is, was, r, i, i+2) || !evenly(is, was, r, i, i+2*w) {
				continue
			}
			out[i] = 255
		}
	}
}

// evenly says that two pixels differ as they do in the background, in its light.
func evenly(is, was []byte, r float64, i, j int) bool {
	off := float64(is[j]) - float64(is[i]) - r*(float64(was[j])-float64(was[i]))
	return max(off, -off) <= max(uneven, soft*float64(was[i]))
}

// plain says that a pixel has the background's colour, more or less.
func (c *Counter) plain(i int) bool {
	n := c.width * c.height
	u := n + i/c.width/2*(c.width/2) + i%c.width/2
	is, was := c.picture, c.background.median
	return off(is[u], was[u]) <= tinted && off(is[u+n/4], was[u+n/4]) <= tinted
}

// unlight takes light and shade from the mask, so that the background may follow there; false if there was none.
func (c *Counter) unlight() (found bool) {
	c.light(c.mask, c.lit)
	tall, known := c.heights()
	for _, p := range c.pieces.find(c.lit, c.picture, c.background.median) {
		least := broad * float64(len(c.mask))
		if known {
			t := tall(float64(p.y1 + 1))
			least = max(least, persons*c.cover.size()*t*t)
		} else if w, h := p.x1-p.x0+1, p.y1-p.y0+1; h > w { // may be somebody, for all we know
			continue
		}
		if float64(p.area) < least {
			continue
		}
		found = true
		for _, i := range p.pixels {
			c.mask[i], c.raw[i], c.lit[i] = 0, 0, told
		}
	}
	if found {
		c.rim()
	}
	return found
}

// told marks light that is known to be that.
const told = 1

// rim takes the edge of light, to the right and below, which light leaves out because what lies beyond it is in another.
func (c *Counter) rim() {
	w := c.width
	is, was := c.picture, c.background.median
	for i := 2 * w; i < len(c.mask); i++ {
		if c.mask[i] == 0 || was[i] < 8 {
			continue
		}
		for _, j := range [4]int{i - 1, i - 2, i - w, i - 2*w} {
			if c.lit[j] == told && was[j] > 0 && evenly(is, was, float64(is[j])/float64(was[j]), j, i) {
				c.mask[i], c.raw[i] = 0, 0
				break
			}
		}
	}
}

func off(a, b byte) byte { return max(a, b) - min(a, b) }
