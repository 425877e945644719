package scene

import (
	"math"
	"math/rand/v2"
)

// look is what a person wears.
type look struct {
	coat, trousers, skin, hair yuv
	bag                        float64 // -1 left, 1 right, 0 none
	long                       bool    // a coat that reaches the knees
}

func dress(r *rand.Rand) look {
	coats := []yuv{
		{44, 130, 126}, {30, 128, 128}, {62, 142, 118}, {88, 104, 150}, {70, 96, 190}, {196, 126, 130},
		{150, 108, 136}, {110, 150, 112}, {60, 122, 122}, {170, 90, 150}, {82, 118, 170}, {120, 128, 128},
	}
	trousers := []yuv{{36, 132, 126}, {48, 142, 120}, {66, 126, 130}, {90, 120, 134}, {28, 128, 128}}
	skins := []yuv{{168, 112, 150}, {150, 112, 152}, {112, 114, 150}, {84, 118, 144}}
	hairs := []yuv{{40, 122, 134}, {30, 128, 128}, {96, 108, 144}, {150, 106, 138}, {130, 128, 128}}
	return look{
		coat: coats[r.IntN(len(coats))], trousers: trousers[r.IntN(len(trousers))],
		skin: skins[r.IntN(len(skins))], hair: hairs[r.IntN(len(hairs))],
		bag: float64(r.IntN(3) - 1), long: r.IntN(3) == 0,
	}
}

