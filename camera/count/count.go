//go:build cgo

// Package count estimates how many people stand and move in each zone of a small picture, by the silhouettes that
// explain what differs from the background. It keeps no feature of a person: a background, and of people heights and
// rows alone. Only klarsyn-vision imports it. No OpenCV type leaves it.
package count

import (
	"errors"
	"fmt"
	"image"
	"math"
	"slices"

	"gocv.io/x/gocv"

	"klarsyn/camera"
)

// Method names this way of counting, and its version: it changes whenever its numbers do.
const Method camera.Method = "silhouette-cover/3"

const (
	// defaultLearning is how many keyframes make the first background: 20 s at one every 2 s.
	defaultLearning = 10
	// motionHistory is MOG2's memory in keyframes. It learns at 1/history, and a colour is background
	// once it has a tenth of the weight: at 16 who stands for two keyframes is still. At 10 and below a
	// colour just seen outweighs that tenth at once, and MOG2 calls everything new its own shadow.
	motionHistory = 16
	// jumped is the share of the picture that no crowd covers at once: the lights or the camera changed.
	jumped = 0.65
	// unexplained is the share of the picture that differs and is nobody, beyond which nothing else is believed. So it is from
	// puzzling on, where that is the mostly part of all that differs.
	unexplained, puzzling, mostly = 0.15, 0.03, 0.5
	// patienceAdrift is for how many pictures in a row the camera may point elsewhere, be obscured, or see another light,
	// before what it sees now is learnt: a flash and a bird on the lens do not cost the background.
	patienceAdrift = 5
	// speck is the area in pixels below which a piece is noise.
	speck = 20
)

// Counter counts the people in one camera's pictures. It is not safe for two goroutines at once.
type Counter struct {
	width, height int
	learning      int
	background    *background
	motion        gocv.BackgroundSubtractorMOG2
	open, close   gocv.Mat // morphology kernels
	margin        gocv.Mat // around people
	picture       []byte   // the one at hand, I420, brought to the background's brightness and place
	mask          []byte   // 255 where it differs
	raw           []byte   // the same before it was cleaned
	lit           []byte   // 255 where it may be the background in another light
	around        []byte   // where somebody is, with the edge
	settling      int      // pictures to go until counts are trusted
	learnt        int      // pictures that were waited for beyond those

	view     view
	register register
	first    []byte // the first picture that is learnt from
	astray   int    // pictures in a row whose place was not found
	still    []byte // where the picture is moved to
	cover    *cover
	pieces   *pieces
	scale    *scale // learns how tall people are; nil if the profile says it
	profile  camera.Profile
	unseen   []bool // by zone: masks hide all of it
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
	c := &Counter{
		profile: p, width: w, height: h, learning: learning, settling: learning,
		view: view{w: w, h: h}, register: register{w: w, h: h}, still: make([]byte, w*h*3/2), cover: newCover(w, h, p), pieces: newPieces(w, h),
		background: newBackground(w, h),
		motion:     gocv.NewBackgroundSubtractorMOG2WithParams(motionHistory, 16, true),
		open:       gocv.GetStructuringElement(gocv.MorphRect, image.Pt(2, 3)),
		close:      gocv.GetStructuringElement(gocv.MorphRect, image.Pt(3, 3)),
		margin:     gocv.GetStructuringElement(gocv.MorphRect, image.Pt(9, 9)),
		picture:    make([]byte, w*h*3/2), mask: make([]byte, w*h), raw: make([]byte, w*h), lit: make([]byte, w*h), around: make([]byte, w*h),
	}
	blinds := c.cover.blinds
	c.view.blinds, c.register.blinds, c.pieces.blinds, c.background.blinds = blinds, blinds, blinds, blinds
	c.background.hide()
	for _, z := range p.Zones {
		c.unseen = append(c.unseen, blinds.unseen(z))
	}
	if known, ok := p.Heights(); ok {
		c.profile.Perspective = known
	} else {
		c.scale = newScale(w, h)
	}
	return c, nil
}

// Close frees what OpenCV holds. The counter cannot be used again.
func (c *Counter) Close() error {
	return errors.Join(c.motion.Close(), c.open.Close(), c.close.Close(), c.margin.Close())
}

// Count looks at the next picture, in I420, and gives one sample per zone. The caller adds camera and time. What it
// remembers it measures in these pictures: one every two seconds or so.
func (c *Counter) Count(i420 []byte) ([]camera.Sample, error) { return c.count(i420, true) }

// Glance counts a picture between two others, and learns nothing from it.
func (c *Counter) Glance(i420 []byte) ([]camera.Sample, error) { return c.count(i420, false) }

