//go:build cgo

package count

import (
	"math"

	"klarsyn/camera"
)

const (
	// darkest is the luma (of 16 to 235) that a twentieth of the picture must reach for anything to be seen in it.
	darkest = 36
	// Structure is compared in this many tiles across and down, on blocks of pixels.
	tilesX, tilesY = 12, 9
	// marked is the spread of luma from which on a tile has marks to be known by, and enough how many such tiles must be
	// there for a judgement.
	marked, enough = 4.0, 8
	// alike is the correlation from which on a tile shows what the background shows, in whatever light; blank the share
	// of the background's spread below which its marks are gone.
	alike, blank = 0.6, 0.35
	// Shares of the marked tiles: with fewer alike the camera points elsewhere, with more of them blank something is in
	// front of it.
	strange, covered = 0.45, 0.4
	// foreign is the share of them that may show other marks while something is in front of the rest.
	foreign = 0.25
)

// view judges by a picture's structure whether the camera sees what it has learnt.
type view struct {
	w, h   int
	now    blocks
	blinds *blinds
}

// likeness is what became of the tiles that have marks in the background.
type likeness struct{ marked, alike, blank int }

// dark says that there is hardly any light in a luma plane.
func (v *view) dark(luma []byte) bool {
	lit, n := 0, 0
	for i := 0; i < len(luma); i += 37 {
		if v.blinds.hides(i) {
			continue
		}
		n++
		if luma[i] >= darkest {
			lit++
		}
	}
	return 20*lit < n
}

// compare looks at a luma plane that was moved to the background's place, beside the background's blocks, which take the noise
// away.
func (v *view) compare(luma []byte, known *blocks) (l likeness) {
	v.now.fill(luma, v.w, v.h)
	w, h := v.now.w, v.now.h
	for ty := range tilesY {
		for tx := range tilesX {
			var n, a, b, aa, bb, ab float64
			for y := ty * h / tilesY; y < (ty+1)*h/tilesY; y++ {
				for x := tx * w / tilesX; x < (tx+1)*w/tilesX; x++ {
					if v.blinds.hidesBlock(y*w + x) {
						continue
					}
					p, q := float64(v.now.luma[y*w+x]), float64(known.luma[y*w+x])
					n, a, b, aa, bb, ab = n+1, a+p, b+q, aa+p*p, bb+q*q, ab+p*q
				}
			}
			if n < 4 {
				continue
			}
			sa, sb := math.Sqrt(max(0, aa/n-a/n*a/n)), math.Sqrt(max(0, bb/n-b/n*b/n))
			if sb < marked {
				continue
			}
			l.marked++
			switch {
			case sa < blank*sb:
				l.blank++
			case ab/n-a/n*b/n > alike*sa*sb:
				l.alike++
			}
		}
	}
	return l
}

// elsewhere says that the camera points elsewhere.
func (l likeness) elsewhere() bool {
	return l.marked >= enough && float64(l.alike) < strange*float64(l.marked)
}

// obscured says that something is in front of the lens.
func (l likeness) obscured() bool {
	return l.marked >= enough && float64(l.blank) > covered*float64(l.marked) &&
		float64(l.marked-l.alike-l.blank) < foreign*float64(l.marked)
}

// reason is why nearly all of a picture differs at once.
func (l likeness) reason() camera.Quality {
	switch {
	case l.obscured():
		return camera.QualityObscured
	case l.marked >= enough && 2*l.alike >= l.marked:
		return camera.QualityLightsJumped
	}
	return camera.QualityCameraMoved
}

// partly is why a good part of a picture differs and is nobody.
func (l likeness) partly() camera.Quality {
	if l.marked >= enough && 2*l.alike < l.marked {
		return camera.QualityObscured
	}
	return camera.QualityLightsJumped
}