// figure paints a person whose feet are at (x, y) and who is h pixels tall.
func (c *canvas) figure(x, y, h float64, p pose, who *person, sun float64) {
	l := &who.look
	across := p.dx      // how much of the stride is seen from the side
	toward := -p.dz     // 1: faces the camera
	shade := 0.28 * sun // the sun's side is brighter
	swing, bob := 0.0, 0.0
	if p.moving {
		step := 2*math.Pi*p.walked/1.45 + who.gait
		swing = math.Sin(step)
		bob = 0.012 * h * math.Abs(math.Cos(step))
	} else {
		x += 0.010 * h * math.Sin(p.stood*0.9+who.gait) // nobody stands like a post
	}
	hip, shoulder := y-0.47*h-bob*0.5, y-0.80*h-bob
	sway := 0.012 * h * swing * across
	wide := 0.075 + 0.030*math.Abs(toward) // a body is broader from the front than from the side
	lean := 0.02 * h * across * b2f(p.moving)

	leg := func(s float64, darker float64) {
		foot, lift := x+s*0.045*h, 0.0
		if p.moving {
			foot = x + swing*s*0.155*h*across + s*0.035*h*math.Abs(toward)
			lift = max(0, -s*swing)*0.022*h + max(0, swing*s)*0.030*h*math.Abs(toward)
		}
		knee := (x+s*0.03*h+foot)/2 + 0.02*h*across
		col := l.trousers
		col.y *= darker
		c.capsule(x+s*0.030*h, hip, knee, y-0.25*h, 0.058*h, 0.046*h, col, shade)
		c.capsule(knee, y-0.25*h, foot, y-0.03*h-lift, 0.044*h, 0.032*h, col, shade)
		shoe := yuv{26, 128, 128}
		c.capsule(foot-0.015*h, y-0.018*h-lift, foot+0.015*h+0.035*h*across, y-0.018*h-lift, 0.022*h, 0.02*h, shoe, 0)
	}
	arm := func(s float64, darker float64) {
		sx := x + lean + s*wide*h*1.05
		hx := sx + s*0.02*h - s*swing*0.10*h*across
		hy := y - 0.46*h - bob
		if !p.moving && s > 0 && math.Sin(p.stood*0.37+who.gait*3) > 0.55 {
			hx, hy = sx-0.05*h, y-0.70*h // a hand to the phone
		}
		col := l.coat
		col.y *= darker
		ex, ey := (sx+hx)/2+s*0.02*h, (shoulder+0.03*h+hy)/2
		c.capsule(sx, shoulder+0.03*h, ex, ey, 0.034*h, 0.031*h, col, shade)
		c.capsule(ex, ey, hx, hy, 0.030*h, 0.026*h, col, shade)
		c.disc(hx, hy, 0.022*h, l.skin, 0)
	}

	leg(-1, 0.86)
	leg(1, 1)
	arm(-1, 0.86)
	hem := hip + 0.02*h
	if l.long {
		hem = y - 0.32*h
	}
	c.capsule(x+sway, hem, x+lean, shoulder+0.05*h, (wide+0.014)*h, (wide+0.030)*h, l.coat, shade)
	if l.bag != 0 {
		bag := yuv{50, 120, 136}
		c.capsule(x+l.bag*(wide+0.035)*h, y-0.52*h, x+l.bag*(wide+0.035)*h, y-0.42*h, 0.045*h, 0.05*h, bag, shade)
	}
	arm(1, 1)
	c.capsule(x+lean, shoulder, x+lean, y-0.86*h-bob, 0.030*h, 0.030*h, l.skin, shade)
	hx, hy := x+lean*1.3, y-0.925*h-bob*0.8
	c.disc(hx, hy, 0.066*h, l.skin, shade)
	// Hair: a cap from in front, the whole head from behind.
	c.capsule(hx-0.012*h*across, hy-0.026*h+0.02*h*max(-toward, 0), hx-0.02*h*across, hy-0.030*h+0.03*h*max(-toward, 0), 0.054*h, 0.052*h, l.hair, shade)
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// pigeon is a bird that pecks, walks and now and then flies across. It is in no count.
type pigeon struct {
	cx, cz, r float64
	turns     float64 // whole circles per loop
	phase     float64
}

// at is the place on the ground, the height above it and the direction at a share of the loop.
func (b *pigeon) at(share float64) (x, z, up, dx float64) {
	a := 2*math.Pi*b.turns*share + b.phase
	// In the last fifth of the loop it takes off, goes round once more and lands where it began.
	if fly := (share - 0.8) / 0.2; fly > 0 {
		up = 3.2 * math.Sin(math.Pi*fly)
		a += 2 * math.Pi * fly
		r := b.r * (1 + 6*math.Sin(math.Pi*fly))
		return b.cx + r*math.Cos(a), b.cz + 0.5*r*math.Sin(a), up, -math.Sin(a)
	}
	return b.cx + b.r*math.Cos(a), b.cz + b.r*math.Sin(a), 0, -math.Sin(a)
}

func (c *canvas) bird(v *view, b *pigeon, share, seconds float64) {
	gx, gz, up, dx := b.at(share)
	if gz < 2 {
		return
	}
	c.pigeon(v, gx, gz, up, dx, share, seconds)
}

// pigeon paints one above a place on the ground.
func (c *canvas) pigeon(v *view, gx, gz, up, dx, share, seconds float64) {
	px, py := v.project(gx, gz)
	m := v.metre(gz)
	x, ground := px*float64(v.w), py*float64(v.h)
	y := ground - (up+0.12)*m
	c.shadow(x-0.12*m, ground, x+0.12*m, ground, 0.09*m, 0.09*m, 2.5, 0.35)
	side := 1.0
	if dx < 0 {
		side = -1
	}
	grey, dark := yuv{92, 134, 126}, yuv{52, 132, 128}
	peck := 0.0
	beat := math.Mod(share*seconds*7, 1)
	if up == 0 && math.Mod(share*seconds, 2) < 1 {
		peck = 0.07 * m * math.Abs(math.Sin(2*math.Pi*share*seconds))
	}
	c.capsule(x-side*0.15*m, y+0.02*m, x+side*0.09*m, y-0.02*m, 0.05*m, 0.08*m, grey, 0.15)
	c.disc(x+side*0.15*m, y-0.10*m+peck, 0.045*m, dark, 0)
	if up > 0.1 {
		tip := 0.35 * m * math.Sin(2*math.Pi*beat)
		c.capsule(x, y-0.03*m, x-0.22*m, y-tip, 0.05*m, 0.02*m, dark, 0)
		c.capsule(x, y-0.03*m, x+0.22*m, y-tip, 0.05*m, 0.02*m, grey, 0)
	}
}
