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

	"gocv.io/x/gocv"

	"klarsyn/camera"
)

// Method names this way of counting, and its version: it changes whenever its numbers do.
const Method camera.Method = "silhouette-cover/2"

const (
	// defaultLearning is how many keyframes make the first background: 20 s at one every 2 s.
	defaultLearning = 10
	// motionHistory is MOG2's memory in keyframes. It learns at 1/history, and a colour is background
	// once it has a tenth of the weight: at 16 who stands for two keyframes is still. At 10 and below a
	// colour just seen outweighs that tenth at once, and MOG2 calls everything new its own shadow.
	motionHistory = 16
	// jumped is the share of the picture that no crowd covers at once: the lights or the camera changed.
	jumped = 0.65
	// unexplained is the share of the picture that differs and is nobody, beyond which nothing else is believed.
	unexplained = 0.15
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
	around        []byte   // where somebody is, with the edge
	settling      int      // pictures to go until counts are trusted
	learnt        int      // pictures that were waited for beyond those

	view     view
	register register
	first    []byte // luma of the first picture that is learnt from
	astray   int    // pictures in a row whose place was not found
	still    []byte // where the picture is moved to
	cover    *cover
	pieces   *pieces
	scale    *scale // learns how tall people are; nil if the profile says it
	profile  camera.Profile
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
		view: view{w: w, h: h}, register: register{w: w, h: h}, still: make([]byte, w*h*3/2), cover: newCover(w, h), pieces: newPieces(w, h),
		background: newBackground(w, h),
		motion:     gocv.NewBackgroundSubtractorMOG2WithParams(motionHistory, 16, true),
		open:       gocv.GetStructuringElement(gocv.MorphRect, image.Pt(2, 3)),
		close:      gocv.GetStructuringElement(gocv.MorphRect, image.Pt(3, 3)),
		margin:     gocv.GetStructuringElement(gocv.MorphRect, image.Pt(9, 9)),
		picture:    make([]byte, w*h*3/2), mask: make([]byte, w*h), raw: make([]byte, w*h), around: make([]byte, w*h),
	}
	if p.Perspective == (camera.Perspective{}) {
		c.scale = newScale(w, h)
	}
	return c, nil
}

// Close frees what OpenCV holds. The counter cannot be used again.
func (c *Counter) Close() error {
	return errors.Join(c.motion.Close(), c.open.Close(), c.close.Close(), c.margin.Close())
}

