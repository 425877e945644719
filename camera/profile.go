package camera

import (
	"errors"
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/stat"
)

// Point is a place in the picture as fractions of its width and height, from the top left corner.
type Point struct {
	X float64 `json:"x" yaml:"x"`
	Y float64 `json:"y" yaml:"y"`
}

// Zone is a named part of the picture in which people are counted by the place of their feet.
type Zone struct {
	ID      string  `json:"id" yaml:"id"`
	Name    string  `json:"name" yaml:"name"`
	Polygon []Point `json:"polygon" yaml:"polygon"`
}

// Perspective gives the height of a standing person, as a fraction of the picture's height, whose feet
// are at row y (also a fraction): Slope·y + Offset, never less than 0.01. A fixed camera over flat
// ground makes it linear. The zero value says that it is not known: then the counter learns it from people who walk alone.
type Perspective struct {
	Slope  float64 `json:"slope" yaml:"slope"`
	Offset float64 `json:"offset" yaml:"offset"`
}

// PersonHeight is the height of a person standing at row y, as a fraction of the picture's height.
func (p Perspective) PersonHeight(y float64) float64 { return max(0.01, p.Slope*y+p.Offset) }

// Mounting is how a camera hangs, if that is known: the ground below it is taken as flat.
type Mounting struct {
	Height float64 `json:"height" yaml:"height"` // metres above the ground
	Tilt   float64 `json:"tilt" yaml:"tilt"`     // degrees below the horizon of the middle of the picture
	Lens   float64 `json:"lens" yaml:"lens"`     // degrees that the picture spans from top to bottom
}

// The size of a Silhouette: a box around somebody, SilhouetteWidth of a height wide.
const (
	SilhouetteRows    = 24
	SilhouetteColumns = 10
	SilhouetteWidth   = 0.44
)

// The kinds of a mask: what is shown in its place. Counting sees black in place of either.
const (
	MaskBlack = "black"
	MaskBlur  = "blur"
)

// Mask is a part of the picture that nobody is to see, such as windows: counting looks at nothing in it, and counts nobody
// whose feet are in it. Another polygon or kind under the same id is another version.
type Mask struct {
	ID      string `json:"id" yaml:"id"`
	Version int    `json:"version" yaml:"version"`
	// Kind is MaskBlack, which an empty one means, or MaskBlur.
	Kind    string  `json:"kind" yaml:"kind"`
	Polygon []Point `json:"polygon" yaml:"polygon"`
	// Calibration names the view of the camera that the polygon was drawn in, for people; no code here reads it.
	Calibration string `json:"calibration,omitempty" yaml:"calibration,omitempty"`
}

func (m Mask) validate() error {
	if !slug.MatchString(m.ID) {
		return fmt.Errorf("mask %q: %w", m.ID, ErrBadID)
	}
	if m.Version < 1 {
		return fmt.Errorf("mask %q: version is %d: want 1 or more", m.ID, m.Version)
	}
	if m.Kind != "" && m.Kind != MaskBlack && m.Kind != MaskBlur {
		return fmt.Errorf("mask %q: kind is %q: want %s or %s", m.ID, m.Kind, MaskBlack, MaskBlur)
	}
	return polygon(fmt.Sprintf("mask %q", m.ID), m.Polygon)
}

// Silhouette is how probable it is, row by row from the head down, that a point of the box around somebody is covered: the
// mean of many people. It has SilhouetteRows rows of SilhouetteColumns, or none: then the counter takes one that was drawn.
type Silhouette [][]float64

// Coefficients tune the counter to a camera; a zero is the counter's own choice.
type Coefficients struct {
	// Believed is how well a silhouette must explain what is seen: the mean log-likelihood ratio per point.
	Believed float64 `json:"believed,omitempty" yaml:"believed,omitempty"`
	// Factor is how many people there are for one that is seen: some always hide others.
	Factor float64 `json:"factor,omitempty" yaml:"factor,omitempty"`
	// Error is by how much wider the interval around a count is than the counter's own choice.
	Error float64 `json:"error,omitempty" yaml:"error,omitempty"`
}

// Calibration is where a profile comes from and how far it was off, by cross-validation, where the truth was known.
type Calibration struct {
	Method     Method    `json:"method" yaml:"method"`
	Date       time.Time `json:"date" yaml:"date"`
	Conditions string    `json:"conditions,omitempty" yaml:"conditions,omitempty"` // such as "overcast, noon"
	Stills     int       `json:"stills" yaml:"stills"`
	People     int       `json:"people" yaml:"people"`
	MAE        float64   `json:"mae" yaml:"mae"`   // mean absolute error of a still's count
	Bias       float64   `json:"bias" yaml:"bias"` // positive: too many
	P90        float64   `json:"p90" yaml:"p90"`   // nine errors of ten are not larger
}

// Profile is what the counter must know of one camera's picture.
type Profile struct {
	Zones       []Zone      `json:"zones" yaml:"zones"`
	Perspective Perspective `json:"perspective" yaml:"perspective,omitempty"`
	// Mounting gives the perspective, if that is not told.
	Mounting *Mounting `json:"mounting,omitempty" yaml:"mounting,omitempty"`
	// Ground is where feet may be; empty is everywhere.
	Ground []Point `json:"ground,omitempty" yaml:"ground,omitempty"`
	// Occluders are what stands before the people: lamp posts, signs, trees.
	Occluders [][]Point `json:"occluders,omitempty" yaml:"occluders,omitempty"`
	// Masks are what nobody is to see.
	Masks        []Mask       `json:"masks,omitempty" yaml:"masks,omitempty"`
	Silhouette   Silhouette   `json:"silhouette,omitempty" yaml:"silhouette,omitempty"`
	Coefficients Coefficients `json:"coefficients" yaml:"coefficients,omitempty"`
	Calibration  *Calibration `json:"calibration,omitempty" yaml:"calibration,omitempty"`
}

