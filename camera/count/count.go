//go:build cgo

// Package count estimates how many people stand and move in each zone of a small picture, from the
// area that differs from the background. It keeps no feature of a person, only a background. Only
// klarsyn-vision imports it. No OpenCV type leaves it.
package count

import (
	"errors"
	"fmt"
	"image"
	"math"

	"gocv.io/x/gocv"

	"klarsyn/camera"
)

const (
	// defaultLearning is how many keyframes make the first background: 20 s at one every 2 s.
	defaultLearning = 10
	// motionHistory is MOG2's memory in keyframes. It learns at 1/history, and a colour is background
	// once it has a tenth of the weight: at 16 who stands for two keyframes is still. At 10 and below a
	// colour just seen outweighs that tenth at once, and MOG2 calls everything new its own shadow.
	motionHistory = 16
	// jumped is the share of the picture that no crowd covers at once: the lights or the camera changed.
	jumped = 0.65
)

// Counter counts the people in one camera's pictures. It is not safe for two goroutines at once.
type Counter struct {
	zones         []zone
	width, height int
	learning      int
	background    *background
	motion        gocv.BackgroundSubtractorMOG2
	open, close   gocv.Mat // morphology kernels
	picture       []byte   // the one at hand, I420, its brightness brought to the background's
	mask          []byte   // 255 where it differs
	settling      int      // pictures to go until counts are trusted
}

// FitSize is the size that pictures are counted in: about 480x270 in area, never larger than coded, the
// aspect kept, both even.
func FitSize(w, h int) (int, int) {
	f := min(1, math.Sqrt(480*270/(float64(w)*float64(h))))
	even := func(v int) int { return max(2, 2*int(math.Round(float64(v)*f/2))) }
	return even(w), even(h)
}

// New makes a counter for pictures of w by h. learning is how many pictures it looks at before it trusts
// its background; 0 means 10.
func New(p camera.Profile, w, h, learning int) (*Counter, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if w < 16 || h < 16 || w*h > 1<<22 || w%2 != 0 || h%2 != 0 {
		return nil, fmt.Errorf("pictures of %dx%d: want even sizes from 16x16 to 4 megapixels", w, h)
	}
	if learning == 0 {
		learning = defaultLearning
	}
	if learning < 3 || learning > window {
		return nil, fmt.Errorf("learning from %d pictures: want 3 to %d", learning, window)
	}
	return &Counter{
		zones: newZones(p, w, h), width: w, height: h, learning: learning, settling: learning,
		background: newBackground(w, h),
		motion:     gocv.NewBackgroundSubtractorMOG2WithParams(motionHistory, 16, true),
		open:       gocv.GetStructuringElement(gocv.MorphRect, image.Pt(2, 3)),
		close:      gocv.GetStructuringElement(gocv.MorphRect, image.Pt(3, 3)),
		picture:    make([]byte, w*h*3/2), mask: make([]byte, w*h),
	}, nil
}

// Close frees what OpenCV holds. The counter cannot be used again.
func (c *Counter) Close() error {
	return errors.Join(c.motion.Close(), c.open.Close(), c.close.Close())
}

// Count looks at the next picture, in I420, and gives one sample per zone. The caller adds
// camera and time.
func (c *Counter) Count(i420 []byte) ([]camera.Sample, error) {
	if len(i420) != len(c.picture) {
		return nil, fmt.Errorf("picture of %d bytes: want %d for %dx%d", len(i420), len(c.picture), c.width, c.height)
	}
	c.background.level(i420, c.picture)
	moving, err := c.moves()
	if err != nil {
		return nil, err
	}
	defer func() { _ = moving.Close() }()
	if c.settling > 0 {
		c.settling--
		c.background.add(c.picture)
		if c.settling == 0 {
			c.background.rebuild()
		}
		return c.samples(nil, nil), nil
	}
	share := c.background.differ(c.picture, c.mask)
	if share > jumped {
		c.background.forget()
		c.settling = c.learning
		return c.samples(nil, nil), nil
	}
	c.background.add(c.picture)
	if err := c.clean(); err != nil {
		return nil, err
	}
	m, err := moving.DataPtrUint8()
	if err != nil {
		return nil, fmt.Errorf("motion mask: %w", err)
	}
	return c.samples(c.mask, m), nil
}

// moves gives MOG2's view: 255 what changed within the last keyframes, 127 shadows.
func (c *Counter) moves() (gocv.Mat, error) {
	in, err := gocv.NewMatFromBytes(c.height, c.width, gocv.MatTypeCV8U, c.picture[:c.width*c.height])
	if err != nil {
		return gocv.Mat{}, fmt.Errorf("hand the picture to OpenCV: %w", err)
	}
	defer func() { _ = in.Close() }()
	out := gocv.NewMat()
	c.motion.Apply(in, &out)
	if out.Rows() != c.height || out.Cols() != c.width {
		_ = out.Close()
		return gocv.Mat{}, fmt.Errorf("MOG2 gave a mask of %dx%d: want %dx%d", out.Cols(), out.Rows(), c.width, c.height)
	}
	return out, nil
}

// clean takes specks out of the mask and closes what they cut.
func (c *Counter) clean() error {
	in, err := gocv.NewMatFromBytes(c.height, c.width, gocv.MatTypeCV8U, c.mask)
	if err != nil {
		return fmt.Errorf("hand the mask to OpenCV: %w", err)
	}
	defer func() { _ = in.Close() }()
	gocv.MorphologyEx(in, &in, gocv.MorphOpen, c.open)
	gocv.MorphologyEx(in, &in, gocv.MorphClose, c.close)
	b, err := in.DataPtrUint8()
	if err != nil {
		return fmt.Errorf("clean the mask: %w", err)
	}
	copy(c.mask, b) // b is OpenCV's memory and goes with the Mat
	return nil
}

// samples weighs the masks; nil masks mean that the background is still being learnt.
func (c *Counter) samples(present, moving []byte) []camera.Sample {
	out := make([]camera.Sample, 0, len(c.zones))
	for _, z := range c.zones {
		s := camera.Sample{Zone: z.id, Quality: camera.QualityLearning}
		if present != nil {
			s.Present, s.Moving = z.weigh(present, moving)
			s.Low, s.High = Interval(s.Present)
			s.Quality = camera.QualityOK
		}
		out = append(out, s)
	}
	return out
}

// Interval is a simple error model: a fixed part for specks and feet on the line, and one that grows
// with the root of the number, as people hide one another independently. Measured on the synthetic
// scene; see the README.
func Interval(n float64) (low, high float64) {
	half := 0.6 + 0.5*math.Sqrt(n)
	return max(0, n-half), n + half
}