func (c *Counter) count(i420 []byte, learns bool) ([]camera.Sample, error) {
	if len(i420) != len(c.picture) {
		return nil, fmt.Errorf("picture of %d bytes: want %d for %dx%d", len(i420), len(c.picture), c.width, c.height)
	}
	i420 = c.cover.blinds.over(i420)
	if c.view.dark(i420[:c.width*c.height]) { // the day's background is kept
		return c.uncounted(camera.QualityTooDark), nil
	}
	c.background.level(i420, c.picture)
	found := c.hold()
	moving, err := c.moves()
	if err != nil {
		return nil, err
	}
	defer func() { _ = moving.Close() }()
	if c.settling > 0 {
		if learns {
			c.learn()
		}
		return c.uncounted(camera.QualityLearning), nil
	}
	seen, err := c.foreground(found)
	if err != nil {
		return nil, err
	}
	if seen.why != camera.QualityOK {
		if learns && seen.why != camera.QualityTooDark { // the day's background is kept
			c.adrift()
		}
		return c.uncounted(seen.why), nil
	}
	if learns {
		c.astray = 0
		defer func() { c.background.add(c.picture, c.around) }()
	}
	tall, known := c.heights()
	if !known {
		if err := c.surround(); err != nil {
			return nil, err
		}
		if !seen.anybody { // however tall people are here
			return c.samples(nil, nil), nil
		}
		return c.uncounted(camera.QualityLearning), nil
	}
	m, err := moving.DataPtrUint8()
	if err != nil {
		return nil, fmt.Errorf("motion mask: %w", err)
	}
	people := c.cover.inSight(c.exorcise(c.cover.people(c.mask, c.highest(), tall)))
	if err := c.surround(); err != nil {
		return nil, err
	}
	if c.puzzled() {
		return c.uncounted(seen.likeness.partly()), nil
	}
	for i := range people {
		people[i].moving = c.cover.share(people[i], c.mask, m)
	}
	return c.samples(people, tall), nil
}

// seen is what the foreground of a picture tells.
type seen struct {
	why      camera.Quality // ok, or why it cannot be counted in
	likeness likeness
	anybody  bool // may be there
}

// foreground makes the mask of the picture at hand; found says that it lies where the background does.
func (c *Counter) foreground(found bool) (s seen, err error) {
	s.likeness = c.view.compare(c.picture[:c.width*c.height], &c.register.known)
	switch {
	case s.likeness.obscured():
		s.why = camera.QualityObscured
		return s, nil
	case !found || s.likeness.elsewhere(): // full of edges that look like people
		s.why = camera.QualityCameraMoved
		return s, nil
	}
	share, noise := c.background.differ(c.picture, c.mask)
	switch {
	case noise > duskNoise && c.background.light.gain < dusk:
		s.why = camera.QualityTooDark
		return s, nil
	case share > jumped || noise > maxNoise:
		s.why = s.likeness.reason()
		return s, nil
	}
	copy(c.raw, c.mask)
	if err := c.clean(); err != nil {
		return s, err
	}
	s.anybody, err = c.takeApart()
	s.why = camera.QualityOK
	return s, err
}

// puzzled says that too much of what differs is nobody: rain, a shadow, fog.
func (c *Counter) puzzled() bool {
	all, pixels := 0, c.cover.blinds.seen(len(c.mask))
	left := c.cover.left(c.mask) / pixels
	for _, v := range c.mask {
		if v != 0 {
			all++
		}
	}
	return left > unexplained || left > puzzling && left > mostly*float64(all)/pixels
}

// exorcise leaves out who was taken for background and has left, also from among others, so that the background may follow.
func (c *Counter) exorcise(people []stand) []stand {
	n := c.width * c.height
	return slices.DeleteFunc(people, func(s stand) bool {
		is, was := c.cover.outline(s, c.mask, c.picture[:n]), c.cover.outline(s, c.mask, c.background.median[:n])
		if was <= ghostly*is {
			return false
		}
		c.cover.forget(s, c.mask)
		return true
	})
}

// learn takes a picture as it is. Where no background can be told yet it goes on, for as long as somebody who stands
// still is waited for.
func (c *Counter) learn() {
	c.background.add(c.picture, nil)
	if c.settling--; c.settling > 0 {
		return
	}
	c.background.rebuild()
	if c.learnt++; !c.background.sure && c.learnt < patience {
		c.settling = 1
	}
}

// adrift learns what is seen now after a number of pictures in a row that could not be counted in.
func (c *Counter) adrift() {
	if c.astray++; c.astray >= patienceAdrift {
		c.begin()
	}
}

// begin learns the background anew.
func (c *Counter) begin() {
	c.background.forget()
	c.first = c.first[:0]
	c.settling, c.learnt, c.astray = c.learning, 0, 0
}

// hold moves the picture at hand to where it would lie if the camera had not moved; false if that is further than is
// looked. Until there is a background the first picture says where that is.
func (c *Counter) hold() bool {
	defer func() { c.cover.blinds.draw(c.picture) }() // in another light, and elsewhere, they are not as they were
	n := c.width * c.height
	reference := c.first
	switch {
	case c.background.fresh:
		c.register.learn(c.background.median[:n])
		c.background.fresh = false
		fallthrough
	case c.background.ready:
		reference = c.background.median
	case len(c.first) == 0:
		c.first = append(c.first, c.picture...)
		c.register.learn(c.first[:n])
		return true
	}
	dx, dy, atEdge := c.register.shift(c.picture[:n], reference[:n])
	if atEdge || max(math.Abs(dx), math.Abs(dy)) < steady {
		return !atEdge
	}
	c.register.move(c.picture, c.still, dx, dy)
	c.picture, c.still = c.still, c.picture
	c.cover.blinds.mend(c.picture, reference, &c.register, dx, dy)
	return true
}

// highest is the row above which nobody's feet can be.
func (c *Counter) highest() float64 {
	if c.scale != nil {
		return max(4, c.scale.highest)
	}
	return 4
}

// heights gives the height of somebody by the row of the feet, in pixels, once it is known.
func (c *Counter) heights() (func(float64) float64, bool) {
	p := c.profile.Perspective
	if c.scale != nil {
		if !c.scale.known {
			return nil, false
		}
		p = c.scale.perspective
	}
	h := float64(c.height)
	return func(foot float64) float64 { return p.PersonHeight(foot/h) * h }, true
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
