// Package scene draws a synthetic square with exact ground truth: a camera on a mast, paving of black and
// white triangles, stairs, a fountain, and people who walk, stop, stand, meet and leave. The same seed
// gives the same square, and its last frame leads into its first.
package scene

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"klarsyn/camera"
)

// Config is what distinguishes one scene from another. Zero fields get defaults.
type Config struct {
	Seed   uint64 `json:"seed"`
	Width  int    `json:"width"`  // of the picture in pixels, even (640)
	Height int    `json:"height"` // even (360)
	FPS    int    `json:"fps"`    // frames per second (10)
	Frames int    `json:"frames"` // length of the loop (600)
	People int    `json:"people"` // who take part in a loop; not all are in the picture at once (14)

	// Crowd, instead of People, is how many are in the picture at once on the average, in loops of any length.
	Crowd int `json:"crowd,omitempty"`
	// Standing is how many more come and stand in one place for half of the loop.
	Standing int     `json:"standing,omitempty"`
	Weather  Weather `json:"weather,omitzero"`
}

// WithDefaults fills the zero fields.
func (c Config) WithDefaults() Config {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.Width, 640)
	set(&c.Height, 360)
	set(&c.FPS, 10)
	set(&c.Frames, 600)
	if c.Crowd == 0 {
		set(&c.People, 14)
	}
	return c
}

// The limits of a scene. Below 64 pixels a person is a dot; a loop of less than two seconds has no room
// for a step forth and back.
const (
	minSide, maxSide = 64, 4096
	maxFPS           = 60
	minLoopSeconds   = 2
	maxFrames        = 100_000
	maxPeople        = 500
	maxCrowd         = 150
	maxStanding      = 50
	// In a shorter loop nobody could come, stay and go.
	minCrowdSeconds = 120
)

// Validate says which field is wrong and what it should be, after the defaults are filled in.
func (c Config) Validate() error {
	c = c.WithDefaults()
	for _, s := range []struct {
		name string
		v    int
	}{{"width", c.Width}, {"height", c.Height}} {
		if s.v < minSide || s.v > maxSide || s.v%2 != 0 {
			return fmt.Errorf("scene: %s %d: want an even number from %d to %d", s.name, s.v, minSide, maxSide)
		}
	}
	if c.FPS < 1 || c.FPS > maxFPS {
		return fmt.Errorf("scene: fps %d: want 1 to %d", c.FPS, maxFPS)
	}
	if c.Frames < minLoopSeconds*c.FPS || c.Frames > maxFrames {
		return fmt.Errorf("scene: frames %d: want %d (%d seconds) to %d", c.Frames, minLoopSeconds*c.FPS, minLoopSeconds, maxFrames)
	}
	if c.Crowd == 0 && (c.People < 1 || c.People > maxPeople) {
		return fmt.Errorf("scene: people %d: want 1 to %d", c.People, maxPeople)
	}
	if c.Crowd != 0 && c.People != 0 {
		return fmt.Errorf("scene: people %d and crowd %d: want one of them", c.People, c.Crowd)
	}
	for _, s := range []struct {
		name       string
		v, highest int
	}{{"crowd", c.Crowd, maxCrowd}, {"standing", c.Standing, maxStanding}} {
		if s.v < 0 || s.v > s.highest {
			return fmt.Errorf("scene: %s %d: want 0 to %d", s.name, s.v, s.highest)
		}
		if s.v > 0 && c.Frames < minCrowdSeconds*c.FPS {
			return fmt.Errorf("scene: %s in frames %d: want at least %d (%d seconds)", s.name, c.Frames, minCrowdSeconds*c.FPS, minCrowdSeconds)
		}
	}
	return c.Weather.validate(float64(c.Frames) / float64(c.FPS))
}

// Scene is read-only after New: its methods may be called from several goroutines.
type Scene struct {
	cfg    Config
	view   view
	people []person
	set    stage
	sky    *sky // nil: no weather
}

