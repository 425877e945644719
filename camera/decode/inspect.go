//go:build cgo

package decode

import (
	"bytes"
	"fmt"

	"klarsyn/camera"
)

// maxUnits bounds the NAL units of one picture: FFmpeg spends four kilobytes on each, and finds those that hide in
// another behind a start code, which would be two million in a picture of eight megabytes.
const maxUnits = 4200 // 4096 of the picture, which is what the protocol allows, and its parameter sets

// inspect refuses what FFmpeg would spend memory on before it refuses it itself: units without number, and of H.265
// absurd sizes, for which it makes its tables before it looks at max_pixels.
func inspect(codec camera.Codec, coded []byte) error {
	units := 0
	for {
		at := bytes.Index(coded, []byte{0, 0, 1})
		if at < 0 {
			return nil
		}
		coded = coded[at+3:]
		if units++; units > maxUnits {
			return fmt.Errorf("picture of more than %d NAL units: %w", maxUnits, ErrNoPicture)
		}
		if codec != camera.H265 || !isParameterSet(codec, coded) {
			continue
		}
		w, h, ok := size265(coded)
		if ok && (w > maxPixels || h > maxPixels || w*h > maxPixels) {
			return fmt.Errorf("picture of %dx%d: %w", w, h, ErrNoPicture)
		}
	}
}

// size265 reads a sequence parameter set of H.265 (7.3.2.2.1) as far as the size. A reader of whole sets, as mediacommon's,
// refuses one that is damaged behind its size, which FFmpeg makes its tables for all the same.
func size265(sps []byte) (w, h uint64, ok bool) {
	r := bitReader{b: sps[:min(len(sps), 400)]}
	r.skip(16 + 4) // the unit's head, the number of the VPS
	layers := int(r.bits(3))
	r.skip(1 + 88 + 8)
	below := r.bits(2 * layers) // of each layer below the highest: profile told, level told
	if layers > 0 {
		r.skip(2 * (8 - layers))
	}
	for ; layers > 0; layers-- {
		if below>>(2*layers-1)&1 == 1 {
			r.skip(88)
		}
		if below>>(2*layers-2)&1 == 1 {
			r.skip(8)
		}
	}
	r.golomb() // the set's number
	if r.golomb() == 3 {
		r.skip(1)
	}
	w, h = r.golomb(), r.golomb()
	return w, h, !r.short
}

// bitReader reads a NAL unit and leaves out emulation prevention bytes.
type bitReader struct {
	b     []byte
	zeros int // bytes of zero before b
	left  int // bits of b's first byte that are not yet read; 0 before the first
	short bool
}

func (r *bitReader) bits(n int) (v uint64) {
	for ; n > 0; n-- {
		if r.left == 0 {
			r.next()
		}
		if r.short {
			return 0
		}
		r.left--
		v = v<<1 | uint64(r.b[0]>>r.left&1)
		if r.left == 0 {
			r.b = r.b[1:]
		}
	}
	return v
}

// next begins a byte.
func (r *bitReader) next() {
	if len(r.b) > 0 && r.zeros >= 2 && r.b[0] == 3 {
		r.b, r.zeros = r.b[1:], 0
	}
	if len(r.b) == 0 {
		r.short = true
		return
	}
	r.left = 8
	if r.zeros++; r.b[0] != 0 {
		r.zeros = 0
	}
}

func (r *bitReader) skip(n int) {
	for ; n > 0; n -= 32 {
		r.bits(min(n, 32))
	}
}

// golomb reads an Exp-Golomb code.
func (r *bitReader) golomb() uint64 {
	zeros := 0
	for r.bits(1) == 0 {
		if zeros++; r.short || zeros > 32 {
			r.short = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.bits(zeros)
}
