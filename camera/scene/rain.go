package scene

import (
	"math"
	"math/rand/v2"
)

// puddles is how much of the sky each pixel shows when the ground is wet: little on houses, most in the hollows of the paving.
func puddles(v *view) []byte {
	gloss := make([]byte, v.w*v.h)
	for y := range v.h {
		row := (float64(y) + 0.5) / float64(v.h)
		if row < v.backRow {
			continue
		}
		for x := range v.w {
			gx, gz := v.ground((float64(x)+0.5)/float64(v.w), row)
			if hypot(gx-v.fountain.x, gz-v.fountain.z) < v.fountain.r+0.45 {
				continue
			}
			hollow := ease(grain(gx*0.35+40, gz*0.35)+0.4*grain(gx*1.1, gz*1.1+40), 0.15, 0.45)
			grazing := min(gz/v.stairZ, 1) // wet stone mirrors more the flatter it is looked at
			gloss[y*v.w+x] = byte(255 * (0.35*grazing + 0.25 + 0.4*hollow))
		}
	}
	return gloss
}

// reflect is a person's mirror image on wet ground: the body takes the sky's light away.
func (c *canvas) reflect(x, y, tall, wet float64) {
	if wet > 0 {
		c.shadow(x, y, x, y+0.55*tall, 0.14*tall, 0.10*tall, 1, 0.34*wet)
	}
}

// drops draws the streaks of one exposure. Those close to the lens are long, broad and faint.
func (k *sky) drops(c *canvas, share, rain float64) {
	if rain <= 0 {
		return
	}
	r := rand.New(rand.NewPCG(k.seed, math.Float64bits(share)))
	w, h := float64(c.w), float64(c.h)
	bright := 16 + 190*k.dusk(share)
	for range int(rain * w * h / 600) {
		x, y := between(r, -0.05, 1)*w, between(r, -0.1, 1)*h
		length, alpha, broad := between(r, 0.015, 0.05)*h, between(r, 0.12, 0.38), 1
		if r.IntN(12) == 0 {
			length, alpha, broad = between(r, 0.08, 0.2)*h, between(r, 0.08, 0.16), 1+c.h/200
		}
		slope := between(r, 0.10, 0.18)
		for dy := range int(length) {
			py := int(y) + dy
			if py < 0 || py >= c.h {
				continue
			}
			for b := range broad {
				px := int(x+slope*float64(dy)) + b
				if px < 0 || px >= c.w {
					continue
				}
				old := float64(c.y[py*c.w+px])
				c.y[py*c.w+px] = byte(old + alpha*(bright-old))
			}
		}
	}
}
