//go:build cgo

package count

import (
	"fmt"
	"math"
	"slices"

	"klarsyn/camera"
)

// perspective is the line through heights by rows of the feet that half of all pairs of people lie on either side of (Theil
// 1950, Sen 1968): a third of the boxes may be wrong. Who is cut off at the edge does not tell how tall people are.
func perspective(stills []Still, w, h int) (camera.Perspective, error) {
	var people []Box
	for _, s := range stills {
		for _, b := range s.Boxes {
			if b.X > 2 && b.Y > 2 && b.X+b.W < float64(w)-2 && b.foot() < float64(h)-2 {
				people = append(people, b)
			}
		}
	}
	if len(people) < fewestPeople {
		return camera.Perspective{}, fmt.Errorf("%d people who are wholly in the picture: want at least %d", len(people), fewestPeople)
	}
	var slopes []float64
	for i, a := range people {
		for _, b := range people[i+1:] {
			if d := b.foot() - a.foot(); math.Abs(d) > 0.04*float64(h) {
				slopes = append(slopes, (b.H-a.H)/d)
			}
		}
	}
	slope := 0.0
	if len(slopes) >= fewestPeople { // else all stand in one row, and nothing tells a slope
		slope = max(0, middle(slopes))
	}
	offsets := make([]float64, len(people))
	for i, b := range people {
		offsets[i] = b.H - slope*b.foot()
	}
	return camera.Perspective{Slope: slope, Offset: middle(offsets) / float64(h)}, nil
}

func middle(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// seenFrom is the mean of what is seen of people who stand apart from others, mirrored; nil if they are too few for
// nobody to be recognised by.
func seenFrom(stills []Still, w, h int) camera.Silhouette {
	var sum [rows][columns]float64
	n := 0
	for _, s := range stills {
		for i, b := range s.Boxes {
			if b.H < 20 || b.X < 1 || b.Y < 1 || b.X+b.W > float64(w)-1 || b.foot() > float64(h)-1 || crowds(s.Boxes, i) {
				continue
			}
			left := b.middle() - boxWidth/2*b.H
			var points [rows][columns]float64
			covered := 0.0
			for r := range rows {
				for k := range columns {
					x, y := int(left+(float64(k)+0.5)/columns*boxWidth*b.H), int(b.Y+(float64(r)+0.5)/rows*b.H)
					if x >= 0 && x < w && y >= 0 && y < h && s.mask[y*w+x] != 0 {
						points[r][k] = 1
						covered++
					}
				}
			}
			if covered < 0.15*rows*columns { // he is not in the foreground at all, or behind something
				continue
			}
			n++
			for r := range rows {
				for k := range columns {
					sum[r][k] += (points[r][k] + points[r][columns-1-k]) / 2
				}
			}
		}
	}
	if n < fewestShapes {
		return nil
	}
	// The drawn one counts for ten people.
	drawn, out := upright(), make(camera.Silhouette, rows)
	for r := range rows {
		out[r] = make([]float64, columns)
		for k := range columns {
			p := (sum[r][k] + 10*drawn[r][k]) / float64(n+10)
			out[r][k] = math.Round(1000*max(0.03, min(0.93, p))) / 1000
		}
	}
	return out
}

// crowds says that somebody else's box comes close to one's.
func crowds(boxes []Box, i int) bool {
	b := boxes[i]
	for j, o := range boxes {
		if i != j && o.X < b.X+1.2*b.W && b.X < o.X+1.2*o.W && o.Y < b.foot() && b.Y < o.foot() {
			return true
		}
	}
	return false
}

// places tells errors by ninths of the picture.
type places struct {
	w, h  int
	ninth [9]PlaceError
}

// add pairs who was told with who was found, the nearest first.
func (p *places) add(zones []camera.Zone, boxes []Box, found []stand) {
	taken := make([]bool, len(found))
	for _, b := range boxes {
		at := stand{x: b.middle(), foot: b.foot(), tall: b.H}
		if !at.anywhere(zones, p.w, p.h) {
			continue
		}
		place := p.of(at)
		place.People++
		best, who := 0.6, -1 // of a height
		for i, f := range found {
			if d := math.Hypot(f.x-at.x, f.foot-at.foot) / max(1, b.H); !taken[i] && d < best {
				best, who = d, i
			}
		}
		if who < 0 {
			place.Missed++
		} else {
			taken[who] = true
		}
	}
	for i, f := range found {
		if !taken[i] && f.anywhere(zones, p.w, p.h) {
			p.of(f).Invented++
		}
	}
}

func (p *places) of(s stand) *PlaceError {
	x := max(0, min(2, int(3*s.x/float64(p.w))))
	y := max(0, min(2, int(3*s.foot/float64(p.h))))
	place := &p.ninth[3*y+x]
	place.Place = [3]string{"far", "middle", "near"}[y] + " " + [3]string{"left", "centre", "right"}[x]
	return place
}

// told leaves out where nothing was.
func (p *places) told() []PlaceError {
	return slices.DeleteFunc(p.ninth[:], func(e PlaceError) bool { return e.People+e.Invented == 0 })
}
