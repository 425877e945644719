//go:build cgo

package count

import (
	"math"

	"klarsyn/camera"
)

// samples tells people by zone; tall as for heights, nil if nobody is there.
func (c *Counter) samples(people []stand, tall func(float64) float64) []camera.Sample {
	out := make([]camera.Sample, 0, len(c.profile.Zones))
	for i, z := range c.profile.Zones {
		s := camera.Sample{Zone: z.ID, Quality: camera.QualityOK, Method: Method}
		if c.unseen[i] { // nobody knows who is there: that is not zero
			s.Quality = camera.QualityObscured
			out = append(out, s)
			continue
		}
		hidden := 0.0 // people who are counted for others whom they hide
		for _, p := range people {
			if !p.in(z.Polygon, c.width, c.height) {
				continue
			}
			s.Present += p.people
			hidden += p.people - 1
			if p.moving > 0.3 {
				s.Moving += p.people
			}
		}
		factor, wider := c.profile.Coefficients.Factor, c.profile.Coefficients.Error
		if factor != 0 {
			s.Present, s.Moving = s.Present*factor, s.Moving*factor
		}
		left := 0.0
		if tall != nil {
			left = c.cover.leftIn(z.Polygon, c.mask, tall)
		}
		s.Low, s.High = interval(s.Present, left, wider)
		s.High += hidden
		out = append(out, s)
	}
	return out
}

// uncounted tells why there is no number.
func (c *Counter) uncounted(why camera.Quality) []camera.Sample {
	out := make([]camera.Sample, 0, len(c.profile.Zones))
	for _, z := range c.profile.Zones {
		out = append(out, camera.Sample{Zone: z.ID, Quality: why, Method: Method})
	}
	return out
}

// interval is a simple error model: a fixed part for specks and feet on the line, one that grows with the root of the
// number, as people hide one another independently, and above half of those who would fit into what nobody explains. Above that
// come as many again as were counted without being seen: in a crowd more are missed than invented.
// Measured on synthetic scenes, see the README; wider is by how much a camera's calibration found it should be (0: 1).
func interval(n, left, wider float64) (low, high float64) {
	if wider == 0 {
		wider = 1
	}
	half := (0.6 + 0.5*math.Sqrt(n)) * wider
	return max(0, n-half), n + half + left/2
}
