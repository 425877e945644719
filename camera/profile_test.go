package camera

import (
	"math"
	"strings"
	"testing"
)

// The perspective of a mounted camera agrees with rays drawn to feet and heads on flat ground.
func TestMountingPerspective(t *testing.T) {
	for _, m := range []Mounting{{Height: 6, Tilt: 12, Lens: 35}, {Height: 10, Tilt: 25, Lens: 50}, {Height: 4, Tilt: 5, Lens: 30}} {
		line, err := m.Perspective()
		if err != nil {
			t.Fatal(err)
		}
		tilt, focal := m.Tilt*math.Pi/180, 0.5/math.Tan(m.Lens/2*math.Pi/180)
		row := func(away, high float64) float64 { // of a point so far away and so high, through the camera's axes
			down := m.Height - high
			return 0.5 + focal*(down*math.Cos(tilt)-away*math.Sin(tilt))/(away*math.Cos(tilt)+down*math.Sin(tilt))
		}
		seen := 0
		for away := 2.0; away < 80; away *= 1.1 {
			foot := row(away, 0)
			if foot < 0.2 || foot > 1 {
				continue
			}
			seen++
			want, got := foot-row(away, stature), line.PersonHeight(foot)
			if math.Abs(got-want) > 0.12*want+0.005 {
				t.Errorf("%+v: at %.1f m, row %.2f, people are %.3f tall, want %.3f", m, away, foot, got, want)
			}
		}
		if seen < 5 {
			t.Errorf("%+v: only %d distances are seen", m, seen)
		}
	}
}

func TestProfileRefuses(t *testing.T) {
	box := []Point{{0, 0}, {1, 0}, {1, 1}}
	rows := make(Silhouette, SilhouetteRows)
	for r := range rows {
		rows[r] = make([]float64, SilhouetteColumns)
	}
	bad := make(Silhouette, SilhouetteRows)
	copy(bad, rows)
	bad[3] = []float64{1, 2}
	mask := func(id string, version int, kind string, corners []Point) Profile {
		return Profile{Masks: []Mask{{ID: "ok", Version: 1, Polygon: box}, {ID: id, Version: version, Kind: kind, Polygon: corners}}}
	}
	for _, kind := range []string{"", MaskBlack, MaskBlur} {
		if err := mask("windows-2", 7, kind, box).Validate(); err != nil {
			t.Error(err)
		}
	}
	if err := (Profile{Silhouette: rows, Ground: box, Occluders: [][]Point{box}, Coefficients: Coefficients{Believed: 0.2, Factor: 1.1, Error: 2}}).Validate(); err != nil {
		t.Fatal(err)
	}
	for want, p := range map[string]Profile{
		"want one of them":             {Perspective: Perspective{Slope: 1}, Mounting: &Mounting{Height: 5, Tilt: 10, Lens: 40}},
		"height is 1":                  {Mounting: &Mounting{Height: 1, Tilt: 10, Lens: 40}},
		"sees no ground":               {Mounting: &Mounting{Height: 5, Tilt: -30, Lens: 20}},
		"ground has 2 corners":         {Ground: box[:2]},
		"occluder 2":                   {Occluders: [][]Point{box, {{0, 0}, {2, 0}, {1, 1}}}},
		"silhouette of 1 rows":         {Silhouette: rows[:1]},
		"row 4 has 2 columns":          {Silhouette: bad},
		"believed is 3":                {Coefficients: Coefficients{Believed: 3}},
		`mask "A b": not a slug`:       mask("A b", 1, "", box),
		`mask "ok" stands twice`:       mask("ok", 2, "", box),
		"version is 0: want 1 or more": mask("a", 0, "", box),
		`"a": kind is "grey"`:          mask("a", 1, "grey", box),
		`mask "a" has 2 corners`:       mask("a", 1, "", box[:2]),
		`mask "a": corner (0, NaN)`:    mask("a", 1, "", []Point{{0, math.NaN()}, {1, 0}, {1, 1}}),
		"factor is NaN":                {Coefficients: Coefficients{Factor: math.NaN()}},
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