// Validate says which part is wrong and why.
func (p Profile) Validate() error {
	for _, v := range []float64{p.Perspective.Slope, p.Perspective.Offset} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.New("perspective: slope and offset must be finite numbers")
		}
	}
	if p.Mounting != nil {
		if p.Perspective != (Perspective{}) {
			return errors.New("perspective and mounting are both told: want one of them")
		}
		if _, err := p.Mounting.Perspective(); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, z := range p.Zones {
		if !slug.MatchString(z.ID) {
			return fmt.Errorf("zone %q: %w", z.ID, ErrBadID)
		}
		if seen[z.ID] {
			return fmt.Errorf("zone %q stands twice: zone ids are unique within a camera", z.ID)
		}
		seen[z.ID] = true
		if err := polygon(fmt.Sprintf("zone %q", z.ID), z.Polygon); err != nil {
			return err
		}
	}
	if len(p.Ground) > 0 {
		if err := polygon("ground", p.Ground); err != nil {
			return err
		}
	}
	for i, o := range p.Occluders {
		if err := polygon(fmt.Sprintf("occluder %d", i+1), o); err != nil {
			return err
		}
	}
	masks := map[string]bool{}
	for _, m := range p.Masks {
		if err := m.validate(); err != nil {
			return err
		}
		if masks[m.ID] {
			return fmt.Errorf("mask %q stands twice: mask ids are unique within a camera", m.ID)
		}
		masks[m.ID] = true
	}
	if err := p.Silhouette.validate(); err != nil {
		return err
	}
	return p.Coefficients.validate()
}

func polygon(name string, corners []Point) error {
	if len(corners) < 3 {
		return fmt.Errorf("%s has %d corners: want at least 3", name, len(corners))
	}
	for _, pt := range corners {
		if !(pt.X >= 0 && pt.X <= 1 && pt.Y >= 0 && pt.Y <= 1) {
			return fmt.Errorf("%s: corner (%g, %g) is outside the picture: want fractions from 0 to 1", name, pt.X, pt.Y)
		}
	}
	return nil
}

func (s Silhouette) validate() error {
	if len(s) == 0 {
		return nil
	}
	if len(s) != SilhouetteRows {
		return fmt.Errorf("silhouette of %d rows: want %d", len(s), SilhouetteRows)
	}
	for r, row := range s {
		if len(row) != SilhouetteColumns {
			return fmt.Errorf("silhouette: row %d has %d columns: want %d", r+1, len(row), SilhouetteColumns)
		}
		for _, v := range row {
			if !(v >= 0 && v <= 1) {
				return fmt.Errorf("silhouette: row %d holds %g: want probabilities from 0 to 1", r+1, v)
			}
		}
	}
	return nil
}

func (c Coefficients) validate() error {
	for _, v := range []struct {
		name         string
		v, low, high float64
	}{{"believed", c.Believed, 0.01, 1}, {"factor", c.Factor, 0.5, 2}, {"error", c.Error, 0.25, 10}} {
		if v.v != 0 && !(v.v >= v.low && v.v <= v.high) {
			return fmt.Errorf("coefficients: %s is %g: want %g to %g", v.name, v.v, v.low, v.high)
		}
	}
	return nil
}

// stature is the mean height of people in metres, shoes and children included.
const stature = 1.68

// Perspective is the line that comes closest to how tall people are in the rows where they can stand. Over flat ground, with
// the camera upright, a row is the tangent of the angle below the optical axis.
func (m Mounting) Perspective() (Perspective, error) {
	for _, v := range []struct {
		name         string
		v, low, high float64
	}{{"height", m.Height, 2, 200}, {"tilt", m.Tilt, -30, 80}, {"lens", m.Lens, 2, 120}} {
		if !(v.v >= v.low && v.v <= v.high) {
			return Perspective{}, fmt.Errorf("mounting: %s is %g: want %g to %g", v.name, v.v, v.low, v.high)
		}
	}
	rad := math.Pi / 180
	row := func(below float64) float64 { // of a ray so many radians below the horizon
		return 0.5 + math.Tan(below-m.Tilt*rad)/(2*math.Tan(m.Lens/2*rad))
	}
	var feet, heights []float64
	for foot := 0.02; foot <= 1; foot += 0.02 {
		below := m.Tilt*rad + math.Atan((foot-0.5)*2*math.Tan(m.Lens/2*rad))
		if below < 0.5*rad || below > 85*rad { // the horizon, and right below the mast
			continue
		}
		away := m.Height / math.Tan(below)
		tall := foot - row(math.Atan((m.Height-stature)/away))
		feet, heights = append(feet, foot), append(heights, tall)
	}
	if len(feet) < 3 {
		return Perspective{}, fmt.Errorf("mounting: a camera at %g m, tilted by %g°, with a lens of %g°, sees no ground", m.Height, m.Tilt, m.Lens)
	}
	offset, slope := stat.LinearRegression(feet, heights, nil, false)
	return Perspective{Slope: slope, Offset: offset}, nil
}

// Heights is the perspective, from wherever it is known; false if it is not.
func (p Profile) Heights() (Perspective, bool) {
	if p.Mounting != nil {
		v, err := p.Mounting.Perspective()
		return v, err == nil
	}
	return p.Perspective, p.Perspective != (Perspective{})
}
