//go:build cgo

package count

import (
	"math"

	"klarsyn/camera"
)

const (
	// fewest blobs tell a camera's scale, and it is told anew with every tellEvery'th.
	fewest    = 24
	tellEvery = 12
	// consent is the share of what was seen that must agree on a scale.
	consent = 0.35
	// steepest is how much taller people may be a row further down: a person's height by the camera's, and one that
	// watches a place hangs above their heads.
	steepest = 0.8
	// substantial is the share of the picture from which on a piece of any shape may be somebody, while nobody knows how tall people are.
	substantial = 1.0 / 200
	// kept bounds what is remembered: a height and a row each, nothing of how anybody looks.
	kept = 400
)

// blob is an isolated piece of foreground that may be one upright person.
type blob struct{ foot, tall float64 }

// scale learns from isolated blobs how tall people are in each row of the picture.
type scale struct {
	w, h        int
	blobs       []blob
	next        int // place of the oldest
	added       int
	known       bool
	highest     float64 // row above which nobody's feet were
	perspective camera.Perspective
}

func newScale(w, h int) *scale { return &scale{w: w, h: h} }

// add takes a picture's pieces, and says whether one of them may be somebody.
func (s *scale) add(found []piece) (anybody bool) {
	for _, p := range found {
		w, h := float64(p.x1-p.x0+1), float64(p.y1-p.y0+1)
		switch {
		case p.cut || p.x0 <= 1 || p.y0 <= 1 || p.x1 >= s.w-2: // cut off
			anybody = true
		case p.y1 >= s.h-2 && h < 2.2*w: // much cut off: of somebody near the camera the feet alone are missing
			anybody = true
		case h < 12 || h > 0.95*float64(s.h) || h < 1.6*w || h > 5*w:
			anybody = anybody || s.substantial(p) // a group, or somebody with his shadow
		case float64(p.area) < 0.35*w*h:
			anybody = anybody || s.substantial(p)
		default:
			anybody = true
			b := blob{foot: float64(p.y1 + 1), tall: h}
			if len(s.blobs) < kept {
				s.blobs = append(s.blobs, b)
			} else {
				s.blobs[s.next] = b
				s.next = (s.next + 1) % kept
			}
			if s.added++; len(s.blobs) >= fewest && s.added%tellEvery == 0 {
				s.fit()
			}
		}
	}
	return anybody
}

func (s *scale) substantial(p piece) bool { return float64(p.area) > substantial*float64(s.w*s.h) }

// fit finds the line that most blobs agree with, within an eighth: two who walk as one are taller or wider, and a
// pigeon is not upright. Every blob proposes a level line, and pairs of them propose others.
func (s *scale) fit() {
	type line struct{ slope, offset float64 }
	agree := func(l line) (n float64) {
		for _, b := range s.blobs {
			want := l.slope*b.foot + l.offset
			if d := math.Abs(b.tall-want) / want; want > 6 && d < 0.125 {
				n += (1 - d) * b.tall // parts of people are smaller than people
			}
		}
		return n
	}
	var best line
	most := 0.0
	// Where all stand in one row nothing tells a slope: a sloping line must be clearly better than a level one.
	for _, b := range s.blobs {
		if n := agree(line{0, b.tall}); n > most {
			most, best = n, line{0, b.tall}
		}
	}
	// A fixed choice of pairs: the same blobs tell the same scale.
	stride := max(1, len(s.blobs)/60)
	level := most
	for i := 0; i < len(s.blobs); i += stride {
		for j := i + 1; j < len(s.blobs); j += stride {
			a, b := s.blobs[i], s.blobs[j]
			if math.Abs(a.foot-b.foot) < 0.08*float64(s.h) {
				continue
			}
			l := line{slope: (b.tall - a.tall) / (b.foot - a.foot)}
			l.offset = a.tall - l.slope*a.foot
			if l.slope < 0 || l.slope > steepest {
				continue
			}
			if n := agree(l); n > max(most, 1.1*level) {
				most, best = n, l
			}
		}
	}
	all := 0.0
	for _, b := range s.blobs {
		all += b.tall
	}
	// Waves and leaves have no height that they agree on.
	if most < consent*all {
		s.known = false
		return
	}
	s.known, s.highest = true, float64(s.h)
	for _, b := range s.blobs {
		if want := best.slope*b.foot + best.offset; math.Abs(b.tall-want) < 0.125*want {
			s.highest = min(s.highest, b.foot-want/2)
		}
	}
	s.perspective = camera.Perspective{Slope: best.slope, Offset: best.offset / float64(s.h)}
}
