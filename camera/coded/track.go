// Package coded is coded video at rest: pictures in decoding order, and the reader of the MP4 files that hold them.
package coded

import (
	"errors"
	"fmt"
	"time"

	"klarsyn/camera"
)

// Frame is one coded picture, in decoding order.
type Frame struct {
	NALUs    [][]byte // without start codes; parameter sets may be left out
	Keyframe bool
	// Duration is the time to the next frame's decoding; PTSOffset is presentation minus decoding time.
	Duration  time.Duration
	PTSOffset time.Duration
}

// Track is the video of one file, or one loop of a camera: the first frame is a keyframe.
type Track struct {
	Format camera.Format
	Frames []Frame
}

// Validate says why a track cannot be looped.
func (t *Track) Validate() error {
	if len(t.Frames) == 0 {
		return errors.New("track has no frames")
	}
	if !t.Frames[0].Keyframe {
		return errors.New("track does not begin with a keyframe: a loop of it could not be decoded")
	}
	if len(t.Format.SPS) == 0 || len(t.Format.PPS) == 0 || (t.Format.Codec == camera.H265 && len(t.Format.VPS) == 0) {
		return errors.New("track has no parameter sets")
	}
	for i, f := range t.Frames {
		if f.Duration <= 0 {
			return fmt.Errorf("frame %d has no duration: the loop would run without pause", i)
		}
	}
	return nil
}

// Duration is the length of one loop.
func (t *Track) Duration() time.Duration {
	var d time.Duration
	for _, f := range t.Frames {
		d += f.Duration
	}
	return d
}
