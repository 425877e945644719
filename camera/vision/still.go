package vision

import (
	"context"
	"slices"
	"time"

	"klarsyn/camera"
)

// last is the newest picture that was looked at.
type last struct {
	samples []camera.Sample
	time    time.Time
	// moved says whether anybody moved at the last keyframe, if that is known.
	moved, known bool
}

// passes says whether an item of a GOP in which nothing has moved may have the samples of the picture before. A keyframe is
// looked at all the same from time to time, and as long as the last one gave no number.
func (c *Counter) passes(it item) bool {
	if c.last.samples == nil {
		return false
	}
	if !it.keyframe {
		return true // its keyframe was looked at, or passed over in good faith
	}
	since := it.time.Sub(c.last.time)
	return counted(c.last.samples) && since >= 0 && since < lookAgain
}

// counted says that a picture has a number: in a zone that masks hide as a whole there never is one.
func counted(samples []camera.Sample) bool {
	return slices.ContainsFunc(samples, func(s camera.Sample) bool { return s.Quality == camera.QualityOK })
}

// pass repeats the last samples at another time: who stood there has not moved, and nobody has come.
func (c *Counter) pass(ctx context.Context, at time.Time) {
	samples := slices.Clone(c.last.samples)
	for i := range samples {
		samples[i].Time = at
	}
	c.count(func(s *Stats) { s.Passed++; s.Samples += uint64(len(samples)) })
	c.out(ctx, samples)
}

// remember keeps the samples of a picture that was looked at, and teaches the gate what the size of a GOP meant whose two
// keyframes were counted.
func (c *Counter) remember(d due, samples []camera.Sample) {
	if !samples[0].Quality.Looked() {
		c.last = last{}
		return
	}
	c.last.samples, c.last.time = samples, d.time
	if !d.keyframe {
		return
	}
	before, known := c.last.moved, c.last.known
	c.last.moved, c.last.known = false, counted(samples)
	for _, s := range samples {
		c.last.moved = c.last.moved || s.Moving >= 0.5
	}
	// Where somebody moves at one end alone nobody knows how much of the time it was.
	if c.gate != nil && known && c.last.known && before == c.last.moved {
		c.gate.learn(d.gop, before)
	}
}
