//go:build cgo

// Package encode turns drawn pictures into H.264 with x264, for simulated cameras. Only klarsyn-vision
// imports it. No FFmpeg type leaves it.
package encode

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/asticode/go-astiav"

	"klarsyn/camera"
)

// Frame is one coded picture. Its parameter sets are in Encoder.Format and not among its NALUs.
type Frame struct {
	N        int // number of the picture, from 0
	Keyframe bool
	NALUs    [][]byte
}

// Encoder codes pictures of one size at one rate. It is not safe for two goroutines at once.
type Encoder struct {
	width, height, gop int
	n                  int
	format             camera.Format
	raw, x264          *astiav.CodecContext
	packet             *astiav.Packet
	frame              *astiav.Frame
	padded             []byte
}

// New makes an encoder. Width and height are even; a keyframe comes every two seconds and nowhere else,
// as clips and counts are cut there.
func New(width, height, fps int) (*Encoder, error) {
	if width < 16 || height < 16 || width%2 != 0 || height%2 != 0 || width > 4096 || height > 4096 {
		return nil, fmt.Errorf("picture of %dx%d: want even sizes from 16 to 4096", width, height)
	}
	if fps < 1 || fps > 120 {
		return nil, fmt.Errorf("%d frames per second: want 1 to 120", fps)
	}
	e := &Encoder{width: width, height: height, gop: 2 * fps, format: camera.Format{Codec: camera.H264}}
	e.packet, e.frame = astiav.AllocPacket(), astiav.AllocFrame()
	if e.packet == nil || e.frame == nil {
		e.Close()
		return nil, errors.New("FFmpeg: out of memory")
	}
	var err error
	if e.raw, err = openRaw(width, height); err == nil {
		e.x264, err = openX264(width, height, fps)
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// Close frees what FFmpeg holds. The encoder cannot be used again.
func (e *Encoder) Close() {
	if e.raw != nil {
		e.raw.Free()
	}
	if e.x264 != nil {
		e.x264.Free()
	}
	if e.packet != nil {
		e.packet.Free()
	}
	if e.frame != nil {
		e.frame.Free()
	}
	e.raw, e.x264, e.packet, e.frame = nil, nil, nil, nil
}

// openRaw makes the decoder that lays a byte slice out as a frame: go-astiav 0.12 exports no plane
// pointer to write to, and FFmpeg's rawvideo decoder takes exactly the bytes of a planar picture.
func openRaw(width, height int) (*astiav.CodecContext, error) {
	codec := astiav.FindDecoder(astiav.CodecIDRawvideo)
	if codec == nil {
		return nil, errors.New("this FFmpeg has no rawvideo decoder: install libavcodec59 of Debian")
	}
	cc := astiav.AllocCodecContext(codec)
	if cc == nil {
		return nil, errors.New("FFmpeg: out of memory")
	}
	cc.SetWidth(width)
	cc.SetHeight(height)
	cc.SetPixelFormat(astiav.PixelFormatYuv420P)
	cc.SetThreadCount(1)
	if err := cc.Open(codec, nil); err != nil {
		cc.Free()
		return nil, fmt.Errorf("open FFmpeg's rawvideo decoder: %w", err)
	}
	return cc, nil
}

func openX264(width, height, fps int) (*astiav.CodecContext, error) {
	codec := astiav.FindEncoderByName("libx264")
	if codec == nil {
		return nil, errors.New("this FFmpeg has no libx264: install libavcodec59 and libx264-164 of Debian")
	}
	cc := astiav.AllocCodecContext(codec)
	if cc == nil {
		return nil, errors.New("FFmpeg: out of memory")
	}
	cc.SetWidth(width)
	cc.SetHeight(height)
	cc.SetPixelFormat(astiav.PixelFormatYuv420P)
	cc.SetTimeBase(astiav.NewRational(1, fps))
	cc.SetFramerate(astiav.NewRational(fps, 1))
	cc.SetGopSize(2 * fps)
	cc.SetThreadCount(1)
	cc.SetFlags(astiav.NewCodecContextFlags(astiav.CodecContextFlagClosedGop))
	options := astiav.NewDictionary()
	defer options.Free()
	for _, o := range [][2]string{
		{"preset", "veryfast"},
		{"tune", "zerolatency"}, // one picture in, one out: no look-ahead, no B-frames
		{"profile", "main"},
		{"crf", "26"},
		{"bf", "0"},
		{"keyint_min", strconv.Itoa(2 * fps)},
		{"sc_threshold", "0"},
		{"forced-idr", "1"},
	} {
		if err := options.Set(o[0], o[1], astiav.NewDictionaryFlags()); err != nil {
			cc.Free()
			return nil, fmt.Errorf("x264 option %s: %w", o[0], err)
		}
	}
	if err := cc.Open(codec, options); err != nil {
		cc.Free()
		return nil, fmt.Errorf("open libx264: %w", err)
	}
	return cc, nil
}

// Format is the parameter sets, complete after the first frame.
func (e *Encoder) Format() camera.Format { return e.format }

// Encode codes one planar 4:2:0 picture of width·height·3/2 bytes.
func (e *Encoder) Encode(i420 []byte) (Frame, error) {
	if want := e.width * e.height * 3 / 2; len(i420) != want {
		return Frame{}, fmt.Errorf("picture of %d bytes: want %d for %dx%d", len(i420), want, e.width, e.height)
	}
	e.padded = append(append(e.padded[:0], i420...), make([]byte, 64)...) // FFmpeg reads past the end
	if err := e.packet.FromData(e.padded); err != nil {
		return Frame{}, fmt.Errorf("FFmpeg packet: %w", err)
	}
	e.packet.SetSize(len(i420))
	e.packet.SetPts(int64(e.n))
	err := e.raw.SendPacket(e.packet)
	e.packet.Unref()
	if err != nil {
		return Frame{}, fmt.Errorf("lay out picture %d: %w", e.n, err)
	}
	if err := e.raw.ReceiveFrame(e.frame); err != nil {
		return Frame{}, fmt.Errorf("lay out picture %d: %w", e.n, err)
	}
	defer e.frame.Unref()
	e.frame.SetPts(int64(e.n))
	// The rawvideo decoder calls every picture a keyframe, and x264 would obey.
	e.frame.SetPictureType(astiav.PictureTypeNone)
	if e.n%e.gop == 0 {
		e.frame.SetPictureType(astiav.PictureTypeI)
	}
	if err := e.x264.SendFrame(e.frame); err != nil {
		return Frame{}, fmt.Errorf("encode picture %d: %w", e.n, err)
	}
	if err := e.x264.ReceivePacket(e.packet); err != nil {
		return Frame{}, fmt.Errorf("encode picture %d: %w", e.n, err)
	}
	defer e.packet.Unref()
	out := Frame{N: e.n}
	for _, nalu := range splitAnnexB(e.packet.Data()) {
		nalu = append([]byte(nil), nalu...) // the packet's memory is FFmpeg's
		switch nalu[0] & 0x1f {
		case 7:
			e.format.SPS = nalu
		case 8:
			e.format.PPS = nalu
		case 6, 9: // x264's own settings as text, and the delimiter: neither is picture
		case 5:
			out.Keyframe = true
			fallthrough
		default:
			out.NALUs = append(out.NALUs, nalu)
		}
	}
	if len(out.NALUs) == 0 {
		return Frame{}, fmt.Errorf("encode picture %d: x264 gave no slice", e.n)
	}
	e.n++
	return out, nil
}