// Box is one person in the picture, as fractions of its width and height.
type Box struct {
	X, Y, W, H   float64 // top left corner and size, cut off at the picture's edge
	FootX, FootY float64 // where the person stands: this decides the zone
	Moving       bool
	Person       int // index inside the simulation only
}

// Count is how many people stand in a zone, and how many of them move.
type Count struct{ Present, Moving int }

// Truth is what is in one frame: everybody whose feet are in the picture. Zones holds every zone of the
// profile, empty ones included.
type Truth struct {
	Frame int
	Boxes []Box
	Zones map[string]Count
}

// New lays out the square and everybody's way over it.
func New(c Config) (*Scene, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.WithDefaults()
	r := rand.New(rand.NewPCG(c.Seed, 0x6b6c617273796e)) // "klarsyn"
	v := newView(r, c.Width, c.Height)
	if !v.sound() {
		return nil, errors.New("scene: the camera sees no ground")
	}
	s := &Scene{cfg: c, view: v}
	s.people = cast(r, v, c.People, s.seconds())
	// Those who came later to this package draw from their own numbers: the others stay who they were.
	more := rand.New(rand.NewPCG(c.Seed, 0x63726f7764)) // "crowd"
	s.people = append(s.people, throng(more, v, c.Crowd, s.seconds())...)
	s.people = append(s.people, stayers(more, v, c.Standing, s.seconds())...)
	s.set = build(r, v, s.seconds())
	s.sky = newSky(c.Seed, c.Weather, &s.view, s.seconds())
	return s, nil
}

// Config is the scene's configuration with its defaults filled in.
func (s *Scene) Config() Config { return s.cfg }

// Profile is what a counter must know of this picture, exactly.
func (s *Scene) Profile() camera.Profile {
	zones := make([]camera.Zone, len(s.view.zones))
	for i, z := range s.view.zones {
		zones[i] = z
		zones[i].Polygon = append([]camera.Point(nil), z.Polygon...)
	}
	return camera.Profile{Zones: zones, Perspective: s.view.perspective()}
}

func (s *Scene) seconds() float64 { return float64(s.cfg.Frames) / float64(s.cfg.FPS) }

// phase is the frame's index within the loop.
func (s *Scene) phase(n int) int { return ((n % s.cfg.Frames) + s.cfg.Frames) % s.cfg.Frames }

// Truth is cheap: it draws nothing.
func (s *Scene) Truth(n int) Truth {
	f := s.phase(n)
	t := Truth{Frame: f, Zones: make(map[string]Count, len(s.view.zones))}
	for _, z := range s.view.zones {
		t.Zones[z.ID] = Count{}
	}
	now := float64(f) / float64(s.cfg.FPS)
	for i := range s.people {
		p, ok := s.people[i].at(now, s.seconds())
		if !ok {
			continue
		}
		box, ok := s.view.box(p, s.people[i].tall)
		if !ok {
			continue
		}
		box.Person = i
		t.Boxes = append(t.Boxes, box)
		for _, z := range s.view.zones {
			if contains(z.Polygon, box.FootX, box.FootY) {
				c := t.Zones[z.ID]
				c.Present++
				if box.Moving {
					c.Moving++
				}
				t.Zones[z.ID] = c
				break
			}
		}
	}
	return t
}

// contains is the even-odd rule. A point on the line between two zones is in one of them only, because
// they share its corners.
func contains(poly []camera.Point, x, y float64) bool {
	in := false
	for i, j := 0, len(poly)-1; i < len(poly); j, i = i, i+1 {
		a, b := poly[i], poly[j]
		if (a.Y > y) != (b.Y > y) && x < (b.X-a.X)*(y-a.Y)/(b.Y-a.Y)+a.X {
			in = !in
		}
	}
	return in
}

// between draws a number from a range.
func between(r *rand.Rand, low, high float64) float64 { return low + r.Float64()*(high-low) }

func hypot(x, z float64) float64 { return math.Sqrt(x*x + z*z) }
