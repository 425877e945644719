package camera

import (
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
)

// ErrNoSize says that a format does not tell how large its pictures are.
var ErrNoSize = errors.New("the picture's size is not known")

// largestSide is the most that a picture may be wide or high up to level 6.2 of either standard: no camera comes near it.
const largestSide = 16888

// window is what is shown of a coded picture: its size, and what is cut off before and behind, in units of that many pixels.
type window struct{ coded, before, behind, unit int64 }

func (w window) shown() int64 { return w.coded - w.unit*(w.before+w.behind) }

// Size is how large pictures are shown, in pixels, as the sequence parameter set says. It comes from the camera: it may be
// anything, and what makes no sense is ErrNoSize.
func (f Format) Size() (width, height int, err error) {
	var across, down window
	switch {
	case f.Codec != H264 && f.Codec != H265:
		return 0, 0, fmt.Errorf("%w: codec %q: want %s or %s", ErrNoSize, f.Codec, H264, H265)
	case len(f.SPS) == 0:
		return 0, 0, fmt.Errorf("%w: there is no sequence parameter set yet", ErrNoSize)
	case f.Codec == H264:
		across, down, err = size264(f.SPS)
	default:
		across, down, err = size265(f.SPS)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%w: the %s sequence parameter set cannot be read: %w", ErrNoSize, f.Codec, err)
	}
	w, h := across.shown(), down.shown()
	if w < 1 || h < 1 || across.coded > largestSide || down.coded > largestSide {
		return 0, 0, fmt.Errorf("%w: the %s sequence parameter set says %dx%d of %dx%d coded: want at least 1x1 and at most %d a side", ErrNoSize,
			f.Codec, w, h, across.coded, down.coded, largestSide)
	}
	return int(w), int(h), nil
}

// size264 is of H.264, 7.4.2.1.1. The library's own Width does not crop pictures without colour, and wraps.
func size264(set []byte) (across, down window, err error) {
	var s h264.SPS
	if err = s.Unmarshal(set); err != nil {
		return across, down, err
	}
	if s.ChromaFormatIdc > 3 {
		return across, down, fmt.Errorf("chroma format %d", s.ChromaFormatIdc)
	}
	fields := int64(2) // to a frame, of which one is a map unit high
	if s.FrameMbsOnlyFlag {
		fields = 1
	}
	unitX, unitY := chroma(s.ChromaFormatIdc, s.SeparateColourPlaneFlag)
	across = window{coded: 16 * (int64(s.PicWidthInMbsMinus1) + 1), unit: unitX}
	down = window{coded: 16 * fields * (int64(s.PicHeightInMapUnitsMinus1) + 1), unit: unitY * fields}
	if c := s.FrameCropping; c != nil {
		across.before, across.behind = int64(c.LeftOffset), int64(c.RightOffset)
		down.before, down.behind = int64(c.TopOffset), int64(c.BottomOffset)
	}
	return across, down, nil
}

// size265 is of H.265, 7.4.3.2.1.
func size265(set []byte) (across, down window, err error) {
	var s h265.SPS
	if err = s.Unmarshal(set); err != nil { // also of a chroma format beyond 3
		return across, down, err
	}
	unitX, unitY := chroma(s.ChromaFormatIdc, s.SeparateColourPlaneFlag)
	across = window{coded: int64(s.PicWidthInLumaSamples), unit: unitX}
	down = window{coded: int64(s.PicHeightInLumaSamples), unit: unitY}
	if c := s.ConformanceWindow; c != nil {
		across.before, across.behind = int64(c.LeftOffset), int64(c.RightOffset)
		down.before, down.behind = int64(c.TopOffset), int64(c.BottomOffset)
	}
	return across, down, nil
}

// chroma is how many pixels share a colour across and down, which is what both standards crop by.
func chroma(format uint32, apart bool) (x, y int64) {
	switch {
	case apart:
		return 1, 1
	case format == 1:
		return 2, 2
	case format == 2:
		return 2, 1
	}
	return 1, 1
}
