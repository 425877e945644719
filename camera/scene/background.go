package scene

import "math"

// mason knows the colour of every point of the empty square.
type mason struct {
	v      *view
	sn, cs float64
}

// paintBackground draws the empty square at even light, six samples to a pixel. It runs once per scene.
func paintBackground(v *view, dst []byte) {
	m := &mason{v: v, sn: math.Sin(v.angle), cs: math.Cos(v.angle)}
	c := newCanvas(v.w, v.h, dst)
	for y := 0; y < v.h; y += 2 {
		for x := 0; x < v.w; x += 2 {
			var u, w float64
			for i := range 4 {
				px, py := x+i&1, y+i>>1
				var sum float64
				for s := range 6 {
					col := m.at((float64(px)+float64(s%2)/2+0.25)/float64(v.w), (float64(py)+float64(s/2)/3+1.0/6)/float64(v.h))
					sum += col.y
					u += col.u
					w += col.v
				}
				c.y[py*v.w+px] = byte(sum/6 + 0.5)
			}
			at := y/2*(v.w/2) + x/2
			c.u[at], c.v[at] = byte(u/24+0.5), byte(w/24+0.5)
		}
	}
	m.furnish(&c)
}

func (m *mason) at(x, row float64) yuv {
	if row < m.v.backRow {
		return m.house(x, row)
	}
	gx, gz := m.v.ground(x, row)
	col := m.floor(gx, gz)
	haze := 0.30 * (gz / m.v.backZ) * (gz / m.v.backZ)
	col.y += haze * (146 - col.y)
	return col
}

func (m *mason) floor(x, z float64) yuv {
	v := m.v
	if d := hypot(x-v.fountain.x, z-v.fountain.z); d < v.fountain.r+0.45 {
		switch {
		case d < v.fountain.r-0.35:
			return yuv{92, 140, 118} // water; it moves in render
		case d < v.fountain.r:
			return yuv{172 + 8*grain(x*3, z*3), 126, 130}
		}
		return yuv{58, 128, 128}
	}
	if z > v.stairZ {
		return m.back(x, z)
	}
	// The paving of the square: big squares, each cut into a dark and a light triangle, turned with
	// every square so that the light ones make stars.
	u, w := (x*m.cs+z*m.sn)/v.slab, (-x*m.sn+z*m.cs)/v.slab
	iu, iw := math.Floor(u), math.Floor(w)
	fu, fw := u-iu, w-iw
	cut := fu+fw > 1
	if (int(iu)+int(iw))&1 != 0 {
		cut = fu > fw
	}
	stain := 7*grain(x*0.45, z*0.45) + 4*grain(x*2.3, z*2.3)
	joint := min(fu, fw, 1-fu, 1-fw) < 0.012
	switch {
	case joint:
		return yuv{96 + stain, 127, 129}
	case cut:
		return yuv{64 + stain + 5*tile(iu, iw), 129, 127}
	}
	return yuv{156 + stain + 6*tile(iw, iu), 126, 130}
}

// back is the ground behind the square: the stairs and the walk beside them.
func (m *mason) back(x, z float64) yuv {
	v := m.v
	left, right := x-v.stairX[0], v.stairX[1]-x
	if left > 0 && right > 0 {
		step := math.Mod(z-v.stairZ, 1.3) / 1.3
		if step > 0.70 {
			return yuv{86 + 4*grain(x, z*4), 128, 128} // the riser lies in shade
		}
		return yuv{148 + 10*step + 5*grain(x*1.5, z*3), 126, 130}
	}
	if left > -0.7 && right > -0.7 {
		return yuv{104, 126, 131} // the flanking wall
	}
	if z < v.stairZ+0.8 {
		return yuv{120, 127, 129} // kerb
	}
	return yuv{112 + 9*grain(x*0.8, z*0.8), 128, 128}
}

// house is the front behind the square: an arcade, then bands of glass.
func (m *mason) house(x, row float64) yuv {
	h := (m.v.backRow - row) / m.v.backRow
	x += 0.13
	if h < 0.34 {
		if math.Mod(x, 0.055) < 0.008 {
			return yuv{138, 126, 130}
		}
		lit := grain(math.Floor(x/0.055)*5.1, 3)
		return yuv{56 + 26*lit + 60*max(lit-0.6, 0), 124, 134}
	}
	floor := math.Mod(h-0.34, 0.22) / 0.22
	switch {
	case floor < 0.24:
		return yuv{150, 125, 130}
	case math.Mod(x, 0.0185) < 0.0028:
		return yuv{126, 126, 129}
	}
	pane := grain(math.Floor(x/0.0185)*1.7, math.Floor((h-0.34)/0.22)*9.2)
	return yuv{84 + 24*pane + 14*floor, 138, 120}
}

// furnish puts benches along the stairs' foot and planters beside them.
func (m *mason) furnish(c *canvas) {
	v := m.v
	for i, at := range []float64{0.12, 0.80, 0.90} {
		x, z := v.ground(at, v.stairRow+0.018)
		if hypot(x-v.fountain.x, z-v.fountain.z) < v.fountain.r+2 {
			continue
		}
		px, py := v.project(x, z)
		s := v.metre(z)
		fx, fy := px*float64(v.w), py*float64(v.h)
		c.shadow(fx-0.9*s, fy+0.05*s, fx+0.9*s, fy+0.05*s, 0.3*s, 0.3*s, 2.5, 0.4)
		if i == 1 {
			c.capsule(fx-0.4*s, fy-0.25*s, fx+0.4*s, fy-0.25*s, 0.26*s, 0.26*s, yuv{104, 126, 131}, 0.1)
			c.capsule(fx-0.3*s, fy-0.65*s, fx+0.3*s, fy-0.65*s, 0.30*s, 0.24*s, yuv{76, 112, 118}, 0.3)
			continue
		}
		c.capsule(fx-0.8*s, fy-0.38*s, fx+0.8*s, fy-0.38*s, 0.09*s, 0.09*s, yuv{112, 112, 142}, 0)
		for _, leg := range []float64{-0.7, 0.7} {
			c.capsule(fx+leg*s, fy-0.3*s, fx+leg*s, fy, 0.05*s, 0.05*s, yuv{50, 128, 128}, 0)
		}
	}
}

// tile is a fixed number from -1 to 1 for every slab.
func tile(a, b float64) float64 {
	h := uint32(int32(a))*0x9e3779b1 ^ uint32(int32(b))*0x85ebca77
	h ^= h >> 15
	h *= 0x2c1b3c6d
	h ^= h >> 12
	return float64(h&0xffff)/32767.5 - 1
}

// grain is smooth noise from -1 to 1.
func grain(x, z float64) float64 {
	ix, iz := math.Floor(x), math.Floor(z)
	fx, fz := x-ix, z-iz
	fx, fz = fx*fx*(3-2*fx), fz*fz*(3-2*fz)
	a := tile(ix, iz) + fx*(tile(ix+1, iz)-tile(ix, iz))
	b := tile(ix, iz+1) + fx*(tile(ix+1, iz+1)-tile(ix, iz+1))
	return a + fz*(b-a)
}
