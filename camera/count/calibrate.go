//go:build cgo

package count

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"klarsyn/camera"
)

// Box is around somebody, in pixels of the small picture: the top left corner, and the size.
type Box struct{ X, Y, W, H float64 }

func (b Box) foot() float64 { return b.Y + b.H }

// middle is the column of the feet.
func (b Box) middle() float64 { return b.X + b.W/2 }

// Still is a picture of which somebody has told who is in it.
type Still struct {
	Frame int
	Boxes []Box
	mask  []byte
}

// ErrNoStill says that a picture is none to calibrate with.
var ErrNoStill = errors.New("not a picture to calibrate with")

// Still gives the foreground of a picture, without learning from it, for Calibrate. A picture that cannot be counted in is
// ErrNoStill, with the reason. Boxes of those whose feet are masked are left out.
func (c *Counter) Still(frame int, boxes []Box, i420 []byte) (Still, error) {
	if len(i420) != len(c.picture) {
		return Still{}, fmt.Errorf("picture of %d bytes: want %d for %dx%d", len(i420), len(c.picture), c.width, c.height)
	}
	if c.settling > 0 {
		return Still{}, fmt.Errorf("the background is not known: %w", ErrNoStill)
	}
	c.background.level(c.cover.blinds.over(i420), c.picture)
	s, err := c.foreground(c.hold())
	if err != nil {
		return Still{}, err
	}
	if s.why != camera.QualityOK {
		return Still{}, fmt.Errorf("it is %s: %w", s.why, ErrNoStill)
	}
	boxes = slices.DeleteFunc(slices.Clone(boxes), func(b Box) bool { return c.cover.blinds.standsBehind(b.middle(), b.foot()) })
	return Still{Frame: frame, Boxes: boxes, mask: slices.Clone(c.mask)}, nil
}

// Calibrated is a profile, and how far counts by it are off where the truth was known.
type Calibrated struct {
	Profile camera.Profile
	// Before is the mean absolute error of the same stills without calibration but for the perspective.
	Before float64
	Errors []StillError // of every still, by a profile that was made without it
	Places []PlaceError
}

// StillError is one still's.
type StillError struct {
	Frame   int `json:"frame"`
	Truth   int `json:"truth"`
	Counted int `json:"counted"`
}

// PlaceError is how often somebody in a part of the picture was missed, or seen where nobody is.
type PlaceError struct {
	Place    string `json:"place"`
	People   int    `json:"people"`
	Missed   int    `json:"missed"`
	Invented int    `json:"invented"`
}

const (
	// folds is into how many parts stills are divided; each is counted by what the others teach.
	folds = 5
	// fewestPeople is how many boxes make a perspective, and fewestShapes how many people apart from others a silhouette.
	fewestPeople, fewestShapes = 8, 20
)

// Calibrate makes a profile from stills of w by h: the perspective if p does not tell it, the silhouette of people as this
// camera sees them, and how well it must fit. What p has of zones, ground, occluders and masks stays.
func Calibrate(p camera.Profile, w, h int, stills []Still) (Calibrated, error) {
	all := 0
	for _, s := range stills {
		all += len(s.Boxes)
	}
	if len(stills) < folds || all < fewestPeople {
		return Calibrated{}, fmt.Errorf("%d stills with %d people: want at least %d stills with %d people", len(stills), all, folds, fewestPeople)
	}
	c := calibration{w: w, h: h, given: p}
	profile, err := c.fit(stills)
	if err != nil {
		return Calibrated{}, err
	}
	out := Calibrated{Profile: profile}
	places := places{w: w, h: h}
	var off, relative []float64
	bias, before := 0.0, 0.0
	for k := range folds {
		var own, others []Still
		for i, s := range stills {
			if i%folds == k {
				own = append(own, s)
			} else {
				others = append(others, s)
			}
		}
		taught, err := c.fit(others)
		if err != nil {
			return Calibrated{}, err
		}
		plain := c.given
		plain.Perspective, _ = taught.Heights()
		plain.Mounting = nil
		for _, s := range own {
			found, n := c.count(taught, s)
			truth := c.truth(s)
			places.add(c.given.Zones, s.Boxes, found)
			d := n - float64(truth)
			off, bias = append(off, math.Abs(d)), bias+d
			relative = append(relative, math.Abs(d)/(0.6+0.5*math.Sqrt(max(n, 1))))
			_, m := c.count(plain, s)
			before += math.Abs(m - float64(truth))
			out.Errors = append(out.Errors, StillError{Frame: s.Frame, Truth: truth, Counted: int(math.Round(n))})
		}
	}
	mae := 0.0
	for _, d := range off {
		mae += d / float64(len(off))
	}
	slices.Sort(off)
	slices.Sort(relative)
	ninth := int(math.Ceil(0.9*float64(len(off)))) - 1
	// Never narrower than the counter's own: stills are a small sample.
	if relative[ninth] > 1 {
		out.Profile.Coefficients.Error = relative[ninth]
	}
	out.Before, out.Places = before/float64(len(off)), places.told()
	out.Profile.Calibration = &camera.Calibration{Method: Method, Stills: len(stills), People: all,
		MAE: mae, Bias: bias / float64(len(off)), P90: off[ninth]}
	return out, nil
}

// calibration is what all folds share.
type calibration struct {
	w, h  int
	given camera.Profile
}

// fit makes a profile from some stills.
func (c calibration) fit(stills []Still) (camera.Profile, error) {
	p := c.given
	p.Calibration, p.Coefficients, p.Silhouette = nil, camera.Coefficients{}, nil
	if _, ok := p.Heights(); !ok {
		line, err := perspective(stills, c.w, c.h)
		if err != nil {
			return p, err
		}
		p.Perspective = line
	}
	own := seenFrom(stills, c.w, c.h)
	best := math.Inf(1)
	tried := p
	for _, shape := range []camera.Silhouette{nil, own} {
		for _, believed := range []float64{believed, 0.14, 0.22, 0.1, 0.26, 0.06, 0.3} {
			tried.Silhouette, tried.Coefficients.Believed = shape, believed
			off, bias := 0.0, 0.0
			for _, s := range stills {
				_, n := c.count(tried, s)
				d := n - float64(c.truth(s))
				off, bias = off+math.Abs(d), bias+d
			}
			// What is as good as the counter's own choice is not better: the first stays unless clearly beaten.
			if cost := off + math.Abs(bias)/2; cost < best-0.05*float64(len(stills)) {
				best, p = cost, tried
			}
		}
		if own == nil {
			break // there is only the drawn one
		}
	}
	return p, nil
}

// count counts a still by a profile: who is found, and how many of them in zones.
func (c calibration) count(p camera.Profile, s Still) (found []stand, n float64) {
	line, _ := p.Heights()
	h := float64(c.h)
	cover := newCover(c.w, c.h, p)
	found = cover.inSight(cover.people(s.mask, 4, func(foot float64) float64 { return line.PersonHeight(foot/h) * h }))
	for _, f := range found {
		if f.anywhere(c.given.Zones, c.w, c.h) {
			n += f.people
		}
	}
	return found, n
}

// truth is how many people were told to stand in zones.
func (c calibration) truth(s Still) (n int) {
	for _, b := range s.Boxes {
		if (stand{x: b.middle(), foot: b.foot()}).anywhere(c.given.Zones, c.w, c.h) {
			n++
		}
	}
	return n
}

// anywhere says whether somebody stands in one of the zones; without any there is only one.
func (s stand) anywhere(zones []camera.Zone, w, h int) bool {
	for _, z := range zones {
		if s.in(z.Polygon, w, h) {
			return true
		}
	}
	return len(zones) == 0
}
