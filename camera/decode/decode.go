//go:build cgo

// Package decode turns coded pictures into small ones with FFmpeg. Its input is hostile: only
// klarsyn-vision imports it, after its drop. No FFmpeg type leaves it.
package decode

/*
#cgo pkg-config: libavutil
#include <libavutil/cpu.h>
#include <malloc.h>
#include <stdlib.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"

	"github.com/asticode/go-astiav"

	"klarsyn/camera"
)

// ErrNoPicture says that a coded picture gave nothing to look at: it is damaged, cut off or refused.
var ErrNoPicture = errors.New("no picture came out")

// ErrMemory says that no picture came out because there was no memory for it, or that there was none for a large one.
var ErrMemory = errors.New("out of memory")

const (
	// noMemory is FFmpeg's AVERROR(ENOMEM).
	noMemory = astiav.Error(-int(syscall.ENOMEM))
	// largest is what a picture of maxPixels takes while it is decoded and made small: 44 MB were measured.
	largest = 48 << 20
)

// maxPixels bounds the coded size before memory is spent on it: 4096x2304 is the largest camera known
// to us, and an absurd parameter set asks for 16384x16384.
const maxPixels = 4096 * 2304

// Prepare makes FFmpeg and the C heap ask nothing of the system that is forbidden after the drop. Call
// it once, before.
func Prepare() error {
	// One processor: go-astiav has no way to tell a filter graph, which would start a thread for each.
	C.av_cpu_force_count(1)
	// The default log writer asks the terminal for its colours (ioctl); and what it writes is chosen by
	// the camera.
	astiav.SetLogLevel(astiav.LogLevelQuiet)
	// glibc reads /proc/sys/vm/overcommit_memory before it first shrinks a thread's heap, which may be
	// hours after the drop. One heap for all threads, never trimmed, does not ask; pictures lie in
	// mappings of their own and go back at once.
	if C.mallopt(C.M_ARENA_MAX, 1) != 1 || C.mallopt(C.M_TRIM_THRESHOLD, 1<<30) != 1 ||
		C.mallopt(C.M_MMAP_THRESHOLD, 256<<10) != 1 {
		return errors.New("the C library refuses mallopt: klarsyn-vision needs glibc")
	}
	return nil
}

// Picture is a small picture of even width and height, valid until the next call of the decoder that
// made it.
type Picture struct {
	Width, Height int
	// I420 is the luma plane, row by row, and the two chroma planes of half the width and height.
	I420 []byte
	// CodedWidth and CodedHeight are what the camera sent.
	CodedWidth, CodedHeight int
}

// Decoder decodes keyframes of one camera. It is not safe for two goroutines at once.
type Decoder struct {
	fit    func(w, h int) (int, int)
	codec  camera.Codec
	sets   [][]byte // parameter sets to put before a keyframe that lacks them
	packet *astiav.Packet
	frame  *astiav.Frame
	small  *astiav.Frame
	scaler *scaler
	coded  []byte // Annex B of the keyframe at hand, kept for its capacity
	i420   []byte
}

// New makes a decoder for pictures of a format. fit chooses the small picture's size, even both ways, from
// the coded one.
func New(f camera.Format, fit func(w, h int) (int, int)) (*Decoder, error) {
	if f.Codec != camera.H264 && f.Codec != camera.H265 {
		return nil, fmt.Errorf("codec %q cannot be decoded: want h264 or h265", f.Codec)
	}
	d := &Decoder{fit: fit, codec: f.Codec}
	for _, set := range [][]byte{f.VPS, f.SPS, f.PPS} {
		if len(set) > 0 {
			d.sets = append(d.sets, append([]byte(nil), set...))
		}
	}
	d.packet, d.frame, d.small = astiav.AllocPacket(), astiav.AllocFrame(), astiav.AllocFrame()
	if d.packet == nil || d.frame == nil || d.small == nil {
		d.Close()
		return nil, errors.New("FFmpeg: out of memory")
	}
	return d, nil
}

// Close frees what FFmpeg holds. The decoder cannot be used again.
func (d *Decoder) Close() {
	d.dropScaler()
	if d.packet != nil {
		d.packet.Free()
	}
	if d.frame != nil {
		d.frame.Free()
	}
	if d.small != nil {
		d.small.Free()
	}
	d.packet, d.frame, d.small = nil, nil, nil
}

// Keyframe decodes one picture that needs no other. It opens a codec of its own for it: with reordering
// a codec holds the picture back until two more have come, seconds later at one keyframe per GOP, and
// go-astiav 0.12 cannot flush one that was drained. Opening costs less than a twentieth of decoding, and
// a broken picture cannot spoil the next; and its memory is new, so that what no slice painted is black with a
// chroma of zero.
func (d *Decoder) Keyframe(nalus [][]byte) (Picture, error) {
	p, err := d.keyframe(nalus)
	if err != nil && (errors.Is(err, noMemory) || !room()) {
		err = fmt.Errorf("%w: %w", ErrMemory, err)
	}
	if cap(d.coded) > 1<<20 { // one large picture must not hold its memory for the life of the process
		d.coded = nil
	}
	return p, err
}

// room is true if there is memory for a picture of the largest size. FFmpeg's H.264 decoder calls it invalid data when
// it gets none.
func room() bool {
	p := C.calloc(1, largest) // a mapping of its own: none of it is touched
	C.free(p)
	return p != nil
}

func (d *Decoder) keyframe(nalus [][]byte) (Picture, error) {
	d.coded = annexB(d.coded[:0], d.codec, d.sets, nalus)
	if len(d.coded) == 0 {
		return Picture{}, fmt.Errorf("the access unit is empty: %w", ErrNoPicture)
	}
	if err := inspect(d.codec, d.coded); err != nil {
		return Picture{}, err
	}
	cc, err := d.open(nil)
	if err != nil {
		return Picture{}, err
	}
	defer cc.Free()

	d.packet.Unref()
	if err := d.packet.FromData(padded(d.coded)); err != nil {
		return Picture{}, fmt.Errorf("FFmpeg packet: %w", err)
	}
	// The padding that FFmpeg's bit readers may read past the end is in the buffer, not in the size.
	d.packet.SetSize(len(d.coded))
	defer d.packet.Unref()
	d.packet.SetFlags(astiav.NewPacketFlags(astiav.PacketFlagKey))
	if err := cc.SendPacket(d.packet); err != nil {
		return Picture{}, fmt.Errorf("%w: FFmpeg: %w", ErrNoPicture, err)
	}
	if err := cc.SendPacket(nil); err != nil {
		return Picture{}, fmt.Errorf("%w: FFmpeg: %w", ErrNoPicture, err)
	}
	defer d.frame.Unref()
	if err := cc.ReceiveFrame(d.frame); err != nil {
		return Picture{}, fmt.Errorf("%w: FFmpeg: %w", ErrNoPicture, err)
	}
	p, err := d.shrink()
	if err == nil && p.hole() {
		return Picture{}, fmt.Errorf("a part of it did not come: %w", ErrNoPicture)
	}
	return p, err
}

// open makes a codec that decodes on the calling thread only, with options beyond those that are always set.
func (d *Decoder) open(more [][2]string) (*astiav.CodecContext, error) {
	id := astiav.CodecIDH264
	if d.codec == camera.H265 {
		id = astiav.CodecIDHevc
	}
	codec := astiav.FindDecoder(id)
	if codec == nil {
		return nil, fmt.Errorf("this FFmpeg has no %s decoder: install libavcodec59 of Debian", d.codec)
	}
	cc := astiav.AllocCodecContext(codec)
	if cc == nil {
		return nil, errors.New("FFmpeg: out of memory")
	}
	cc.SetThreadCount(1)
	options := astiav.NewDictionary()
	defer options.Free()
	for _, o := range append([][2]string{
		{"max_pixels", strconv.Itoa(maxPixels)},
		// FFmpeg would paint over what is damaged or missing, and the counter would count the paint.
		{"err_detect", "bitstream+buffer+explode"},
		{"ec", "0"},
	}, more...) {
		if err := options.Set(o[0], o[1], astiav.NewDictionaryFlags()); err != nil {
			cc.Free()
			return nil, fmt.Errorf("FFmpeg option %s: %w", o[0], err)
		}
	}
	if err := cc.Open(codec, options); err != nil {
		cc.Free()
		return nil, fmt.Errorf("open FFmpeg's %s decoder: %w", d.codec, err)
	}
	return cc, nil
}

// shrink scales the decoded frame and copies the small one out: go-astiav exports no plane pointer.
func (d *Decoder) shrink() (Picture, error) {
	w, h := d.frame.Width(), d.frame.Height()
	if w <= 0 || h <= 0 {
		return Picture{}, fmt.Errorf("picture of %dx%d: %w", w, h, ErrNoPicture)
	}
	source := source{width: w, height: h, format: d.frame.PixelFormat()}
	if d.scaler == nil || d.scaler.source != source {
		d.dropScaler()
		sw, sh := d.fit(w, h)
		s, err := newScaler(source, sw, sh)
		if err != nil {
			return Picture{}, err
		}
		d.scaler = s
	}
	if err := d.scaler.scale(d.frame, d.small); err != nil {
		d.dropScaler()
		return Picture{}, err
	}
	defer d.small.Unref()
	if n := d.scaler.width * d.scaler.height * 3 / 2; len(d.i420) != n {
		d.i420 = make([]byte, n)
	}
	if _, err := d.small.ImageCopyToBuffer(d.i420, 1); err != nil {
		return Picture{}, fmt.Errorf("copy the small picture: %w", err)
	}
	return Picture{Width: d.scaler.width, Height: d.scaler.height, I420: d.i420, CodedWidth: w, CodedHeight: h}, nil
}

func (d *Decoder) dropScaler() {
	if d.scaler != nil {
		d.scaler.free()
		d.scaler = nil
	}
}
