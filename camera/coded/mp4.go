package coded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/pmp4"

	"klarsyn/camera"
)

// maxFile bounds what is held in memory: an hour at 4 Mbit/s is 1.8 GB, and nobody needs that to loop.
const maxFile = 512 << 20

// LoadMP4 reads the video track of a plain or fragmented MP4 file. Audio is ignored.
func LoadMP4(path string) (*Track, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("video file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("video file %s: want a regular file of at most %d MiB: cut it, for example with ffmpeg -t 600 -c copy",
			path, maxFile>>20)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("video file: %w", err)
	}
	t, err := parseMP4(raw)
	if err != nil {
		return nil, fmt.Errorf("video file %s: %w: want an MP4 with H.264 video, for example from "+
			"ffmpeg -i IN -an -c:v libx264 OUT.mp4", path, err)
	}
	return t, nil
}

// sample is what both kinds of file hold.
type sample struct {
	duration uint32
	offset   int32
	payload  []byte
}

func parseMP4(raw []byte) (t *Track, err error) {
	// The parser divides by numbers out of the file without a look at them. A damaged file must be an
	// error that names it.
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, fmt.Errorf("damaged file: %v", r)
		}
	}()
	fragment, err := firstFragment(raw)
	if err != nil {
		return nil, err
	}
	if fragment >= 0 {
		return parseFragmented(raw, fragment)
	}
	signOffsets(raw)
	return parsePlain(raw)
}

// firstFragment walks the boxes of the file and gives the place of the first moof, or -1.
func firstFragment(raw []byte) (int, error) {
	known := false
	for at := 0; at+8 <= len(raw); {
		size := uint64(binary.BigEndian.Uint32(raw[at:]))
		kind := string(raw[at+4 : at+8])
		switch {
		case size == 1 && at+16 <= len(raw):
			size = binary.BigEndian.Uint64(raw[at+8:])
		case size == 0:
			size = uint64(len(raw) - at)
		}
		switch kind {
		case "ftyp", "moov":
			known = true
		case "moof":
			return at, nil
		}
		if size < 8 || size > uint64(len(raw)-at) {
			break
		}
		at += int(size)
	}
	if !known {
		return 0, errors.New("not an MP4 file")
	}
	return -1, nil
}

// signOffsets rewrites the version of composition offset boxes (ctts) from 0 to 1 in place: mediacommon
// 2.8.3 reads version 1 only and takes all offsets of version 0, which most encoders write, for zero.
// The two differ in the sign of numbers that no file reaches.
func signOffsets(raw []byte) {
	for at := 0; at+12 <= len(raw); {
		size := uint64(binary.BigEndian.Uint32(raw[at:]))
		if size == 1 && at+16 <= len(raw) {
			size = binary.BigEndian.Uint64(raw[at+8:])
		}
		if size < 8 || size > uint64(len(raw)-at) {
			return // the reader proper says what is wrong with it
		}
		end := at + int(size)
		switch string(raw[at+4 : at+8]) {
		case "moov", "trak", "mdia", "minf", "stbl":
			signOffsets(raw[at+8 : end])
		case "ctts":
			if size > 8 {
				raw[at+8] = 1
			}
		}
		at = end
	}
}

func parsePlain(raw []byte) (*Track, error) {
	var p pmp4.Presentation
	if err := p.Unmarshal(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("not a readable MP4: %w", err)
	}
	for _, tr := range p.Tracks {
		f, ok := videoFormat(tr.Codec)
		if !ok {
			continue
		}
		samples := make([]sample, 0, len(tr.Samples))
		left := uint64(len(raw))
		for i, s := range tr.Samples {
			// The size stands in the file; without this look a lie of 4 GB would be allocated.
			if uint64(s.PayloadSize) > left || s.GetPayload == nil {
				return nil, fmt.Errorf("frame %d is cut off", i)
			}
			left -= uint64(s.PayloadSize)
			b, err := s.GetPayload()
			if err != nil {
				return nil, fmt.Errorf("frame %d is cut off: %w", i, err)
			}
			samples = append(samples, sample{s.Duration, s.PTSOffset, b})
		}
		return assemble(f, tr.TimeScale, samples)
	}
	return nil, errors.New("it holds no H.264 or H.265 track")
}

func parseFragmented(raw []byte, fragment int) (*Track, error) {
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(raw[:fragment])); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("not a readable fragmented MP4: %w", err)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(raw[fragment:]); err != nil {
		return nil, fmt.Errorf("fragments are damaged: %w", err)
	}
	for _, tr := range init.Tracks {
		f, ok := videoFormat(tr.Codec)
		if !ok {
			continue
		}
		var samples []sample
		for _, part := range parts {
			for _, pt := range part.Tracks {
				if pt.ID != tr.ID {
					continue
				}
				for _, s := range pt.Samples {
					samples = append(samples, sample{s.Duration, s.PTSOffset, s.Payload})
				}
			}
		}
		return assemble(f, tr.TimeScale, samples)
	}
	return nil, errors.New("it holds no H.264 or H.265 track")
}

func videoFormat(c codecs.Codec) (camera.Format, bool) {
	switch c := c.(type) {
	case *codecs.H264:
		return camera.Format{Codec: camera.H264, SPS: c.SPS, PPS: c.PPS}, true
	case *codecs.H265:
		return camera.Format{Codec: camera.H265, VPS: c.VPS, SPS: c.SPS, PPS: c.PPS}, true
	}
	return camera.Format{}, false
}

func assemble(f camera.Format, scale uint32, samples []sample) (*Track, error) {
	if scale == 0 {
		return nil, errors.New("its video track has no time scale")
	}
	t := &Track{Format: f}
	var ticks, at int64
	since := func(v int64) time.Duration { // exact, so that durations add up without drift
		return time.Duration(v/int64(scale))*time.Second + time.Duration(v%int64(scale)*int64(time.Second)/int64(scale))
	}
	for i, s := range samples {
		var units h264.AVCC // length-prefixed, the same for both codecs
		if err := units.Unmarshal(s.payload); err != nil {
			return nil, fmt.Errorf("frame %d is damaged: %w", i, err)
		}
		key := h264.IsRandomAccess(units)
		if f.Codec == camera.H265 {
			key = h265.IsRandomAccess(units)
		}
		ticks += int64(s.duration)
		end := int64(since(ticks))
		frame := Frame{
			NALUs:     units,
			Keyframe:  key,
			Duration:  time.Duration(end - at),
			PTSOffset: since(int64(s.offset)),
		}
		at = end
		if len(t.Frames) == 0 && !key {
			continue // nothing before the first keyframe can be decoded
		}
		t.Frames = append(t.Frames, frame)
	}
	if len(t.Frames) == 0 {
		return nil, errors.New("it holds no keyframe")
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return t, nil
}
