package camera_test

import (
	"math"
	"testing"
	"time"

	"klarsyn/camera"
)

// Zones err independently, and a total with a zone that nobody counted is no number.
func TestTotal(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	zone := func(id string, present, moving, low, high float64, q camera.Quality) camera.Sample {
		return camera.Sample{Camera: "k1", Zone: id, Time: at, Present: present, Moving: moving, Low: low, High: high, Quality: q, Method: "m/1"}
	}
	a, b := zone("a", 5, 1, 2, 8, camera.QualityOK), zone("b", 6, 2, 2, 10, camera.QualityOK)
	dark := zone("c", 0, 0, 0, 0, camera.QualityTooDark)
	for name, tt := range map[string]struct {
		zones []camera.Sample
		want  camera.Sample
	}{
		"none":           {nil, camera.Sample{}},
		"one":            {[]camera.Sample{a}, zone("", 5, 1, 2, 8, camera.QualityOK)},
		"two":            {[]camera.Sample{a, b}, zone("", 11, 3, 6, 16, camera.QualityOK)},
		"never below 0":  {[]camera.Sample{zone("a", 1, 0, 0, 2, camera.QualityOK), zone("b", 0, 0, 0, 1, camera.QualityOK)}, zone("", 1, 0, 0, 1+math.Sqrt2, camera.QualityOK)},
		"one is unknown": {[]camera.Sample{a, dark, b}, zone("", 0, 0, 0, 0, camera.QualityTooDark)},
	} {
		if got := camera.Total(tt.zones); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
	}
}
