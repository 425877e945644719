//go:build cgo

package count

import (
	"fmt"

	"gocv.io/x/gocv"
)

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

// takeApart removes from the mask what is light, specks or ghosts, and learns how tall people are from the rest, if that
// is not known. It says whether anybody may be there.
func (c *Counter) takeApart() (anybody bool, err error) {
	if c.unlight() { // who stands in it is left, with crumbs around him
		if err := c.clean(); err != nil {
			return false, err
		}
	}
	found := c.pieces.find(c.mask, c.picture, c.background.median)
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
