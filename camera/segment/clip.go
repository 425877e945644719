package segment

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"klarsyn/camera"
)

const (
	timescale = 90000 // RTP's clock for video, so that media times stay exact
	trackID   = 1
	// maxSample caps the duration of one sample: a stalled camera must not stretch a picture.
	maxSample = 10 * time.Second
	// maxLast caps the last frame of a clip that nothing follows: nobody saw how long it would have stood.
	maxLast = time.Second
	// firstGuess is a sample's duration before a second access unit has shown it.
	firstGuess = 100 * time.Millisecond
)

// clip is one open fMP4 file on its way into a Recording.
type clip struct {
	rec    camera.Recording
	format camera.Format
	start  time.Time
	base   time.Duration // DTS of the first access unit

	header []byte // init segment, written together with the first fragment
	seq    uint32
	parts  []*fmp4.Sample // complete samples of the open fragment
	bytes  int
	partAt time.Duration // DTS of the open fragment's first sample
	held   camera.AccessUnit
	// frame is the last sample duration seen: what an interrupted last sample is given.
	frame time.Duration

	frames  int            // complete samples so far
	written camera.Closing // what the vault has taken
}

func newClip(rec camera.Recording, f camera.Format, header []byte, first camera.AccessUnit) *clip {
	return &clip{
		rec: rec, format: f, start: first.Time, base: first.DTS, partAt: first.DTS,
		header: header, held: first, frame: firstGuess,
		written: camera.Closing{End: first.Time},
	}
}

// mustEnd reports whether the clip has to end before au: at a keyframe once it is long enough, or when
// the format changes, since one MP4 header describes one format.
func (c *clip) mustEnd(f camera.Format, au camera.AccessUnit, length time.Duration) bool {
	if !au.Keyframe {
		return false
	}
	return au.Time.Sub(c.start) >= length-c.frame/2 || !sameFormat(f, c.format)
}

// lastEnd is where the clip ends if what follows is not recorded from about a time on: after the last
// frame, but not beyond that time, and not as late as a stalled camera's last frame would have it.
func (c *clip) lastEnd(at time.Time) time.Time {
	end := c.held.Time.Add(min(c.frame, maxLast))
	if at.After(c.held.Time) && at.Before(end) {
		return at
	}
	return end
}

// add takes the next access unit: the one before it is now complete.
func (c *clip) add(ctx context.Context, au camera.AccessUnit, cfg Config) error {
	if err := c.complete(au.DTS - c.held.DTS); err != nil {
		return err
	}
	previous := c.held
	c.held = au
	if au.DTS-c.partAt >= cfg.Fragment || c.bytes >= cfg.MaxFragment || au.Keyframe && previous.DTS-c.partAt >= cfg.Fragment/2 {
		return c.flush(ctx, au.Time)
	}
	return nil
}

// complete gives the held access unit its duration.
func (c *clip) complete(d time.Duration) error {
	if d <= 0 || d > maxSample {
		d = c.frame
	}
	c.frame = d
	s := &fmp4.Sample{}
	offset := int32(ticks(c.held.PTS) - ticks(c.held.DTS))
	var err error
	if c.format.Codec == camera.H265 {
		err = s.FillH265(offset, c.held.NALUs)
	} else {
		err = s.FillH264(offset, c.held.NALUs)
	}
	if err != nil {
		return fmt.Errorf("packing an access unit for MP4: %w", err)
	}
	s.IsNonSyncSample = !c.held.Keyframe
	s.Duration = uint32(ticks(c.held.DTS+d) - ticks(c.held.DTS))
	c.parts = append(c.parts, s)
	c.bytes += len(s.Payload)
	c.frames++
	return nil
}

// flush writes the open fragment, which ends at end.
func (c *clip) flush(ctx context.Context, end time.Time) error {
	if len(c.parts) == 0 {
		return nil
	}
	c.seq++
	var out seekablebuffer.Buffer
	part := fmp4.Part{SequenceNumber: c.seq, Tracks: []*fmp4.PartTrack{{
		ID: trackID, BaseTime: uint64(ticks(c.partAt - c.base)), Samples: c.parts,
	}}}
	if err := part.Marshal(&out); err != nil {
		return fmt.Errorf("writing an MP4 fragment: %w", err)
	}
	fragment := append(c.header, out.Bytes()...)
	c.header, c.parts, c.bytes, c.partAt = nil, nil, 0, c.held.DTS
	closing := camera.Closing{End: end, Frames: c.frames}
	if err := c.rec.Write(ctx, fragment, closing); err != nil {
		return err
	}
	c.written = closing
	return nil
}

// finish completes the last access unit and writes what is left.
func (c *clip) finish(ctx context.Context, end time.Time, next *camera.AccessUnit) error {
	d := c.frame
	if next != nil {
		d = next.DTS - c.held.DTS
	}
	if err := c.complete(d); err != nil {
		return err
	}
	return c.flush(ctx, end)
}

func ticks(d time.Duration) int64 {
	// Split so that days of media time do not overflow.
	return int64(d/time.Second)*timescale + int64(d%time.Second)*timescale/int64(time.Second)
}

func sameFormat(a, b camera.Format) bool {
	return a.Codec == b.Codec && bytes.Equal(a.SPS, b.SPS) && bytes.Equal(a.PPS, b.PPS) && bytes.Equal(a.VPS, b.VPS)
}

// initSegment is the MP4 header that a format needs.
func initSegment(f camera.Format) ([]byte, error) {
	var codec codecs.Codec
	switch f.Codec {
	case camera.H264:
		codec = &codecs.H264{SPS: f.SPS, PPS: f.PPS}
	case camera.H265:
		codec = &codecs.H265{VPS: f.VPS, SPS: f.SPS, PPS: f.PPS}
	default:
		return nil, fmt.Errorf("codec %q cannot be recorded: set the camera to H.264 or H.265", f.Codec)
	}
	if len(f.SPS) == 0 || len(f.PPS) == 0 {
		return nil, fmt.Errorf("the camera sent no %s parameter sets yet: neither in its description nor in the stream", f.Codec)
	}
	var out seekablebuffer.Buffer
	err := fmp4.Init{Tracks: []*fmp4.InitTrack{{ID: trackID, TimeScale: timescale, Codec: codec}}}.Marshal(&out)
	if err != nil {
		return nil, fmt.Errorf("the camera's %s parameter sets are not readable: %w", f.Codec, err)
	}
	return out.Bytes(), nil
}
