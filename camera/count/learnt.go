//go:build cgo

package count

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"klarsyn/camera"
)

// ErrLearnt says that what is to be resumed was learnt by another version, or of pictures of another size, or is damaged.
var ErrLearnt = errors.New("what was learnt before does not fit")

// copies is how many pictures stand for a background that is resumed: more than half of a window, so that whoever is
// there when it is does not become part of it.
const copies = window/2 + 1

// learnt is what stands before the two planes of what a counter has learnt.
type learnt struct {
	Width, Height, Stride  uint16
	Known                  uint8 // 1 if the scale is
	Highest, Slope, Offset float64
	Added, Blobs           uint32
}

// Learnt is what the counter has learnt of its camera: the empty square, how far its pixels stray, and how tall people
// are. No picture that was seen is part of it, and masks are black. It is nil while there is nothing to be trusted.
func (c *Counter) Learnt() []byte {
	b := c.background
	if c.settling > 0 || !b.ready || c.astray > 0 {
		return nil
	}
	head := learnt{Width: uint16(c.width), Height: uint16(c.height), Stride: uint16(b.stride)}
	var blobs []blob
	if s := c.scale; s != nil {
		blobs = s.blobs
		head.Highest, head.Slope, head.Offset = s.highest, s.perspective.Slope, s.perspective.Offset
		head.Added, head.Blobs = uint32(s.added), uint32(len(blobs))
		if s.known {
			head.Known = 1
		}
	}
	var out bytes.Buffer
	out.WriteString(string(Method) + "\n")
	_ = binary.Write(&out, binary.BigEndian, head) // a buffer takes everything
	for _, p := range blobs {
		_ = binary.Write(&out, binary.BigEndian, [2]float64{p.foot, p.tall})
	}
	out.Write(b.median)
	out.Write(b.limit)
	return out.Bytes()
}

// Resume goes on with what a counter of the same kind has learnt. A counter that has seen a picture refuses, and so does one
// for pictures of another size. What does not fit leaves the counter as it was.
func (c *Counter) Resume(saved []byte) error {
	if c.background.ready || len(c.first) > 0 {
		return errors.New("resume before the first picture")
	}
	rest, ok := bytes.CutPrefix(saved, []byte(string(Method)+"\n"))
	if !ok {
		return fmt.Errorf("%w: it is not of %s", ErrLearnt, Method)
	}
	r := bytes.NewReader(rest)
	var head learnt
	if err := binary.Read(r, binary.BigEndian, &head); err != nil {
		return fmt.Errorf("%w: it is cut off", ErrLearnt)
	}
	n := len(c.picture)
	switch {
	case int(head.Width) != c.width || int(head.Height) != c.height:
		return fmt.Errorf("%w: it is of pictures of %dx%d, and these are of %dx%d", ErrLearnt, head.Width, head.Height, c.width, c.height)
	case head.Stride < 1 || head.Stride > maxStride || head.Blobs > kept || head.Known > 1 || r.Len() != int(head.Blobs)*16+2*n:
		return fmt.Errorf("%w: it is damaged", ErrLearnt)
	}
	s := newScale(c.width, c.height)
	if err := s.resume(head, r); err != nil {
		return err
	}
	if c.scale != nil {
		c.scale = s
	}
	rest = rest[len(rest)-2*n:]
	for i, l := range rest[n:] {
		if (l == 0) != c.cover.blinds.hides(i) {
			return fmt.Errorf("%w: it was learnt behind other masks", ErrLearnt)
		}
	}
	c.background.resume(rest[:n], rest[n:], int(head.Stride))
	c.settling = 0
	return c.prime()
}

// resume reads the blobs.
func (s *scale) resume(head learnt, r *bytes.Reader) error {
	h := float64(s.h)
	within := func(v, low, high float64) bool { return v >= low && v <= high } // false for what is no number
	for range head.Blobs {
		var v [2]float64
		if err := binary.Read(r, binary.BigEndian, &v); err != nil || !within(v[0], 0, h) || !within(v[1], 1, h) {
			return fmt.Errorf("%w: it is damaged", ErrLearnt)
		}
		s.blobs = append(s.blobs, blob{v[0], v[1]})
	}
	if !within(head.Highest, -h, h) || !within(head.Slope, 0, steepest) || !within(head.Offset, -1, 1) {
		return fmt.Errorf("%w: it is damaged", ErrLearnt)
	}
	s.added, s.highest, s.known = int(head.Added), head.Highest, head.Known == 1
	s.perspective = camera.Perspective{Slope: head.Slope, Offset: head.Offset}
	return nil
}

// resume fills the window with pictures that have the median and the noise of those it was taken from.
func (b *background) resume(median, limit []byte, stride int) {
	copy(b.median, median)
	for i, l := range limit {
		b.limit[i] = min(60, max(minChroma, l))
		if i < b.w*b.h {
			b.limit[i] = max(minLuma, b.limit[i])
		}
	}
	b.hide()
	for k := range copies {
		// The densest half of a normal distribution is evenly filled, more or less.
		z := 1.35 * (float64(k)/(copies-1) - 0.5)
		frame := make([]byte, len(b.median))
		for i, m := range b.median {
			frame[i] = byte(max(0, min(255, math.Round(float64(m)+z*float64(b.limit[i])/noiseDiffs))))
		}
		b.frames = append(b.frames, frame)
	}
	b.stride, b.ready, b.sure, b.fresh = stride, true, true, true
}

// prime shows MOG2 the empty square.
func (c *Counter) prime() error {
	copy(c.picture, c.background.median)
	m, err := c.moves()
	if err != nil {
		return err
	}
	return m.Close()
}
