//go:build cgo

package count

import "testing"

// While nobody knows how tall people are, what may be somebody is told from what cannot be: with that the picture has no number,
// and without it zero.
func TestWhoMayBeSomebody(t *testing.T) {
	at := func(x, y, w, h, percent int) piece {
		return piece{x0: x, y0: y, x1: x + w - 1, y1: y + h - 1, area: w * h * percent / 100}
	}
	for name, tt := range map[string]struct {
		piece piece
		want  bool
	}{
		"upright":                     {at(200, 100, 20, 50, 60), true},
		"upright, far away":           {at(200, 100, 6, 14, 60), true},
		"with a long shadow":          {at(150, 60, 140, 160, 25), true},
		"a group":                     {at(150, 150, 90, 50, 60), true},
		"thin, of arms and legs":      {at(200, 50, 90, 160, 10), true},
		"cut off at the side":         {at(0, 100, 30, 20, 60), true},
		"head and shoulders below":    {at(200, 230, 40, 40, 60), true},
		"a pigeon":                    {at(200, 200, 12, 6, 60), false},
		"a wave":                      {at(100, 150, 60, 6, 60), false},
		"a sparse patch":              {at(100, 150, 30, 50, 20), false},
		"the whole height, as a mast": {at(100, 3, 4, 262, 60), false},
	} {
		if got := newScale(480, 270).add([]piece{tt.piece}); got != tt.want {
			t.Errorf("%s may be somebody: %v, want %v", name, got, tt.want)
		}
	}
}