// Count looks at the next picture, in I420, and gives one sample per zone. The caller adds
// camera and time.
func (c *Counter) Count(i420 []byte) ([]camera.Sample, error) {
	if len(i420) != len(c.picture) {
		return nil, fmt.Errorf("picture of %d bytes: want %d for %dx%d", len(i420), len(c.picture), c.width, c.height)
	}
	n := c.width * c.height
	if c.view.dark(i420[:n]) { // the day's background is kept
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
		c.learn()
		return c.uncounted(camera.QualityLearning), nil
	}
	likeness := c.view.compare(c.picture[:n])
	if likeness.obscured() {
		return c.adrift(camera.QualityObscured), nil
	}
	// A picture in another place is full of edges that look like people.
	if !found || likeness.elsewhere() {
		return c.adrift(camera.QualityCameraMoved), nil
	}
	if share := c.background.differ(c.picture, c.mask); share > jumped {
		return c.adrift(likeness.reason()), nil
	}
	c.astray = 0
	copy(c.raw, c.mask)
	if err := c.clean(); err != nil {
		return nil, err
	}
	anybody, err := c.takeApart()
	if err != nil {
		return nil, err
	}
	if err := c.surround(); err != nil {
		return nil, err
	}
	defer func() { c.background.add(c.picture, c.around) }()
	tall, known := c.heights()
	if !known {
		if !anybody { // however tall people are here
			return c.samples(nil, nil), nil
		}
		return c.uncounted(camera.QualityLearning), nil
	}
	m, err := moving.DataPtrUint8()
	if err != nil {
		return nil, fmt.Errorf("motion mask: %w", err)
	}
	people := c.cover.people(c.mask, c.highest(), tall)
	if c.cover.left(c.mask) > unexplained*float64(n) {
		return c.uncounted(likeness.partly()), nil
	}
	for i := range people {
		people[i].moving = c.cover.share(people[i], c.mask, m)
	}
	return c.samples(people, tall), nil
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

// adrift says why a picture is not counted in, and after a number of them in a row learns what is seen now.
func (c *Counter) adrift(why camera.Quality) []camera.Sample {
	if c.astray++; c.astray >= patienceAdrift {
		c.begin()
	}
	return c.uncounted(why)
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
	n := c.width * c.height
	reference := c.first
	switch {
	case c.background.fresh:
		c.register.learn(c.background.median[:n])
		c.view.learn(c.background.median[:n])
		c.background.fresh = false
		fallthrough
	case c.background.ready:
		reference = c.background.median[:n]
	case len(c.first) == 0:
		c.first = append(c.first, c.picture[:n]...)
		c.register.learn(c.first)
		return true
	}
	dx, dy, atEdge := c.register.shift(c.picture[:n], reference)
	if atEdge || max(math.Abs(dx), math.Abs(dy)) < steady {
		return !atEdge
	}
	c.register.move(c.picture, c.still, dx, dy)
	c.picture, c.still = c.still, c.picture
	return true
}

// highest is the row above which nobody's feet can be.
func (c *Counter) highest() float64 {
	if c.scale != nil {
		return max(4, c.scale.highest)
	}
	return 4
}

// surround is all that differs on people and close to them: opening has taken their edge away, and a background that took
// it would eat its way into them.
func (c *Counter) surround() error {
	in, err := gocv.NewMatFromBytes(c.height, c.width, gocv.MatTypeCV8U, c.mask)
	if err != nil {
		return fmt.Errorf("hand the mask to OpenCV: %w", err)
	}
	defer func() { _ = in.Close() }()
	out := gocv.NewMat() // in is the mask itself, which stays as it is
	defer func() { _ = out.Close() }()
	gocv.Dilate(in, &out, c.margin)
	b, err := out.DataPtrUint8()
	if err != nil {
		return fmt.Errorf("widen the mask: %w", err)
	}
	for i, v := range b {
		c.around[i] = v & c.raw[i]
	}
	return nil
}

// takeApart removes from the mask what is light, specks or ghosts, and learns how tall people are from the rest, if that
// is not known. It says whether anybody may be there.
func (c *Counter) takeApart() (anybody bool, err error) {
	n := c.width * c.height
	found := c.pieces.find(c.mask, c.picture[:n], c.background.median[:n])
	lit := false
	for _, p := range found {
		if ratio, ok := c.pieces.light(p, c.picture, c.background.median); ok {
			c.relight(p, ratio)
			lit = true
		}
	}
	if lit { // who stands in it is left, with crumbs around him
		if err := c.clean(); err != nil {
			return false, err
		}
		found = c.pieces.find(c.mask, c.picture[:n], c.background.median[:n])
	}
	kept := found[:0]
	for _, p := range found {
		if !p.ghost && p.area >= speck {
			kept = append(kept, p)
			continue
		}
		for _, i := range p.pixels {
			c.mask[i] = 0
		}
	}
	return c.scale == nil || c.scale.add(kept), nil
}

// relight takes from the mask what is the background in another light, so that the background may follow there.
func (c *Counter) relight(p piece, ratio float64) {
	for _, i := range p.pixels {
		if inLight(c.picture[i], c.background.median[i], ratio) && c.plain(int(i)) {
			c.mask[i], c.raw[i] = 0, 0
		}
	}
}

// plain says that a pixel has the background's colour, more or less.
func (c *Counter) plain(i int) bool {
	n := c.width * c.height
	u := n + i/c.width/2*(c.width/2) + i%c.width/2
	is, was := c.picture, c.background.median
	return off(is[u], was[u]) <= 2*tinted && off(is[u+n/4], was[u+n/4]) <= 2*tinted
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
	copy(c.mask, b) // b is the mask itself, as long as OpenCV wrote in place
	return nil
}

// samples tells people by zone; tall as for heights, nil if nobody is there.
func (c *Counter) samples(people []stand, tall func(float64) float64) []camera.Sample {
	out := make([]camera.Sample, 0, len(c.profile.Zones))
	for _, z := range c.profile.Zones {
		s := camera.Sample{Zone: z.ID, Quality: camera.QualityOK, Method: Method}
		for _, p := range people {
			if !p.in(z.Polygon, c.width, c.height) {
				continue
			}
			s.Present++
			if p.moving > 0.3 {
				s.Moving++
			}
		}
		left := 0.0
		if tall != nil {
			left = c.cover.leftIn(z.Polygon, c.mask, tall)
		}
		s.Low, s.High = interval(s.Present, left)
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
// number, as people hide one another independently, and above half of those who would fit into what nobody explains.
// Measured on synthetic scenes; see the README.
func interval(n, left float64) (low, high float64) {
	half := 0.6 + 0.5*math.Sqrt(n)
	return max(0, n-half), n + half + left/2
}
