package camera

import (
	"math"
	"time"
)

// Method names how people are counted, and the version of it: numbers of two methods are not one series.
type Method string

// Quality says whether a count may be trusted, and if not, why not.
type Quality string

// The qualities of a sample. Only one that is ok has numbers.
const (
	QualityOK           Quality = "ok"
	QualityLearning     Quality = "learning"      // the background, or how tall people are, is not known well enough yet
	QualityLightsJumped Quality = "lights-jumped" // what is seen is brighter or darker in parts, all at once
	QualityCameraMoved  Quality = "camera-moved"  // the camera points elsewhere, or sways too much
	QualityObscured     Quality = "obscured"      // something covers a good part of the lens, or fog the square
	QualityTooDark      Quality = "too-dark"      // there is hardly any light
	QualityDecoderLost  Quality = "decoder-lost"  // the decoder made nothing of the picture, or died and is not back yet
	QualityUnknown      Quality = "unknown"       // there was no picture, or no time to look at it
)

// Qualities are all of them, in the order in which the pipe protocol numbers them.
func Qualities() []Quality {
	return []Quality{QualityOK, QualityLearning, QualityUnknown, QualityLightsJumped, QualityCameraMoved, QualityObscured,
		QualityTooDark, QualityDecoderLost}
}

// Looked says that a picture was looked at, whatever came of it.
func (q Quality) Looked() bool { return q != QualityUnknown && q != QualityDecoderLost }

// Sample is the number of people in one zone of one camera at one time. Numbers mean nothing unless
// Quality is QualityOK: unknown is never zero.
type Sample struct {
	Camera  ID
	Zone    string
	Time    time.Time
	Present float64 // people in the zone
	Moving  float64 // of whom move
	Low     float64 // Low..High holds the true number of present people in about nine samples of ten
	High    float64
	Quality Quality
	Method  Method // empty if nobody looked
}

// Total is the people in all zones of one picture together, whose zone is empty. Zones err independently of one another: half
// their intervals add as squares do. Where one has no number there is none.
func Total(zones []Sample) Sample {
	var sum Sample
	var below, above float64
	for i, s := range zones {
		if i == 0 {
			sum = Sample{Camera: s.Camera, Time: s.Time, Quality: QualityOK, Method: s.Method}
		}
		if s.Quality != QualityOK {
			return Sample{Camera: s.Camera, Time: s.Time, Quality: s.Quality, Method: s.Method}
		}
		sum.Present, sum.Moving = sum.Present+s.Present, sum.Moving+s.Moving
		below += (s.Present - s.Low) * (s.Present - s.Low)
		above += (s.High - s.Present) * (s.High - s.Present)
	}
	sum.Low, sum.High = max(0, sum.Present-math.Sqrt(below)), sum.Present+math.Sqrt(above)
	return sum
}
